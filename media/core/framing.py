"""Packets on a byte stream: a length of 16 bits before each (RFC 4571), as ICE over TCP wants it (RFC 6544).

Owns: the bytes of the packet that is not whole yet, in one buffer of fixed size.
Invariant: what has been taken in never exceeds the buffer, whatever length is announced; there is always room for
more.

      0      1      2                          2 + size
    +------+------+---------------------------+------+--
    |  size, u16  |  STUN, DTLS, SRTP, SRTCP   |  next ...
    +------+------+---------------------------+------+--
"""

from typing import Final

MAX_PACKET: Final = 2048
"""As at the UDP port: nobody sends more than a path's MTU."""
BUFFER: Final = 4 * (2 + MAX_PACKET)


class FramingError(ValueError):
    """The stream cannot be read on: a length of zero, or one that no packet has."""


class Deframer:
    """Fill `room`, say how much by `took`, and get the packets that are whole."""

    def __init__(self) -> None:
        self._buffer = memoryview(bytearray(BUFFER))
        self._held = 0

    @property
    def room(self) -> memoryview:
        """Where the next bytes go; never empty."""
        return self._buffer[self._held :]

    def took(self, count: int) -> list[bytes]:
        """`count` bytes are in `room`: the packets that this completes. Raises FramingError."""
        buffer, held, at = self._buffer, self._held + count, 0
        packets = []
        while held - at >= 2:
            size = buffer[at] << 8 | buffer[at + 1]
            if not 0 < size <= MAX_PACKET:
                raise FramingError(size)
            if held - at < 2 + size:
                break
            packets.append(bytes(buffer[at + 2 : at + 2 + size]))
            at += 2 + size
        if at:
            rest = bytes(buffer[at:held])
            buffer[: len(rest)] = rest
        self._held = held - at
        return packets


def framed(data: bytes | memoryview, segment_bytes: int = 0) -> bytes:
    """One packet, or a run of packets of `segment_bytes` each but for the last, as they go onto the stream."""
    step = segment_bytes or max(1, len(data))
    parts: list[bytes | memoryview] = []
    for at in range(0, len(data), step):
        part = data[at : at + step]
        parts += (len(part).to_bytes(2, "big"), part)
    return b"".join(parts)
