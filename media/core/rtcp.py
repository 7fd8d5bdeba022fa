"""RTCP: compound packets read defensively, reports and feedback built (RFC 3550, RFC 4585, REMB's draft).

Reads no clock and does no I/O. Invariant: `parse` never raises and never reads beyond the packet; a part it
does not understand is skipped, a part that lies about its length ends the reading.
"""

import functools
import struct
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

SR, RR, SDES, RTPFB, PSFB = 200, 201, 202, 205, 206
_NACK: Final = 1
_PLI, _FIR, _APP = 1, 4, 15
MAX_NACKED: Final = 512
"""Sequence numbers taken from one compound packet; more are more than a subscriber's budget."""
_MAX_REMB_MANTISSA: Final = 0x3FFFF


class SenderReport(NamedTuple):
    """What time it was (NTP, 32.32 bits) when the source's clock stood at `timestamp`."""

    ssrc: int
    ntp: int
    timestamp: int
    packets: int
    octets: int


class ReportBlock(NamedTuple):
    """How one receiver fares with one source (RFC 3550 section 6.4.1)."""

    ssrc: int
    fraction_lost: int
    """Of 256."""
    total_lost: int
    highest: int
    jitter: int
    last_sr: int
    delay_since_sr: int
    """In 1/65536 s."""


_block: Final = functools.partial(tuple.__new__, ReportBlock)
"""For each report: a third of the time of `ReportBlock(...)`."""
_SIX: Final = struct.Struct("!IIIIII")


class Nack(NamedTuple):
    """16-bit sequence numbers somebody misses."""

    ssrc: int
    sequences: list[int]


class KeyframeRequest(NamedTuple):
    """PLI or FIR."""

    ssrc: int


class Remb(NamedTuple):
    """What a receiver thinks that it could take, of all it gets from us."""

    bitrate_bps: int


Part = SenderReport | ReportBlock | Nack | KeyframeRequest | Remb


def parse(compound: bytes) -> list[Part]:
    """The parts of a compound packet that we know, in order."""
    parts: list[Part] = []
    at, room = 0, MAX_NACKED
    while at + 8 <= len(compound) and compound[at] >> 6 == 2:
        size = 4 + 4 * (compound[at + 2] << 8 | compound[at + 3])
        if at + size > len(compound) or size < 8:
            break
        kind, count = compound[at + 1], compound[at] & 31
        if kind == RR:
            parts += _blocks(compound[at : at + size], 8, count)
        else:
            for part in _part(kind, count, compound[at : at + size]):
                parts.append(part._replace(sequences=part.sequences[:room]) if isinstance(part, Nack) else part)
                room -= len(part.sequences[:room]) if isinstance(part, Nack) else 0
        at += size
    return parts


def _part(kind: int, count: int, packet: bytes) -> Iterable[Part]:
    if kind == SR and len(packet) >= 28:
        return [SenderReport(*struct.unpack_from("!IQIII", packet, 4)), *_blocks(packet, 28, count)]
    if kind == RTPFB and count == _NACK and len(packet) >= 16:
        return [Nack(int.from_bytes(packet[8:12], "big"), _nacked(packet))]
    return _payload_feedback(count, packet) if kind == PSFB and len(packet) >= 12 else []


def _payload_feedback(form: int, packet: bytes) -> Iterable[Part]:
    if form == _PLI:
        return [KeyframeRequest(int.from_bytes(packet[8:12], "big"))]
    if form == _FIR and len(packet) >= 20:
        return [KeyframeRequest(int.from_bytes(packet[12:16], "big"))]
    if form == _APP and len(packet) >= 20 and packet[12:16] == b"REMB":
        mantissa = (packet[17] & 3) << 16 | packet[18] << 8 | packet[19]
        return [Remb(mantissa << (packet[17] >> 2))]
    return []


def _blocks(packet: bytes, at: int, count: int) -> list[Part]:
    found: list[Part] = []
    for start in range(at, min(at + 24 * count, len(packet) - 23), 24):
        ssrc, loss, highest, jitter, last_sr, delay = _SIX.unpack_from(packet, start)
        lost = loss & 0xFFFFFF
        found.append(_block((ssrc, loss >> 24, lost - (lost >> 23 << 24), highest, jitter, last_sr, delay)))
    return found


def _nacked(packet: bytes) -> list[int]:
    sequences: list[int] = []
    for at in range(12, len(packet) - 3, 4):
        first, mask = struct.unpack_from("!HH", packet, at)
        sequences.append(first)
        sequences += [first + bit + 1 & 0xFFFF for bit in range(16) if mask >> bit & 1]
        if len(sequences) >= MAX_NACKED:
            break
    return sequences[:MAX_NACKED]


def round_trip_ms(block: ReportBlock, now_ntp: int) -> int | None:
    """From our sender report to this answer, without the time it lay there (RFC 3550 section 6.4.1).

    None if it answers none; `now_ntp` is 32.32 bits. What is a minute or more is a lie, or the clocks' noise below 0.
    """
    if not block.last_sr:
        return None
    return _passed_ms((now_ntp >> 16) - block.last_sr - block.delay_since_sr)


def answers_of_ms_ago(block: ReportBlock, now_ntp: int) -> int | None:
    """How long ago the sender report left that it answers: all that was sent before has come, or never will."""
    return _passed_ms((now_ntp >> 16) - block.last_sr) if block.last_sr else None


def _passed_ms(units: int) -> int | None:
    units &= 0xFFFFFFFF
    if units >= 1 << 31:  # a millisecond's rounding
        return 0
    return units * 1000 >> 16 if units < 60 << 16 else None


def sender_report(report: SenderReport, cname: str) -> bytes:
    """SR and SDES; the cname is what ties a subscriber's audio to its video."""
    head = struct.pack("!BBHIQIII", 0x80, SR, 6, *_wrapped(report))
    return head + _sdes(report.ssrc, cname)


def _wrapped(report: SenderReport) -> tuple[int, int, int, int, int]:
    ssrc, ntp, timestamp, packets, octets = report
    return ssrc, ntp, timestamp & 0xFFFFFFFF, packets & 0xFFFFFFFF, octets & 0xFFFFFFFF


def receiver_report(own_ssrc: int, blocks: Sequence[ReportBlock]) -> bytes:
    """RR with at most 31 blocks."""
    body = b"".join(
        struct.pack("!IIIIII", b.ssrc, b.fraction_lost << 24 | b.total_lost & 0xFFFFFF, *b[3:]) for b in blocks[:31]
    )
    return struct.pack("!BBHI", 0x80 | len(blocks[:31]), RR, 1 + len(body) // 4, own_ssrc) + body


def _sdes(ssrc: int, cname: str) -> bytes:
    name = cname.encode()
    chunk = struct.pack("!IBB", ssrc, 1, len(name)) + name
    chunk += bytes(4 - len(chunk) % 4)  # at least one zero ends the list
    return struct.pack("!BBH", 0x81, SDES, len(chunk) // 4) + chunk


def pli(own_ssrc: int, media_ssrc: int) -> bytes:
    """Ask a publisher for a keyframe (RFC 4585 section 6.3.1)."""
    return struct.pack("!BBHII", 0x80 | _PLI, PSFB, 2, own_ssrc, media_ssrc)


def nack(own_ssrc: int, media_ssrc: int, sequences: Iterable[int]) -> bytes:
    """Ask a publisher for packets again; `sequences` ascend and may be extended (RFC 4585 section 6.2.1)."""
    pairs: list[list[int]] = []
    for number in sequences:
        if pairs and 0 < number - pairs[-1][0] <= 16:
            pairs[-1][1] |= 1 << number - pairs[-1][0] - 1
        else:
            pairs.append([number, 0])
    body = b"".join(struct.pack("!HH", first & 0xFFFF, mask) for first, mask in pairs)
    return struct.pack("!BBHII", 0x80 | _NACK, RTPFB, 2 + len(pairs), own_ssrc, media_ssrc) + body


def remb(own_ssrc: int, bitrate_bps: int, ssrcs: Sequence[int]) -> bytes:
    """Tell a publisher how fast it may send (draft-alvestrand-rmcat-remb-03): 18 bits of mantissa, 6 of exponent."""
    exponent = max(0, bitrate_bps.bit_length() - _MAX_REMB_MANTISSA.bit_length())
    mantissa = bitrate_bps >> exponent
    body = b"REMB" + bytes((len(ssrcs), exponent << 2 | mantissa >> 16)) + (mantissa & 0xFFFF).to_bytes(2, "big")
    body += b"".join(ssrc.to_bytes(4, "big") for ssrc in ssrcs)
    return struct.pack("!BBHII", 0x80 | _APP, PSFB, 2 + len(body) // 4, own_ssrc, 0) + body
