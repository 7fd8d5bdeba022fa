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
        if audio and _has_room(group, audio[0]):
            group.append(audio.pop(0))
    return [_finish(group) for group in groups] + regroup(audio)


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


def _group(packets: Sequence[Packet]) -> list[list[Packet]]:
    groups: list[list[Packet]] = []
    low = high = 0
    for packet in packets:
        size = size_of(packet)
        fits = bool(groups) and len(groups[-1]) < MAX_SEGMENTS and high >= low  # high < low: ended by a short one
        if fits and max(high, size) - min(low, size) <= MAX_PAD and not _is_padded(groups[-1], max(high, size)):
            groups[-1].append(packet)
            low, high = min(low, size), max(high, size)
        elif fits and size < high:
            groups[-1].append(packet)
            low, high = 1, 0
        else:
            groups.append([packet])
            low = high = size
    return groups


def _is_padded(group: Sequence[Packet], size: int) -> bool:
    """A packet that came padded cannot be padded again by us."""
    return any(packet.padded and size_of(packet) != size for packet in group)


def _has_room(group: Sequence[Packet], packet: Packet) -> bool:
    if len(group) >= MAX_SEGMENTS:
        return False
    high = max(size_of(held) for held in group)
    return size_of(packet) <= high and high - size_of(group[-1]) <= MAX_PAD and not _is_padded(group, high)


def _finish(group: Sequence[Packet]) -> Run:
    high, last = max(size_of(packet) for packet in group), group[-1]
    if last.kind is Kind.VIDEO and not last.padded and high - size_of(last) <= NEARLY:
        last = _padded(last, high)
    return Run((*(_padded(packet, high) for packet in group[:-1]), last), high)


def _padded(packet: Packet, size: int) -> Packet:
    missing = size - size_of(packet)
    if missing == 0:
        return packet
    payload = packet.payload + bytes(missing - 1) + bytes((missing,))
    return packet_of((*packet[:5], payload, True, *packet[7:]))
