"""What a packet of the harness says about itself: when the host sent it, and where it stands in its picture.

video   descriptor (1) | VP8 header (1) | picture (4) | packet (1) | of (1) | sent, ns since 1970 (8) | zeros
sound   TOC (1)        | packet (4)     | 0 (3)       | sent (8)   | zeros
"""

import struct
from typing import NamedTuple

_STAMP = struct.Struct("!IBBQ")
_KEY, _DELTA = 0, 1
AT = 2


class Stamp(NamedTuple):
    """One video packet's."""

    picture: int
    packet: int
    of: int
    sent_ns: int
    is_key: bool


def picture_packet(picture: int, packet: int, of: int, size: int, now_ns: int, *, is_key: bool) -> bytes:
    """A VP8 payload of `size` bytes; every packet of a keyframe says that it is of one."""
    head = bytes((0x10 if packet == 0 else 0, _KEY if is_key else _DELTA))
    return (head + _STAMP.pack(picture, packet, of, now_ns)).ljust(size, b"\0")


def sound_packet(number: int, size: int, now_ns: int) -> bytes:
    """An Opus payload of `size` bytes: 20 ms by its first byte."""
    return (b"\xf8\0" + _STAMP.pack(number, 0, 1, now_ns)).ljust(size, b"\0")


def read(payload: bytes) -> Stamp:
    return Stamp(*_STAMP.unpack_from(payload, AT), payload[1] & 1 == _KEY)
