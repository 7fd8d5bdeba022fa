"""The seam between a show and what brings it its packets.

A show takes from any `Feed`: the publisher of a WHIP session here, or a link to another process that has one. The feed
calls the show by `Stage`, and nothing else of it:

    feed -> show    take_over(feed)                 it is connected, and from now on the one on air
                    begin(stream)                   another source begins in this stream; numbers start anew
                    ingest(stream, packet)          a packet, its sequence number extended
                    told(stream, timestamp, ms)     its clock stood at `timestamp` at `ms` of our wall time
                    left(feed)                      it has gone
    show -> feed    want_keyframe(layer)            as often as anybody wishes; the feed keeps its own measure
                    keyframe_arrived(layer)
                    react(now_ms)                   every 20 ms
                    report(now_ms)                  every second
                    end()                           another feed is on air
                    wall_ms(host_ms)                a moment of the host's clock, for a pin

Invariant: a feed that is not on air is not heard; whoever it is, its layers are numbered from 0 to `layers - 1`, and
the order says nothing about which is better (`Show` measures that).
"""

from collections.abc import Mapping
from typing import NamedTuple, Protocol

from media.core.formats import Codec, Kind


class Stream(NamedTuple):
    """One stream of a feed."""

    kind: Kind
    layer: int
    """0 for sound, and for the picture of a host without simulcast."""
    codec: Codec


class Incoming(NamedTuple):
    """One packet as it came."""

    sequence: int
    """Extended; each stream counts for itself."""
    timestamp: int
    marker: bool
    payload: bytes
    """Without padding; empty if there was nothing else."""
    now_ms: int
    captured_ms: float | None = None
    """When the host says that it captured this, in our wall time; None where it does not say."""


class Feed(Protocol):
    """What brings packets."""

    codecs: Mapping[int, Codec]
    """What may come, by payload type."""
    h264_profile: str
    """profile-level-id, or empty."""
    rids: tuple[str, ...]
    """The names of its layers; empty where there is but one."""
    plis: int
    """Requests for a keyframe that went up."""
    nacks: int
    """Packets that were asked for again."""

    @property
    def video(self) -> Codec | None: ...

    def want_keyframe(self, layer: int, *, patiently: bool = False) -> None: ...

    def keyframe_arrived(self, layer: int) -> None: ...

    def react(self, now_ms: int) -> None: ...

    def report(self, now_ms: int) -> None: ...

    def end(self) -> None: ...

    def wall_ms(self, host_ms: float) -> float | None:
        """A moment of the host's clock, that of its sender reports, in our wall time; None where it is not known."""


class Stage(Protocol):
    """The show, as a feed sees it."""

    def take_over(self, feed: Feed) -> None: ...

    def begin(self, stream: Stream) -> None: ...

    def ingest(self, stream: Stream, packet: Incoming) -> None: ...

    def told(self, stream: Stream, timestamp: int, wall_ms: float) -> None: ...

    def left(self, feed: Feed) -> None: ...
