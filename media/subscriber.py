"""One viewer's side of a show: lines, its layer, resends, sender reports.

Owns: the lines, the budgets and the choice of layer of one WHEP session.
Invariant: a NACK is answered within the budget, with the bits that were sent before, from whichever layer they came;
a viewer's wishes cost the host a bounded number of keyframes.

A switch from one layer to another is another shift of the same line, at a keyframe, so that the browser sees one
stream. Layers count their sequence numbers and timestamps from random starts; the publisher's sender reports tie
each one's timestamps to the wall clock, and so to each other. 90 kHz:

    layer l     sequence  70012   70013        timestamp  900_000 at 10.000 s      (shifts -70000, +50_000)
    layer h               31500 (key)                     412_345 at 10.033 s
    the viewer         12      13    14               950_000  952_970  ...
    h's shifts: 14 - 31500 = -31486; l would have stood at 902_970 at 10.033 s: 902_970 + 50_000 - 412_345 = +540_625

so that the key has timestamp 952_970, which is when it was taken. It is never behind what was sent: at least a
millisecond after that.
"""

import os
import struct
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final, Protocol

from msgspec import Struct

from media.core import rtcp
from media.core.bandwidth import Bandwidth
from media.core.cadence import Cadence
from media.core.catchup import CatchUp
from media.core.extensions import holding, template
from media.core.formats import CLOCK_HZ, Codec, Kind
from media.core.history import Packet
from media.core.hold import Hold
from media.core.keyframe import KeyframeBudget
from media.core.layers import OFF, Choice, Move, Rung
from media.core.nack import ResendBudget, ResendShare
from media.core.probe import Probe
from media.core.reception import ntp
from media.core.rewrite import OCTETS, Line, Repair, nearest
from media.core.rtcp import Nack, Remb, ReportBlock, SenderReport
from media.core.rtp import Header
from media.core.sdp import Terms
from media.core.track import Track
from media.peer import Peer
from media.span import Span, kept

if TYPE_CHECKING:
    from media.layer import Layer

CNAME = "show"
_KINDS: Final = tuple(Kind)
"""To go through an enumeration itself is slow."""
_RANDOM: Final = struct.Struct("=IIIHH")
"""A line's numbers in one look into the kernel's pool: by name they were a quarter of what a subscriber costs."""
_TICK: Final = CLOCK_HZ[Kind.VIDEO] // 1000
_RESEND_SHARE_BYTES: Final = 2 * 8 * 1200
"""Resends may take half of what fits."""


class SubscriberStats(Struct, frozen=True, kw_only=True):
    """One viewer's session in numbers; counters since it began."""

    layer: int
    """Whose picture it gets; -1: none."""
    wished_layer: int
    """Where it goes with the next keyframe; -1: nowhere."""
    sent_bps: int
    """Over the last second or so, as of its last report."""
    estimate_bps: int
    """What is known to fit; 0: nothing is known."""
    remb_bps: int
    """What its browser said last; 0: never anything."""
    loss: float
    """Share lost in its last report about the video."""
    rtt_ms: int
    jitter_ms: float
    packets: int
    octets: int
    nacked: int
    resent: int
    plis: int
    switches: int
    probes: int


class Stage(Protocol):
    """The show, as a subscriber sees it."""

    sound: Track
    rungs: tuple[Rung, ...]
    sound_bps: int

    def joined(self, subscriber: "Subscriber") -> None: ...

    def parted(self, subscriber: "Subscriber") -> None: ...

    def want_keyframe(self, subscriber: "Subscriber") -> None: ...

    def move(self, subscriber: "Subscriber", move: Move) -> None: ...

    def resend(self, subscriber: "Subscriber", packets: Sequence[Packet]) -> None: ...

    def resend_of(self, subscriber: "Subscriber", span: Span, packet: Packet) -> None: ...


class Subscriber:
    """One WHEP session; listens to its peer, and is a target of the egress."""

    def __init__(
        self, stage: Stage, peer: Peer, terms: Mapping[Kind, Terms], playout_delay_ms: tuple[int, int] = (0, 1000)
    ) -> None:
        self.peer = peer
        self.nacked = self.resent = self.plis = self.switches = self.probes = 0
        self.lines: tuple[Line | None, Line | None] = (
            _line(terms.get(Kind.AUDIO), playout_delay_ms),
            _line(terms.get(Kind.VIDEO), playout_delay_ms),
        )
        self.catch_up: CatchUp | None = None
        """While it is behind the fan-out, and as long afterwards as it may ask for what it got then."""
        self.layer: Layer | None = None
        """Whose picture it gets."""
        self.wish: Layer | None = None
        """Whose it will get from the next keyframe on."""
        self.bandwidth = Bandwidth()
        self._choice = Choice()
        self._probe = Probe()
        self._spans: list[Span] = []
        self._first = 0
        self._next: int | None = None
        self._forgone = 0
        """What has a lower number was of a layer far too large, and is not sent again."""
        self._reported_to: int | None = None
        """The highest number that its last report was about."""
        self._stage = stage
        self._budget = ResendBudget()
        self._share = ResendShare()
        self._wishes = KeyframeBudget()
        self._hold, self._least_ms = Hold(), playout_delay_ms[0]
        self.cadence = Cadence()
        self._untold = {kind for kind, line in zip(_KINDS, self.lines, strict=True) if line is not None}
        """What no sender report has been about since it began."""
        self._turn = 0
        peer.listener = self

    @property
    def ssrcs(self) -> dict[Kind, int]:
        """For the answer."""
        return {kind: line.ssrc for kind, line in zip(_KINDS, self.lines, strict=True) if line}

    @property
    def repair_ssrcs(self) -> dict[Kind, int]:
        """Of the retransmissions, likewise."""
        return {kind: line.repair.ssrc for kind, line in zip(_KINDS, self.lines, strict=True) if line and line.repair}

    @property
    def video(self) -> Line | None:
        return self.lines[Kind.VIDEO]

    def takes(self, codec: Codec) -> bool:
        """False if it wants this kind of media, but not in this codec."""
        line = self.lines[codec.kind]
        return line is None or codec in line.payload_types

    def connected(self) -> None:
        self._stage.joined(self)

    def closed(self) -> None:
        self._stage.parted(self)

    def rtp(self, header: Header, payload: bytes, now_ms: int) -> None:
        """A subscriber has nothing to say."""

    # Layers

    def enter(self, layer: "Layer", key: Packet, now_ms: int) -> None:
        """Get the layer's picture from `key` on, without a seam."""
        line = self.video
        assert line is not None, "who takes no video is on no layer"
        if self._next is None:
            line.begin(key.sequence)
            self._probe.begin(now_ms)
        else:
            line.enter(key.sequence, self._next, self._timestamp_shift(line, layer, key))
            self.switches += 1
        self.cadence.begin()
        self._untold.add(Kind.VIDEO)
        self.layer, self.wish = layer, None
        self._first = key.sequence + line.shift

    def hurried(self, layer: "Layer", now_ms: int) -> None:
        """It gets the layer's picture by its newcomers' way."""
        line, catch_up = self.video, self.catch_up
        assert line is not None, "who takes no video is on no layer"
        assert catch_up is not None, "and who is hurried has something to catch up with"
        self.layer, self._first = layer, catch_up.first + line.shift
        self._probe.begin(now_ms)

    def skipped(self, catch_up: CatchUp) -> None:
        """It goes on with the newer keyframe of `catch_up`, as the number behind the last that it got."""
        layer, line, before = self.layer, self.video, self.catch_up
        assert layer is not None, "who catches up is on a layer"
        assert line is not None, "with its picture"
        assert before is not None, "and has begun to"
        before.end()
        span = self._span(layer, line, line.copy())
        assert span is not None, "a catch-up begins with a packet"
        self._spans, self.catch_up = kept(self._spans, span), catch_up
        line.shift = span.last + 1 - catch_up.first
        self._first = span.last + 1

    def leave(self) -> None:
        """Get no more of the present layer's picture; what it got can still be asked for."""
        layer, line = self.layer, self.video
        if layer is None or line is None:
            return
        span = self._span(layer, line, line.copy())
        self.layer = None
        layer.viewers.discard(self)
        layer.newcomers.leave(self)
        line.leave()
        if span is not None:
            self._spans, self._next = kept(self._spans, span), span.last + 1

    def _span(self, layer: "Layer", line: Line, copy: Line) -> Span | None:
        if line.has_begun:
            last = max(line.first - 1, layer.flushed)
        elif self.catch_up is not None:
            last = self.catch_up.sent
        else:
            return None
        return Span(layer, copy, self._first, last + line.shift, self.catch_up)

    def _timestamp_shift(self, line: Line, layer: "Layer", key: Packet) -> int:
        """What makes the key's timestamp the one that the layer before would have had at its moment."""
        before = self._spans[-1]
        wall_ms = layer.track.wall_of(key.timestamp)
        stood = before.layer.track.timestamp_at(wall_ms) if wall_ms is not None else None
        newest = before.sent(before.last)
        if newest is not None:
            behind = newest.timestamp + _TICK
            if stood is None or (stood - behind & 0xFFFFFFFF) >= 1 << 31:
                stood = behind
        return (stood or 0) + line.timestamp_shift - key.timestamp & 0xFFFFFFFF

    def consider(self, now_ms: int) -> None:
        """Move if another layer is better now; else ask whether there is room for one."""
        line = self.video
        if line is None or (self.layer is None and self.wish is None and self._next is None):
            return
        rungs, to = self._stage.rungs, self.wish or self.layer
        if len(rungs) == 1 and to is not None and to.number == rungs[0].layer and self.bandwidth.congested_ms is None:
            self._choice.stay()  # nowhere to go, and no harm: so it is for most, each second
            return
        sound_bps = self._stage.sound_bps
        at = to.number if to is not None else OFF
        move = self._choice.decide(rungs, at, self.bandwidth, sound_bps, now_ms)
        if move is not None:
            self._stage.move(self, move)
        if self._choice.drains:
            self._forgone = self._next or 0
            self._report_on(Kind.VIDEO, now_ms)  # whose answer says that what went before it has come out
        elif move is None and self.wish is None and self.bandwidth.is_steady and self._probe.is_due(now_ms):
            wanted = self._choice.wanted_bps(rungs, at, self.bandwidth, sound_bps, now_ms)
            if wanted:
                self._ask(line, now_ms)
        if self.bandwidth.congested_ms is not None:
            self._budget.limit(max(15, min(300, self.bandwidth.estimate_bps // _RESEND_SHARE_BYTES)))

    def _ask(self, line: Line, now_ms: int) -> None:
        """Send a train: the newest packets once more, and a sender report behind them."""
        packets = self._newest(line, self._probe.octets)
        if not packets:
            return
        self._stage.resend(self, packets)
        self._report_on(Kind.VIDEO, now_ms)
        octets = sum(len(packet.payload) for packet in packets)
        self._probe.sent(octets, ntp(now_ms) >> 16 & 0xFFFFFFFF, now_ms)
        self.probes += 1

    def _newest(self, line: Line, octets: int) -> list[Packet]:
        """The newest packets that the fan-out sent it, about so much of them."""
        found: list[Packet] = []
        layer = self.layer
        if layer is None or not line.has_begun:
            return found
        sequence = layer.flushed
        while octets > 0 and sequence >= line.first and layer.flushed - sequence < 256:
            packet = layer.track.history.get(sequence)
            sequence -= 1
            if packet is not None:
                found.append(packet)
                octets -= len(packet.payload)
        return found[::-1]

    # Feedback

    def rtcp(self, compound: bytes, now_ms: int) -> None:
        """Take one authentic compound packet."""
        line, speaks = self.video, False
        for part in rtcp.parse(compound):
            if isinstance(part, Nack):
                self._answer(part, now_ms)
            elif isinstance(part, rtcp.KeyframeRequest):
                self._wants_keyframe(now_ms)
            elif isinstance(part, Remb):
                speaks = speaks or self._count(now_ms)
                self.bandwidth.told(part.bitrate_bps, now_ms)
            elif isinstance(part, ReportBlock) and line is not None and part.ssrc == line.ssrc:
                speaks = speaks or self._count(now_ms)
                self._reported(part, now_ms)
        if speaks:
            self.consider(now_ms)

    def _count(self, now_ms: int) -> bool:
        """Once for each compound, before what it says is judged by what was sent; True."""
        octets = -self._probe.octets_sent
        for line in self.lines:
            if line is not None:
                octets += line.numbers[OCTETS] + (line.repair.numbers[OCTETS] if line.repair is not None else 0)
        self.bandwidth.sent(octets, now_ms)
        return True

    def _reported(self, block: ReportBlock, now_ms: int) -> None:
        loss, jitter_ms = block.fraction_lost / 256, block.jitter / _TICK
        packets = block.highest - (block.highest if self._reported_to is None else self._reported_to) & 0xFFFFFFFF
        packets = packets if packets < 1 << 31 else 0  # it came late, behind a newer one
        if packets or self._reported_to is None:
            self._reported_to = block.highest
        ago_ms = rtcp.answers_of_ms_ago(block, ntp(now_ms))
        if ago_ms is not None:
            self.bandwidth.drained(now_ms - ago_ms)
        rtt_ms = rtcp.round_trip_ms(block, ntp(now_ms))
        carried = None
        if rtt_ms is not None:
            carried = self._probe.answered(block.last_sr, rtt_ms, self.bandwidth.shortest_ms)
        if self._choice.forgives(now_ms):
            self.bandwidth.forgive()
        elif carried is None:
            self.bandwidth.reported(loss, jitter_ms, rtt_ms, now_ms, packets=packets)
        else:  # what the train did to loss and delay says nothing about what goes without it
            self._carried(carried, loss, now_ms)

    def _carried(self, bps: int, loss: float, now_ms: int) -> None:
        to = self.wish or self.layer
        at = to.number if to is not None else OFF
        wanted = self._choice.wanted_bps(self._stage.rungs, at, self.bandwidth, self._stage.sound_bps, now_ms)
        if loss > 0.1:
            bps = min(bps, self.bandwidth.sent_bps)
        agreed = self._probe.judged(bps, wanted, now_ms)
        if agreed:
            self.bandwidth.proved(agreed)
        elif bps < wanted:
            self.bandwidth.bounded(bps)

    def _wants_keyframe(self, now_ms: int) -> None:
        self.plis += 1
        if self._wishes.allows(now_ms):
            self._stage.want_keyframe(self)

    def _answer(self, nack: Nack, now_ms: int) -> None:
        kind = next((kind for kind in Kind if (line := self.lines[kind]) and line.ssrc == nack.ssrc), None)
        line = self.lines[kind] if kind is not None else None
        if kind is None or line is None:
            return
        self.nacked += len(nack.sequences)
        if kind is Kind.VIDEO:
            self._hold.missed(self.bandwidth.loss, self.bandwidth.rtt_ms, now_ms)
            self._hold_back(line, now_ms)
            self._answer_picture(line, nack.sequences, now_ms)
        else:
            self._answer_sound(line, nack.sequences, now_ms)

    def _hold_back(self, line: Line, now_ms: int) -> None:
        """Tell its player how long to wait for what comes again; once a second a packet bears it."""
        if line.repair is not None and line.is_repaired:  # else what is sent again must be the same bits
            least_ms = max(self._least_ms, self._hold.least_ms(now_ms))
            line.extensions = line.repair.extensions = holding(line.extensions, least_ms)

    def _answer_sound(self, line: Line, numbers: Sequence[int], now_ms: int) -> None:
        if not line.has_begun:
            return
        track, packets = self._stage.sound, []
        for number in numbers:
            sequence = nearest(number, track.highest + line.shift) - line.shift
            packet = track.history.get(sequence) if sequence >= line.first else None
            if packet is not None and self._may_resend(packet, sequence, now_ms):
                packets.append(packet)
        self.resent += len(packets)
        self._stage.resend(self, packets)

    def _answer_picture(self, line: Line, numbers: Sequence[int], now_ms: int) -> None:
        present = self._span(self.layer, line, line) if self.layer is not None else None
        spans = [*self._spans, *([present] if present else [])][::-1]
        for number in numbers:
            for span in spans:
                index = nearest(number, span.last)
                sent = span.sent(index) if span.has(index) and index >= self._forgone else None
                if sent is not None and self._may_resend(sent, index, now_ms):
                    self.resent += 1
                    self._stage.resend_of(self, span, sent)
                    break

    def _may_resend(self, packet: Packet, number: int, now_ms: int) -> bool:
        sent = sum(line.octets for line in self.lines if line is not None)
        in_budget = self._budget.allows(packet.kind, number, now_ms)
        return in_budget and self._share.allows(len(packet.payload), sent)

    # Reports

    def report(self, now_ms: int) -> None:
        """Sender reports for what has been sent: without them a browser has no lip sync and holds the sound back."""
        if self.video is not None:
            self._hold_back(self.video, now_ms)
        self._report_on(Kind.AUDIO, now_ms)
        if not self._probe.is_under_way(now_ms):
            self._report_on(Kind.VIDEO, now_ms)

    def report_first(self, now_ms: int) -> bool:
        """A report for each line that has begun and has had none; True once all have."""
        due = self._untold - {Kind.VIDEO} if self._probe.is_under_way(now_ms) else self._untold
        self._untold -= {kind for kind in due if self._report_on(kind, now_ms)}
        return not self._untold

    def report_again(self, now_ms: int) -> None:
        """Once a second. A choice of layers measures the way by each report; else who has settled needs few of them."""
        if len(self._stage.rungs) > 1 or self._probe.is_under_way(now_ms) or not self.cadence.is_settled(now_ms):
            self.report(now_ms)
        elif self.cadence.is_due(now_ms):
            self._report_together(now_ms)

    def _report_together(self, now_ms: int) -> None:
        """In one datagram, each in front in turn: GStreamer hands a datagram on to the first source in it alone."""
        if self.video is not None:
            self._hold_back(self.video, now_ms)
        self._turn = 1 - self._turn
        compound = b"".join(self._report_of(kind, now_ms) for kind in (Kind(self._turn), Kind(1 - self._turn)))
        if compound:
            self.peer.send_rtcp(compound)

    def _report_on(self, kind: Kind, now_ms: int) -> bool:
        """False where nothing has been sent."""
        report = self._report_of(kind, now_ms)
        if report:
            self.peer.send_rtcp(report)
        return bool(report)

    def _report_of(self, kind: Kind, now_ms: int) -> bytes:
        """Empty where nothing has been sent."""
        line, track = self.lines[kind], self._track(kind)
        timestamp = track.timestamp_at(now_ms) if track is not None else None
        if line is None or timestamp is None or not line.packets:
            return b""
        self.cadence.told(now_ms)
        stamp = timestamp + line.timestamp_shift
        return rtcp.sender_report(SenderReport(line.ssrc, ntp(now_ms), stamp, line.packets, line.octets), CNAME)

    def _track(self, kind: Kind) -> Track | None:
        if kind is Kind.AUDIO:
            return self._stage.sound
        layer = self.layer or (self._spans[-1].layer if self._spans else None)
        return layer.track if layer is not None else None

    def stats(self) -> SubscriberStats:
        bandwidth = self.bandwidth
        lines = [line for line in self.lines if line is not None]
        return SubscriberStats(
            layer=self.layer.number if self.layer else OFF,
            wished_layer=self.wish.number if self.wish else OFF,
            sent_bps=bandwidth.sent_bps,
            estimate_bps=bandwidth.estimate_bps,
            remb_bps=bandwidth.remb_bps,
            loss=bandwidth.loss,
            rtt_ms=bandwidth.rtt_ms,
            jitter_ms=bandwidth.jitter_ms,
            packets=sum(line.packets for line in lines),
            octets=sum(line.octets for line in lines),
            nacked=self.nacked,
            resent=self.resent,
            plis=self.plis,
            switches=self.switches,
            probes=self.probes,
        )


def _line(terms: Terms | None, playout_delay_ms: tuple[int, int]) -> Line | None:
    if not terms:
        return None
    # Random starts make the plaintext of the first headers hard to guess (RFC 3550 section 5.1).
    ssrc, repair_ssrc, shift, start, repair_start = _RANDOM.unpack(os.urandom(_RANDOM.size))
    line = Line(ssrc | 1, terms.payload_types, start >> 1, shift)
    least_ms, most_ms = playout_delay_ms
    line.extensions = template(terms.extensions, least_ms=least_ms, most_ms=most_ms)
    if terms.repairs:
        line.repair = Repair(repair_ssrc & ~1 or 2, terms.repairs, repair_start >> 1)
        line.repair.extensions = line.extensions
    return line
