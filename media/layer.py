"""One layer of a show's picture: its track, who watches it, who wants to.

Owns: the track with its history, the group of pictures for newcomers, the packets of the next flush, the measured
rate and size.
Invariant: a subscriber watches one layer at most; `flushed` is the highest sequence that anybody may have been sent.
"""

from typing import Final

from msgspec import Struct

from media.core.audience import Audience
from media.core.formats import Kind
from media.core.history import Packet
from media.core.meter import Meter
from media.core.resolution import resolution
from media.core.runs import Run
from media.core.track import Track
from media.egress import Egress
from media.newcomers import Newcomers
from media.subscriber import Subscriber

PAUSE_MS: Final = 1000
"""A layer that is silent for so long while another is not has been paused by its browser."""
FLUSH_PACKETS: Final = 48
"""Of one flush: an encoder that sends a keyframe at once must not make a burst of it for every viewer."""


class LayerStats(Struct, frozen=True, kw_only=True):
    """One layer in numbers; counters since the show began here."""

    layer: int
    rid: str
    """The publisher's name for it; empty without simulcast."""
    is_on_air: bool
    width: int
    height: int
    """Of the last keyframe, in pixels; 0 where it does not tell."""
    rate_bps: int
    """Over the last two seconds."""
    packets: int
    octets: int
    keyframes: int
    frames: int
    viewers: int


class Layer:
    """One layer."""

    def __init__(self, number: int, *, egress: Egress, size: int, gop_packets: int) -> None:
        self.number = number
        self.rid = ""
        self.track = Track(Kind.VIDEO, size)
        self.newcomers = Newcomers(self.track, egress, gop_packets)
        self.viewers: Audience[Subscriber] = Audience()
        self.wished: dict[Subscriber, None] = {}
        """Those who come with the next keyframe."""
        self.pending: list[Packet] = []
        self.flushed = 0
        self.arrived_ms = 0
        """When the source on air was last heard; 0: not yet."""
        self.meter = Meter()
        self.size = (0, 0)
        self.packets = self.octets = self.keyframes = self.frames = 0

    def begin(self) -> None:
        """Another source begins."""
        self.track.begin()
        self.newcomers.reel.clear()

    def rest(self) -> None:
        """There is no source any more."""
        self.arrived_ms, self.meter, self.size = 0, Meter(), (0, 0)
        self.newcomers.reel.clear()

    def put(self, packet: Packet, now_ms: int) -> None:
        """Take a packet for the next flush."""
        self.pending.append(packet)
        self.packets += 1
        self.octets += len(packet.payload)
        self.frames += packet.marker
        self.arrived_ms = now_ms
        self.meter.count(len(packet.payload), now_ms)
        if packet.begins_keyframe:
            self.keyframes += 1
            self.size = resolution(packet.codec, packet.payload) or self.size

    def take(self) -> list[Packet]:
        """What goes with this flush; the rest stays for the next."""
        taken, self.pending = self.pending[:FLUSH_PACKETS], self.pending[FLUSH_PACKETS:]
        return taken

    def gone(self, runs: list[Run]) -> None:
        """These are on their way: from now on they can be asked for again.

        Only now: before, their padding was undecided, and a resend would have been other bits under one nonce.
        """
        packets = [packet for run in runs for packet in run.packets if packet.kind is Kind.VIDEO]
        for packet in packets:
            self.track.history.put(packet)
            self.flushed = max(self.flushed, packet.sequence)
        self.newcomers.take(packets)

    def is_on_air(self, newest_ms: int) -> bool:
        """`newest_ms`: when any layer was last heard."""
        return bool(self.arrived_ms) and newest_ms - self.arrived_ms < PAUSE_MS

    def stats(self, now_ms: int, *, is_on_air: bool) -> LayerStats:
        return LayerStats(
            layer=self.number,
            rid=self.rid,
            is_on_air=is_on_air,
            width=self.size[0],
            height=self.size[1],
            rate_bps=self.meter.bps(now_ms),
            packets=self.packets,
            octets=self.octets,
            keyframes=self.keyframes,
            frames=self.frames,
            viewers=len(self.viewers),
        )
