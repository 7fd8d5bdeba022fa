"""The last packets of a track, for whoever missed one.

Owns: a ring of packets by extended sequence number.
Invariant: holds at most `size` packets, and what it returns for a number is the packet put for it, bit for bit.
"""

import functools
from typing import Final, NamedTuple

from media.core.extensions import BLOCK_BYTES
from media.core.formats import Codec, Kind


class Packet(NamedTuple):
    """One packet on a track's own timeline, before a subscriber's header is put on it.

    Never changed once it stands in a history: sent again, it must be the same bits under the same nonce.
    """

    kind: Kind
    codec: Codec
    sequence: int
    """Extended; the track's, not the publisher's."""
    timestamp: int
    marker: bool
    payload: bytes
    """With its padding, if `padded`."""
    padded: bool = False
    begins_keyframe: bool = False
    capture: int = 0
    """When the picture was captured, on our wall clock: NTP in 32.32 bits (`reception.ntp`). Not 0: the packet goes
    with a block of header extensions, `extensions.BLOCK_BYTES` long."""


packet_of: Final = functools.partial(tuple.__new__, Packet)
"""A packet from all its fields in a tuple: for each that arrives, in a third of the time of `Packet(...)`."""


def size_of(packet: Packet) -> int:
    """Bytes behind the fixed header, before encryption: the same for every subscriber."""
    return len(packet.payload) + BLOCK_BYTES if packet.capture else len(packet.payload)


class History:
    """A ring of the last `size` packets; `size` is a power of two."""

    __slots__ = ("_mask", "_ring")

    def __init__(self, size: int) -> None:
        assert size & size - 1 == 0, "a power of two lets a mask find the slot"
        self._ring: list[Packet | None] = [None] * size
        self._mask = size - 1

    def put(self, packet: Packet) -> None:
        """Keep a packet; one that is older than what stands in its slot is not kept."""
        slot = packet.sequence & self._mask
        held = self._ring[slot]
        if held is None or held.sequence < packet.sequence:
            self._ring[slot] = packet

    def get(self, sequence: int) -> Packet | None:
        packet = self._ring[sequence & self._mask]
        return packet if packet is not None and packet.sequence == sequence else None
