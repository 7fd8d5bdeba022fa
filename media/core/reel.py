"""The packets of one layer's picture as newcomers get them: one reel, wound on for all who are behind the fan-out.

Owns: the video packets since the last keyframe, the group of pictures on air, and before it those that somebody who
catches up may still ask for; in order. Reads no clock and does no I/O.
Invariant: sequences only rise; the group is empty or begins with a keyframe's first packet, and stays within the bounds
of packets, bytes and media time. A group that outgrows a bound is given up, and with it the cache until the next
keyframe: half a group shows nothing. The packets are those of the fan-out, padded to the longest of their group where
they lack so little that padding can do it: a browser cuts each picture equally, but no two pictures alike, and what is
of one size is one message for the kernel, whatever pictures it is of.

Each newcomer keeps a place in it (`core/catchup.py`), and no packets of its own: a join has some five hundred, and to
list them, and take them off again, was a tenth of its time.
"""

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from typing import Final

from media.core.formats import CLOCK_HZ, Kind
from media.core.history import Packet, size_of
from media.core.press import signed
from media.core.runs import padded

MAX_BYTES: Final = 4 << 20
MAX_SPAN_MS: Final = 10_000
"""With `catchup.MIN_MS` this keeps pictures a millisecond apart at different timestamps."""
MAX_BEHIND: Final = 4096
"""Packets before the group on air; beyond it the oldest go (a host whose clock stands still never gets live)."""
FEW: Final = 256
"""So many are not worth winding on for: the native egress then reads all of them anew."""

_MAX_TICKS: Final = MAX_SPAN_MS * CLOCK_HZ[Kind.VIDEO] // 1000


class Reel:
    """A group on air of at most `max_packets` packets, 0 keeps none; and what is still needed of those before."""

    def __init__(self, max_packets: int) -> None:
        self.packets: list[Packet] = []
        self.twin: object | None = None
        """Belongs to media.native: what it knows of the packets. None where others have changed than were added."""
        self.key: int | None = None
        """The sequence at which the group on air begins; None: there is none."""
        self.octets = 0
        """Of the group on air."""
        self.end = 0
        """Behind the highest sequence so far."""
        self._sequences, self._stamps = array("q"), array("q")
        self._max_packets = max_packets
        self._longest = 0
        """Of the group's packets; newcomers get the others as long as this."""

    def __len__(self) -> int:
        """Packets of the group on air."""
        return 0 if self.key is None else len(self.packets) - self.place(self.key)

    @property
    def group(self) -> Sequence[Packet]:
        """The group on air, from the keyframe on."""
        return [] if self.key is None else self.packets[self.place(self.key) :]

    @property
    def head(self) -> Packet | None:
        """The keyframe's first packet."""
        return None if self.key is None else self.get(self.key)

    @property
    def is_whole(self) -> bool:
        """False while a packet of the host's is missing in the group."""
        return self.key is not None and self.end - self.key == len(self)

    def place(self, sequence: int) -> int:
        """Where in `packets` those from `sequence` on begin."""
        return bisect_left(self._sequences, sequence)

    def get(self, sequence: int) -> Packet | None:
        at = self.place(sequence)
        return self.packets[at] if at < len(self.packets) and self._sequences[at] == sequence else None

    def stamp(self, sequence: int, timestamp: int) -> int:
        """`timestamp` counted on beyond 32 bits, as `until` takes it; seen from the packet of `sequence`."""
        return _near(timestamp, self._stamps[self.place(sequence)])

    def until(self, stamp: int, begin: int, end: int) -> int:
        """The place between two others behind the last picture of `stamp` or before."""
        return bisect_right(self._stamps, stamp, begin, end)

    def clear(self) -> None:
        """Another source begins: its pictures do not build on these."""
        self.key, self.octets = None, 0

    def put(self, packet: Packet, *, is_followed: bool = False) -> bool:
        """Take a video packet of the fan-out; each comes once. True if it came late, behind others that follow it.

        `is_followed`: somebody is behind the fan-out, and needs it also if it belongs to no group.
        """
        begins = packet.begins_keyframe and (self.key is None or packet.sequence > self.key)
        if not (begins or is_followed or (self.key is not None and packet.sequence > self.key)):
            return False
        is_late = packet.sequence < self.end
        self._longest = size_of(packet) if begins else max(self._longest, size_of(packet))
        packet = padded(packet, self._longest)
        self._insert(packet)
        if begins:  # the network may have turned a keyframe's packets round
            self.key = packet.sequence
            self.octets = sum(len(held.payload) for held in self.group)
        elif self.key is not None and packet.sequence > self.key:
            self.octets += len(packet.payload)
        if self._is_over(packet):
            self.clear()
        if len(self.packets) > self._max_packets + MAX_BEHIND:
            self._drop(MAX_BEHIND // 4)
        return is_late

    def forget(self, before: int | None) -> None:
        """Those before a sequence and before the group on air are not needed any more; None: nobody is behind."""
        needed = [each for each in (before, self.key) if each is not None]
        unused = self.place(min(needed)) if needed else len(self.packets)
        if unused > FEW or unused == len(self.packets) > 0:
            self._drop(unused)

    def _insert(self, packet: Packet) -> None:
        at = self.place(packet.sequence) if packet.sequence < self.end else len(self.packets)
        beside = self._stamps[max(0, at - 1)] if self._stamps else packet.timestamp
        if at < len(self.packets):
            self.twin = None
        self.packets.insert(at, packet)
        self._sequences.insert(at, packet.sequence)
        self._stamps.insert(at, _near(packet.timestamp, beside))
        self.end = max(self.end, packet.sequence + 1)

    def _drop(self, count: int) -> None:
        del self.packets[:count], self._sequences[:count], self._stamps[:count]
        self.twin = None

    def _is_over(self, packet: Packet) -> bool:
        head = self.head
        if head is None:
            return False
        if len(self) > self._max_packets or self.octets > MAX_BYTES:
            return True
        span = packet.timestamp - head.timestamp & 0xFFFFFFFF
        return _MAX_TICKS < span < 1 << 31


def _near(timestamp: int, stamp: int) -> int:
    """The number nearest to `stamp` whose low 32 bits are `timestamp`."""
    return stamp + signed(timestamp - stamp)
