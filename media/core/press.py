"""The time of a newcomer's pictures: what lies between the keyframe and live, pressed together.

Reads no clock and does no I/O. Invariant: the same timestamp always becomes the same; they rise with the host's own,
and are the host's own from `live` on. So a packet's bits follow from the packet and from this, and nothing need be
kept for each newcomer. media/native works out the same in C.
"""

from typing import Final, NamedTuple

from media.core.formats import CLOCK_HZ, Kind

_HZ: Final = CLOCK_HZ[Kind.VIDEO]


class Press(NamedTuple):
    """`span` ticks that end at the timestamp `live`, pressed into `pressed` ticks; `pressed` <= `span`, 90 kHz."""

    live: int
    pressed: int
    span: int

    def before_live(self, timestamp: int) -> int:
        """Ticks before live, as pressed; 0 from live on."""
        return max(0, signed(self.live - timestamp)) * self.pressed // self.span

    def shift(self, timestamp: int) -> int:
        """Ticks by which a packet of the host's `timestamp` is made later; 0 from live on."""
        ago = signed(self.live - timestamp)
        return ago - ago * self.pressed // self.span if ago > 0 else 0


def later(capture: int, shift: int) -> int:
    """A capture time (NTP, 32.32 bits) so many ticks later.

    It moves with its timestamp: browsers derive the pictures between two capture times from the timestamps.
    """
    return capture + (shift << 32) // _HZ & 0xFFFFFFFFFFFFFFFF if capture else 0


def signed(ticks: int) -> int:
    """A difference of two timestamps, across the wrap."""
    return (ticks + 0x80000000 & 0xFFFFFFFF) - 0x80000000
