"""Where a decoder can start, read from the first bytes of a packet's payload.

Reads no clock and does no I/O. Invariant: works on any bytes, never raises, never reads beyond them. Nothing is
decoded, and no extension is needed: a publisher's dependency descriptor is not asked for, nor passed on.
"""

from collections.abc import Callable, Mapping
from typing import Final

from media.core.formats import Codec

_IDR, _SPS, _STAP_A, _FU_A = 5, 7, 24, 28
_SEQUENCE_HEADER: Final = 1


def begins_keyframe(codec: Codec, payload: bytes) -> bool:
    """True if a decoder can start at this packet."""
    begins = _BEGINS.get(codec)
    return begins is not None and begins(payload)


def _vp8(payload: bytes) -> bool:
    """RFC 7741 section 4.2: S=1 and partition 0 in the descriptor, then P=0 in the payload header."""
    if not payload or payload[0] & 0x17 != 0x10:  # S, then three bits of partition index
        return False
    at = 1
    if payload[0] & 0x80:
        if len(payload) < 2:
            return False
        flags, at = payload[1], 2
        if flags & 0x80:  # picture id, of one byte or two
            at += 2 if len(payload) > at and payload[at] & 0x80 else 1
        at += bool(flags & 0x40) + bool(flags & 0x30)
    return len(payload) > at and not payload[at] & 1


def _vp9(payload: bytes) -> bool:
    """RFC 9628 section 4.2: the beginning (B) of a frame of the lowest spatial layer that predicts from none (not P).

    |I|P|L|F|B|E|V|Z|   then, each where its bit is set: picture id (I), layers (L), references (F and P)
    """
    if not payload or payload[0] & 0x48 != 0x08:
        return False
    has_id, has_layers = payload[0] & 0x80, payload[0] & 0x20
    at = 1
    if has_id:
        at += 2 if len(payload) > at and payload[at] & 0x80 else 1
    # |  T  |U|  S  |D|: the keyframe's higher layers (S) predict from its lowest, and do not begin it.
    return not has_layers or (len(payload) > at and not payload[at] & 0x0E)


def _av1(payload: bytes) -> bool:
    """AV1's RTP format, section 4.4: N says that a coded video sequence begins; else a sequence header stands first.

    |Z|Y| W |N|-|-|-|   Z: the first element goes on from the packet before; W: how many there are, 0 unsaid
    """
    if len(payload) < 2 or payload[0] & 0x80:
        return False
    if payload[0] & 0x08:
        return True
    at = 1
    if payload[0] & 0x30 != 0x10:  # each has its length in front, in groups of 7 bits, but for the last of a known W
        while at < len(payload) and payload[at] & 0x80:
            at += 1
        at += 1
    return at < len(payload) and payload[at] >> 3 & 15 == _SEQUENCE_HEADER


def _h264(payload: bytes) -> bool:
    """RFC 6184: a parameter set or an IDR slice, alone (5.6), first in a STAP-A (5.7.1), or an FU-A's start (5.8)."""
    if not payload:
        return False
    kind = payload[0] & 31
    if kind == _STAP_A:
        return any(unit in (_SPS, _IDR) for unit in _stap_units(payload))
    if kind == _FU_A:
        return len(payload) > 1 and bool(payload[1] & 0x80) and payload[1] & 31 in (_IDR, _SPS)
    return kind in (_SPS, _IDR)


def _stap_units(payload: bytes) -> list[int]:
    units, at = [], 1
    while at + 3 <= len(payload):
        units.append(payload[at + 2] & 31)
        at += 2 + int.from_bytes(payload[at : at + 2], "big")
    return units


_BEGINS: Final[Mapping[Codec, Callable[[bytes], bool]]] = {
    Codec.VP8: _vp8,
    Codec.VP9: _vp9,
    Codec.AV1: _av1,
    Codec.H264: _h264,
}
