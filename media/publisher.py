"""The host's side of a show: what arrives, and what we tell the host about it.

Owns: the sources (one SSRC for sound, one for each layer of the picture), their reception, their gaps, the wishes for
keyframes.
Invariant: only a payload type that was answered is taken, and of simulcast only SSRCs that have named a layer which was
answered; the feedback towards the host is bounded (one PLI a second and layer, each gap asked for five times at most).

A browser that sends layers names no SSRC in its offer. The first packets of each layer carry its rid in a header
extension (RFC 8852); once we have reported on an SSRC they no longer do, so the SSRC is bound to the rid:

    rids q, h   |  ssrc 7 rid h -> layer 1  |  ssrc 9 rid q -> layer 0  |  ssrc 7 -> layer 1  |  ssrc 5 -> dropped
"""

import secrets
from collections.abc import Mapping
from typing import Final

from media.core import rtcp
from media.core.extensions import ABS_CAPTURE_TIME, RID
from media.core.formats import CLOCK_HZ, Codec, Kind
from media.core.keyframe import KeyframeRequests
from media.core.nack import Gaps
from media.core.reception import Reception, wall_ms_of
from media.core.rtcp import SenderReport
from media.core.rtp import Header, extension, strip_padding
from media.core.srtp import Window
from media.feed import Incoming, Stage, Stream
from media.peer import Peer
from media.repairs import Repairs

SOURCE_SILENCE_MS: Final = 500
"""After this long another SSRC of the same stream takes over (an encoder that restarted)."""
CHALLENGE_PACKETS: Final = 512
"""Of it are kept until then: its first keyframe is among them, and who hears no PLI sends the next in seconds."""
MAX_AGE_MS: Final = 30_000
"""Between a picture's capture and its arrival; more is a clock that we do not know."""
_NTP_BYTES: Final = 8
_NONE: Final[Mapping[str, int]] = {}
LAYER_RATIO: Final = 4
"""A layer of half the width and height takes about a quarter of the rate."""


class Source:
    """One SSRC of the publisher."""

    def __init__(self, ssrc: int, stream: Stream) -> None:
        self.stream = stream
        self.reception = Reception(ssrc, CLOCK_HZ[stream.kind])
        self.gaps = Gaps()
        self.seen = Window()


class Challenger:
    """Another SSRC of a stream, while the one on air may still go on."""

    def __init__(self, ssrc: int, layer: int) -> None:
        self.ssrc, self.layer = ssrc, layer
        self.packets: list[tuple[Header, bytes, int]] = []


class Publisher:
    """One WHIP session; listens to its peer, and is the show's feed."""

    def __init__(
        self,
        stage: Stage,
        peer: Peer,
        codecs: Mapping[int, Codec],
        *,
        h264_profile: str,
        max_bitrate_bps: int,
        rids: tuple[str, ...] = (),
        extensions: Mapping[str, int] = _NONE,
        repairs: Repairs | None = None,
    ) -> None:
        """`max_bitrate_bps` is for the highest layer; `extensions` are the picture's, by the numbers of the offer."""
        self.peer = peer
        self.codecs: Mapping[int, Codec] = dict(codecs)
        self.h264_profile = h264_profile
        self.rids = rids
        self.sources: dict[tuple[Kind, int], Source] = {}
        self.plis = 0
        self.nacks = 0
        self._rid_extension = extensions.get(RID, 0)
        self._capture_extension = extensions.get(ABS_CAPTURE_TIME, 0)
        self._repairs = repairs
        self.repaired = 0
        """Packets that were lost and came as retransmissions."""
        self._by_ssrc: dict[int, Source] = {}
        self._challengers: dict[tuple[Kind, int], Challenger] = {}
        self._wishes = [KeyframeRequests() for _ in rids or ("",)]
        self._stage = stage
        self._ssrc = secrets.randbits(31) + 1
        self._max_bitrate_bps = max_bitrate_bps
        self._shift_ms: float | None = None
        peer.listener = self

    @property
    def video(self) -> Codec | None:
        return next((codec for codec in self.codecs.values() if codec.kind is Kind.VIDEO), None)

    def want_keyframe(self, layer: int, *, patiently: bool = False) -> None:
        if layer < len(self._wishes):
            self._wishes[layer].want(patiently=patiently)

    def keyframe_arrived(self, layer: int) -> None:
        self._wishes[layer].arrived()

    def end(self) -> None:
        self.peer.close()

    def connected(self) -> None:
        self._stage.take_over(self)

    def closed(self) -> None:
        self._stage.left(self)

    def rtp(self, header: Header, payload: bytes, now_ms: int) -> None:
        """Take one authentic packet."""
        self.peer.seen_ms = now_ms  # FFmpeg sends one check and no more: its media is its sign of life
        if self._repairs is not None and header.payload_type in self._repairs.formats:
            original = self._repairs.original(header, payload, self._ssrc_of)
            if original is not None:
                self.repaired += self._take(*original, now_ms)
        else:
            self._take(header, payload, now_ms)

    def _ssrc_of(self, layer: int) -> int | None:
        source = self.sources.get((Kind.VIDEO, layer))
        return source.reception.ssrc if source is not None else None

    def _take(self, header: Header, payload: bytes, now_ms: int) -> bool:
        """Take a packet, however it came; False if it is nobody's, or was there before."""
        codec = self.codecs.get(header.payload_type)
        source = self._source(header, payload, codec, now_ms) if codec else None
        if source is None:
            return False
        # The original and its repair come under two SSRCs, so SRTP lets both in; browsers repeat what was never lost.
        # Two packets of one number would be two texts under one nonce to every viewer.
        extended = source.reception.sequence.extend(header.sequence)
        if not source.seen.is_new(extended):
            return False
        source.seen.mark(extended)
        source.reception.arrived(extended, header.timestamp, len(payload), now_ms)
        stream = source.stream
        if stream.kind is Kind.VIDEO and not source.gaps.arrived(extended, now_ms):
            self.want_keyframe(stream.layer)
        content = strip_padding(payload) if header.padded else payload
        if content is not None:
            captured_ms = self._captured_ms(header, now_ms) if stream.kind is Kind.VIDEO else None
            incoming = Incoming(extended, header.timestamp, header.marker, content, now_ms, captured_ms)
            self._stage.ingest(stream, incoming)
        return True

    def _captured_ms(self, header: Header, now_ms: int) -> float | None:
        """When the host says that it captured this, in our wall time: by the shift of its sender reports."""
        number = self._capture_extension
        said = extension(header.extensions, number) if number and header.extensions else None
        if said is None or len(said) < _NTP_BYTES:
            return None
        captured_ms = self.wall_ms(wall_ms_of(int.from_bytes(said[:_NTP_BYTES], "big")))
        if captured_ms is None or abs(captured_ms - now_ms) > MAX_AGE_MS:
            return None  # by a clock that is not that of its reports: another host's, behind this one
        return captured_ms

    def _source(self, header: Header, payload: bytes, codec: Codec, now_ms: int) -> Source | None:
        held = self._by_ssrc.get(header.ssrc)
        if held is not None and held.stream.codec is codec:
            if self._challengers:
                self._challengers.pop((held.stream.kind, held.stream.layer), None)
            return held
        layer = self._layer(header) if codec.kind is Kind.VIDEO else 0
        if layer is None:
            return None
        stream = Stream(codec.kind, layer, codec)
        incumbent = self.sources.get((stream.kind, stream.layer))
        if incumbent is not None and now_ms - incumbent.reception.arrived_ms < SOURCE_SILENCE_MS:
            self._challenge(stream, header, payload, now_ms)
            return None
        return self._bind(header.ssrc, stream)

    def _layer(self, header: Header) -> int | None:
        """Which layer a new SSRC is; None for one that does not say so, though the offer named layers."""
        if not self.rids:
            return 0
        rid = extension(header.extensions, self._rid_extension) if self._rid_extension else None
        name = rid.decode("ascii", "replace") if rid else ""
        if not name:  # after the first packets it may say so no more
            return next((one.layer for one in self._challengers.values() if one.ssrc == header.ssrc), None)
        return self.rids.index(name) if name in self.rids else None

    def _challenge(self, stream: Stream, header: Header, payload: bytes, now_ms: int) -> None:
        """Keep a packet of another SSRC; whatever still comes of the one on air, a ghost or a straggler, ends that."""
        place = stream.kind, stream.layer
        challenger = self._challengers.get(place)
        if challenger is None or challenger.ssrc != header.ssrc:
            challenger = self._challengers[place] = Challenger(header.ssrc, stream.layer)
        if len(challenger.packets) < CHALLENGE_PACKETS:
            challenger.packets.append((header, payload, now_ms))

    def _bind(self, ssrc: int, stream: Stream) -> Source:
        place = stream.kind, stream.layer
        held = self.sources.get(place)
        if held is not None:
            self._by_ssrc.pop(held.reception.ssrc, None)
            self._stage.begin(stream)
        source = self.sources[place] = self._by_ssrc[ssrc] = Source(ssrc, stream)
        challenger = self._challengers.pop(place, None)
        if challenger is not None and challenger.ssrc == ssrc:
            for earlier in challenger.packets:
                self._take(*earlier)
        return source

    def rtcp(self, compound: bytes, now_ms: int) -> None:
        """Take one authentic compound packet."""
        self.peer.seen_ms = now_ms
        for part in rtcp.parse(compound):
            if isinstance(part, SenderReport):
                self._told(part, now_ms)

    def _told(self, report: SenderReport, now_ms: int) -> None:
        source = self._by_ssrc.get(report.ssrc)
        if source is None:
            return
        source.reception.told(report, now_ms)
        said_ms = wall_ms_of(report.ntp)
        if self._shift_ms is None:
            self._shift_ms = now_ms - said_ms
        self._stage.told(source.stream, report.timestamp, said_ms + self._shift_ms)

    def wall_ms(self, host_ms: float) -> float | None:
        """A moment of the host's clock, that of its sender reports, in our wall time; None before the first report."""
        return None if self._shift_ms is None else host_ms + self._shift_ms

    def react(self, now_ms: int) -> None:
        """Every few milliseconds: ask for what is lost, and for a keyframe where one is wanted."""
        for (kind, layer), source in self.sources.items():
            if kind is Kind.AUDIO:
                continue
            missing = source.gaps.due(now_ms)
            if missing:
                self.nacks += len(missing)
                self.peer.send_rtcp(rtcp.nack(self._ssrc, source.reception.ssrc, missing))
            if self._wishes[layer].due(now_ms):
                self.plis += 1
                self.peer.send_rtcp(rtcp.pli(self._ssrc, source.reception.ssrc))

    def report(self, now_ms: int) -> None:
        """Every second: how it arrives, and how much may come (without which a browser stays at a low rate)."""
        if not self.sources:
            return
        blocks = [source.reception.block(now_ms) for source in self.sources.values()]
        ssrcs = [source.reception.ssrc for (kind, _), source in self.sources.items() if kind is Kind.VIDEO]
        compound = rtcp.receiver_report(self._ssrc, blocks)
        if ssrcs:
            compound += rtcp.remb(self._ssrc, self.room_bps, ssrcs)
        self.peer.send_rtcp(compound)

    @property
    def room_bps(self) -> int:
        """For all layers together, the highest at its most."""
        return sum(self._max_bitrate_bps // LAYER_RATIO**number for number in range(len(self._wishes)))
