"""RTP headers: read with bounds, told apart, counted past 16 bits (RFC 3550, RFC 8285).

Reads no clock and does no I/O. Invariant: nothing here reads beyond the datagram or raises on input.

     0                   1                   2                   3
    |V=2|P|X|  CC   |M|     PT      |       sequence number         |
    |                           timestamp                           |
    |                             SSRC                              |
    |            CC x contributing sources (4 bytes each)           |
    |  0xBEDE / 0x100x, length in words, extensions (where X is 1)  |
"""

import struct
from typing import Final, NamedTuple

_ONE_BYTE: Final = 0xBEDE
_TWO_BYTE: Final = 0x1000
_FIXED: Final = struct.Struct("!BBHII")


class Header(NamedTuple):
    """The header of one RTP packet."""

    payload_type: int
    marker: bool
    sequence: int
    timestamp: int
    ssrc: int
    padded: bool
    size: int
    """Bytes of the whole header, contributing sources and extensions included."""


def parse_header(datagram: bytes) -> Header | None:
    """The header of an RTP packet (the payload may still be encrypted), or None if it does not fit the datagram."""
    if len(datagram) < 12:
        return None
    first, second, sequence, timestamp, ssrc = _FIXED.unpack_from(datagram)
    if first >> 6 != 2:
        return None
    size = 12 + 4 * (first & 15)
    if first & 0x10:
        if len(datagram) < size + 4:
            return None
        size += 4 + 4 * int.from_bytes(datagram[size + 2 : size + 4], "big")
    if len(datagram) < size:
        return None
    return Header(second & 127, second > 127, sequence, timestamp, ssrc, bool(first & 0x20), size)


def strip_padding(payload: bytes) -> bytes | None:
    """The payload without its padding (RFC 3550 section 5.1), empty if there is nothing else; None if it lies."""
    if not payload or not 0 < payload[-1] <= len(payload):
        return None
    return payload[: -payload[-1]]


def extensions(datagram: bytes, header: Header) -> dict[int, bytes]:
    """The header extensions by id, of either form (RFC 8285); what does not fit its bounds is left out."""
    at = 12 + 4 * (datagram[0] & 15)
    if not datagram[0] & 0x10:
        return {}
    profile = int.from_bytes(datagram[at : at + 2], "big")
    if profile == _ONE_BYTE:
        return _one_byte(datagram, at + 4, header.size)
    return _two_byte(datagram, at + 4, header.size) if profile & 0xFFF0 == _TWO_BYTE else {}


def _one_byte(data: bytes, at: int, end: int) -> dict[int, bytes]:
    found: dict[int, bytes] = {}
    while at < end:
        number, width = data[at] >> 4, (data[at] & 15) + 1
        if data[at] == 0:
            at += 1
            continue
        if number == 15 or at + 1 + width > end:
            break
        found[number] = data[at + 1 : at + 1 + width]
        at += 1 + width
    return found


def _two_byte(data: bytes, at: int, end: int) -> dict[int, bytes]:
    found: dict[int, bytes] = {}
    while at < end:
        if data[at] == 0:
            at += 1
            continue
        if at + 2 > end or at + 2 + data[at + 1] > end:
            break
        found[data[at]] = data[at + 2 : at + 2 + data[at + 1]]
        at += 2 + data[at + 1]
    return found


class Sequence:
    """Extends 16-bit sequence numbers so that they never wrap.

    The first packet counts as one cycle in, so that packets older than it still have a number:
    65530 -> 131066, then 3 -> 131075, then 65535 (late) -> 131071.
    """

    __slots__ = ("highest",)

    def __init__(self) -> None:
        self.highest: int | None = None

    def extend(self, sequence: int) -> int:
        """The extended number nearest to the highest seen; raises `highest` if it is beyond."""
        if self.highest is None:
            self.highest = sequence + 0x10000
            return self.highest
        step = (sequence - self.highest) & 0xFFFF
        extended = self.highest + (step if step < 0x8000 else step - 0x10000)
        self.highest = max(self.highest, extended)
        return extended
