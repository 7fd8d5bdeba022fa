"""RTP headers: read with bounds, told apart, counted past 16 bits (RFC 3550).

Reads no clock and does no I/O. Invariant: nothing here reads beyond the datagram or raises on input.

     0                   1                   2                   3
    |V=2|P|X|  CC   |M|     PT      |       sequence number         |
    |                           timestamp                           |
    |                             SSRC                              |
    |            CC x contributing sources (4 bytes each)           |
    |  0xBEDE / 0x100x, length in words, extensions (where X is 1)  |
"""

import functools
import struct
from typing import Final, NamedTuple

_FIXED: Final = struct.Struct("!BBHII")
_ONE_BYTE: Final = b"\xbe\xde"
_TWO_BYTE: Final = 0x10
_LAST_ONE_BYTE: Final = 15
"""RFC 8285 section 4.2: this number ends the reading."""


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
    extensions: bytes = b""
    """Where X is 1: from 0xBEDE or 0x100x on. `extension` finds one in it."""


_header: Final = functools.partial(tuple.__new__, Header)
"""For each packet: a third of the time of `Header(...)`, whose `__new__` is Python."""


def parse_header(datagram: bytes) -> Header | None:
    """The header of an RTP packet (the payload may still be encrypted), or None if it does not fit the datagram."""
    if len(datagram) < 12:
        return None
    first, second, sequence, timestamp, ssrc = _FIXED.unpack_from(datagram)
    if first >> 6 != 2:
        return None
    at = size = 12 + 4 * (first & 15)
    if first & 0x10:
        if len(datagram) < size + 4:
            return None
        size += 4 + 4 * int.from_bytes(datagram[size + 2 : size + 4], "big")
    if len(datagram) < size:
        return None
    extensions = datagram[at:size]
    return _header((second & 127, second > 127, sequence, timestamp, ssrc, bool(first & 0x20), size, extensions))


def extension(block: bytes, number: int) -> bytes | None:
    """The extension of that number in a header's `extensions` (RFC 8285); None if it is not there. Never raises.

    BE DE | length in words | 4 bits number, 4 bits bytes - 1 | data | ... | 0: padding, one byte
    10 0x | length in words | 8 bits number, 8 bits bytes     | data | ... | 0: padding, one byte
    """
    if block[:2] == _ONE_BYTE:
        return _one_byte(block, number)
    return _two_byte(block, number) if len(block) > 4 and block[0] == _TWO_BYTE and block[1] < 16 else None


def _one_byte(block: bytes, number: int) -> bytes | None:
    at = 4
    while at < len(block) and (head := block[at]) >> 4 != _LAST_ONE_BYTE:
        end = at + 1 if head == 0 else at + 2 + (head & 15)
        if head >> 4 == number and head:
            return block[at + 1 : end] if end <= len(block) else None
        at = end
    return None


def _two_byte(block: bytes, number: int) -> bytes | None:
    at = 4
    while at + 1 < len(block):
        end = at + 2 + block[at + 1] if block[at] else at + 1
        if block[at] == number and block[at]:
            return block[at + 2 : end] if end <= len(block) else None
        at = end
    return None


def strip_padding(payload: bytes) -> bytes | None:
    """The payload without its padding (RFC 3550 section 5.1), empty if there is nothing else; None if it lies."""
    if not payload or not 0 < payload[-1] <= len(payload):
        return None
    return payload[: -payload[-1]]


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
