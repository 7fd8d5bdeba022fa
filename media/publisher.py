"""The host's side of a show: what arrives, and what we tell the host about it.

Owns: the sources (one SSRC a kind), their reception, their gaps, the wish for a keyframe.
Invariant: only a payload type that was answered is taken; the feedback towards the host is bounded (one PLI a
second, each gap asked for five times at most).
"""

import secrets
from collections.abc import Mapping
from typing import Final, Protocol

from media.core import rtcp
from media.core.formats import CLOCK_HZ, Codec, Kind
from media.core.keyframe import KeyframeRequests
from media.core.nack import Gaps
from media.core.reception import NTP_EPOCH_MS, Reception
from media.core.rtcp import SenderReport
from media.core.rtp import Header, strip_padding
from media.peer import Peer

SOURCE_SILENCE_MS: Final = 500
"""After this long another SSRC of the same kind may take over (an encoder that restarted)."""


class Stage(Protocol):
    """The show, as its publisher sees it."""

    def take_over(self, publisher: "Publisher") -> None: ...

    def begin(self, kind: Kind) -> None: ...

    def ingest(self, source: "Source", packet: "Incoming") -> None: ...

    def told(self, kind: Kind, timestamp: int, wall_ms: float) -> None: ...

    def left(self, publisher: "Publisher") -> None: ...


class Incoming:
    """One packet as it came, numbers extended."""

    __slots__ = ("marker", "now_ms", "payload", "sequence", "timestamp")

    def __init__(self, header: Header, sequence: int, payload: bytes, now_ms: int) -> None:
        self.sequence, self.timestamp, self.marker = sequence, header.timestamp, header.marker
        self.payload, self.now_ms = payload, now_ms


class Source:
    """One SSRC of the publisher."""

    def __init__(self, ssrc: int, codec: Codec) -> None:
        self.kind = codec.kind
        self.codec = codec
        self.reception = Reception(ssrc, CLOCK_HZ[codec.kind])
        self.gaps = Gaps()


class Publisher:
    """One WHIP session; listens to its peer."""

    def __init__(
        self, stage: Stage, peer: Peer, codecs: Mapping[int, Codec], *, h264_profile: str, max_bitrate_bps: int
    ) -> None:
        self.peer = peer
        self.codecs = dict(codecs)
        self.h264_profile = h264_profile
        self.keyframes = KeyframeRequests()
        self.sources: dict[Kind, Source] = {}
        self.plis = 0
        self.nacks = 0
        self._stage = stage
        self._ssrc = secrets.randbits(31) + 1
        self._max_bitrate_bps = max_bitrate_bps
        self._shift_ms: float | None = None
        peer.listener = self

    @property
    def video(self) -> Codec | None:
        return next((codec for codec in self.codecs.values() if codec.kind is Kind.VIDEO), None)

    def connected(self) -> None:
        self._stage.take_over(self)

    def closed(self) -> None:
        self._stage.left(self)

    def rtp(self, header: Header, payload: bytes, now_ms: int) -> None:
        """Take one authentic packet."""
        self.peer.seen_ms = now_ms  # FFmpeg sends one check and no more: its media is its sign of life
        codec = self.codecs.get(header.payload_type)
        source = self._source(header.ssrc, codec, now_ms) if codec else None
        if source is None:
            return
        extended = source.reception.arrived(header.sequence, header.timestamp, len(payload), now_ms)
        if source.kind is Kind.VIDEO and not source.gaps.arrived(extended, now_ms):
            self.keyframes.want()
        content = strip_padding(payload) if header.padded else payload
        if content is not None:
            self._stage.ingest(source, Incoming(header, extended, content, now_ms))

    def _source(self, ssrc: int, codec: Codec, now_ms: int) -> Source | None:
        held = self.sources.get(codec.kind)
        if held is not None and held.reception.ssrc == ssrc:
            return held
        if held is not None:
            if now_ms - held.reception.arrived_ms < SOURCE_SILENCE_MS:
                return None
            self._stage.begin(codec.kind)
        self.sources[codec.kind] = Source(ssrc, codec)
        return self.sources[codec.kind]

    def rtcp(self, compound: bytes, now_ms: int) -> None:
        """Take one authentic compound packet."""
        self.peer.seen_ms = now_ms
        for part in rtcp.parse(compound):
            if isinstance(part, SenderReport):
                self._told(part, now_ms)

    def _told(self, report: SenderReport, now_ms: int) -> None:
        source = next((s for s in self.sources.values() if s.reception.ssrc == report.ssrc), None)
        if source is None:
            return
        source.reception.told(report, now_ms)
        said_ms = report.ntp * 1000 / (1 << 32) - NTP_EPOCH_MS
        if self._shift_ms is None:
            self._shift_ms = now_ms - said_ms
        self._stage.told(source.kind, report.timestamp, said_ms + self._shift_ms)

    def wall_ms(self, host_ms: float) -> float | None:
        """A moment of the host's clock, that of its sender reports, in our wall time; None before the first report."""
        return None if self._shift_ms is None else host_ms + self._shift_ms

    def react(self, now_ms: int) -> None:
        """Every few milliseconds: ask for what is lost, and for a keyframe if one is wanted."""
        video = self.sources.get(Kind.VIDEO)
        if video is None:
            return
        missing = video.gaps.due(now_ms)
        if missing:
            self.nacks += len(missing)
            self.peer.send_rtcp(rtcp.nack(self._ssrc, video.reception.ssrc, missing))
        if self.keyframes.due(now_ms):
            self.plis += 1
            self.peer.send_rtcp(rtcp.pli(self._ssrc, video.reception.ssrc))

    def report(self, now_ms: int) -> None:
        """Every second: how it arrives, and how much may come (without which a browser stays at a low rate)."""
        if not self.sources:
            return
        blocks = [source.reception.block(now_ms) for source in self.sources.values()]
        ssrcs = [source.reception.ssrc for source in self.sources.values() if source.kind is Kind.VIDEO]
        compound = rtcp.receiver_report(self._ssrc, blocks)
        if ssrcs:
            compound += rtcp.remb(self._ssrc, self._max_bitrate_bps, ssrcs)
        self.peer.send_rtcp(compound)
