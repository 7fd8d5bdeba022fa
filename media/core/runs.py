"""One flush's packets in runs that the kernel can cut apart again (generic segmentation offload).

Reads no clock and does no I/O. Invariant: in a run all packets have one size, but for a shorter last one; at
most 10 to a run; and the order of sequence numbers within a track is kept inside a run.

UDP GSO takes one buffer and one segment size. A browser's packets differ by some bytes, so they are padded to
the run's longest (RFC 3550's P bit; Chromium and others strip it):

    sizes 1180 1174 1180 600 | audio 90   ->   run A: 1180 1180 1180 600     run B: 90
    sizes 1180 1174 1100     | audio 90   ->   run A: 1180 1180 1180 90
    sizes 1180 1180 1171                  ->   run A: 1180 1180 1180

The last one is padded where it lacks but a few bytes: a newcomer gets the packets of several flushes at once, and then
a picture is one message for the kernel and not one for each flush that it came with.

A packet with header extensions counts with them (`history.size_of`), and the others are padded to it.

Padding is decided here, once for all subscribers, and goes with the packet into the history: a packet sent
again to a subscriber must be the same bits.
"""

from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from media.core.formats import Kind
from media.core.history import Packet, packet_of, size_of

MAX_SEGMENTS: Final = 10
MAX_PAD: Final = 255
NEARLY: Final = 16
"""Bytes that the last packet of a run may lack to be made as long as the others."""


class Run(Struct, frozen=True):
    """Packets for one send."""

    packets: tuple[Packet, ...]
    payload_bytes: int
    """Behind the fixed header of each packet but the last, which may be shorter."""

    @property
    def has_audio(self) -> bool:
        return self.packets[-1].kind is Kind.AUDIO


def plan(packets: Sequence[Packet]) -> list[Run]:
    """Runs that hold every packet once: video in order, an audio packet at the end of a run where one fits.

    Sound is never padded: it goes with the packets of each layer, and must be the same bits with all of them.
    """
    video = [packet for packet in packets if packet.kind is Kind.VIDEO]
    audio = [packet for packet in packets if packet.kind is Kind.AUDIO]
    groups = _group(video)
    for group in groups:
        if audio and group.has_room(size_of(audio[0])):
            group.add(audio.pop(0))
    return [group.finished() for group in groups] + regroup(audio)


def regroup(packets: Sequence[Packet]) -> list[Run]:
    """Runs of packets of one track whose padding is decided: not a bit is changed."""
    groups: list[list[Packet]] = []
    size = 0
    for packet in packets:
        if groups and len(groups[-1]) < MAX_SEGMENTS and size_of(groups[-1][-1]) == size >= size_of(packet):
            groups[-1].append(packet)
        else:
            groups.append([packet])
            size = size_of(packet)
    return [Run(tuple(group), size_of(group[0])) for group in groups]


class _Group:
    """A run in the making."""

    __slots__ = ("fixed", "high", "is_ended", "last", "low", "packets")

    def __init__(self, packet: Packet, size: int) -> None:
        self.packets = [packet]
        self.low = self.high = self.last = size
        self.is_ended = False
        """By a short one, behind which there is only room for sound."""
        self.fixed = {size} if packet.padded else set[int]()
        """Sizes of those that came padded, which cannot be padded again by us."""

    def add(self, packet: Packet, size: int = 0) -> None:
        self.packets.append(packet)
        self.last = size or size_of(packet)
        if packet.padded:
            self.fixed.add(self.last)

    def takes(self, packet: Packet, size: int) -> bool:
        """Whether a packet of this size may stand among the others, all padded to the longest."""
        high = max(self.high, size)
        fixed = self.fixed | {size} if packet.padded else self.fixed
        return high - min(self.low, size) <= MAX_PAD and fixed <= {high}

    def has_room(self, size: int) -> bool:
        """For a packet of sound, of this size, at the end."""
        is_free = len(self.packets) < MAX_SEGMENTS and size <= self.high and self.high - self.last <= MAX_PAD
        return is_free and self.fixed <= {self.high}

    def finished(self) -> Run:
        high, packets = self.high, self.packets
        last = packets.pop()
        packets = [packet if size_of(packet) == high else padded(packet, high) for packet in packets]
        if last.kind is Kind.VIDEO and not last.padded and high - self.last <= NEARLY:
            last = padded(last, high)
        return Run((*packets, last), high)


def _group(packets: Sequence[Packet]) -> list[_Group]:
    groups: list[_Group] = []
    for packet in packets:
        size, group = size_of(packet), groups[-1] if groups else None
        if group is None or group.is_ended or len(group.packets) >= MAX_SEGMENTS:
            groups.append(_Group(packet, size))
        elif group.takes(packet, size):
            group.add(packet, size)
            group.low, group.high = min(group.low, size), max(group.high, size)
        elif size < group.high:
            group.add(packet, size)
            group.is_ended = True
        else:
            groups.append(_Group(packet, size))
    return groups


def padded(packet: Packet, size: int) -> Packet:
    """The packet as long as `size`; as it is if it lacks more than padding can make up for."""
    missing, had = size - size_of(packet), packet.payload[-1] if packet.padded and packet.payload else 0
    if missing <= 0 or missing + had > MAX_PAD or (packet.padded and not had):
        return packet
    # The last byte says how many are padding, itself included (RFC 3550 section 5.1).
    payload = packet.payload[:-1] + b"\0" if had else packet.payload
    payload += bytes(missing - 1) + bytes((missing + had,))
    return packet_of((*packet[:5], payload, True, *packet[7:]))
