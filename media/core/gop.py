"""The group of pictures on air: what a newcomer needs to see the picture at once.

Owns: the video packets since the last keyframe, in order. Reads no clock and does no I/O.
Invariant: it is empty or begins with a keyframe's first packet; sequences only rise; within the bounds of
packets, bytes and media time. A group that outgrows a bound is given up, and with it the cache until the next
keyframe: half a group shows nothing. The packets are those of the fan-out, padding and all; nothing is copied.
"""

from bisect import bisect_left
from collections.abc import Sequence
from typing import Final

from media.core.formats import CLOCK_HZ, Kind
from media.core.history import Packet

MAX_BYTES: Final = 4 << 20
MAX_SPAN_MS: Final = 10_000
"""With `catchup.MIN_MS` this keeps pictures a millisecond apart at different timestamps."""

_MAX_TICKS: Final = MAX_SPAN_MS * CLOCK_HZ[Kind.VIDEO] // 1000


def sequence_of(packet: Packet) -> int:
    """The order of packets."""
    return packet.sequence


class Gop:
    """A cache of at most `max_packets` packets; 0 keeps none."""

    def __init__(self, max_packets: int) -> None:
        self._max_packets = max_packets
        self._packets: list[Packet] = []
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._packets)

    @property
    def packets(self) -> Sequence[Packet]:
        """From the keyframe on, by sequence."""
        return self._packets

    @property
    def is_whole(self) -> bool:
        """False while a packet of the host's is missing in it."""
        packets = self._packets
        return bool(packets) and packets[-1].sequence - packets[0].sequence + 1 == len(packets)

    def clear(self) -> None:
        """Another source begins: its pictures do not build on these."""
        self._packets, self._bytes = [], 0

    def put(self, packet: Packet) -> None:
        """Take a video packet of the fan-out; each comes once."""
        if packet.begins_keyframe:
            self._begin(packet)
        elif self._packets and packet.sequence > self._packets[0].sequence:
            self._insert(packet)
        if self._is_over(packet):
            self.clear()

    def _begin(self, packet: Packet) -> None:
        if self._packets and packet.sequence < self._packets[0].sequence:
            return
        after = self._packets[bisect_left(self._packets, packet.sequence, key=sequence_of) :]
        self._packets = [packet, *after]  # the network may have turned a keyframe's packets round
        self._bytes = sum(len(held.payload) for held in self._packets)

    def _insert(self, packet: Packet) -> None:
        if packet.sequence > self._packets[-1].sequence:
            self._packets.append(packet)
        else:
            self._packets.insert(bisect_left(self._packets, packet.sequence, key=sequence_of), packet)
        self._bytes += len(packet.payload)

    def _is_over(self, packet: Packet) -> bool:
        if len(self._packets) > self._max_packets or self._bytes > MAX_BYTES:
            return True
        span = packet.timestamp - self._packets[0].timestamp & 0xFFFFFFFF if self._packets else 0
        return _MAX_TICKS < span < 1 << 31
