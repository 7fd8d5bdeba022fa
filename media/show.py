"""A show's media: one feed at a time, its subscribers, and what waits for the next flush.

Owns: the sound's track, the layers, the set of subscribers, who gets no picture.
Invariant: subscribers outlive feeds; the newest connected feed is the one on air; at most `MAX_PENDING` packets
wait, and of those that must go the oldest video goes first; a subscriber is in one group: a layer's viewers or
`listeners`.
"""

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from msgspec import Struct

from media.clock import now_ms as clock
from media.core.audience import Audience, Row
from media.core.formats import Codec, Kind
from media.core.history import Packet
from media.core.layers import OFF, Move, Rung
from media.core.meter import Meter
from media.core.pictures import Pictures
from media.core.runs import Run, plan
from media.core.track import Track
from media.egress import Egress
from media.feed import Feed, Incoming, Stream
from media.layer import PAUSE_MS, Layer, LayerStats
from media.ports import HostListener
from media.span import Span, View
from media.subscriber import Subscriber
from schema.ids import ShowId

MAX_PENDING: Final = 2048
AUDIO_HISTORY: Final = 512
JOIN_BPS: Final = 600_000
"""Where there is a choice of layers, the lowest is hurried to a newcomer no faster: what its network carries is not
known yet, and what fills the queue of a narrow one stands still for longer than it gains."""
MEANT_AGO_MS: Final = 10_000
MEANT_AHEAD_MS: Final = 3_000
"""Between the newest picture here and a moment that the host means: its uplink's delay at most."""
REACT_MS: Final = 20
"""At most so long after a loss its packets are asked for, while others arrive: their arrival is the clock."""
RANK_MS: Final = 200
"""How often the layers are ranked; a paused one is left within this time more."""


class ShowStats(Struct, frozen=True, kw_only=True):
    """A show's media in numbers; counters since the show began here."""

    show_id: ShowId
    host_present: bool
    video: str
    """The codec on air, or empty."""
    subscribers: int
    packets_in: int
    octets_in: int
    keyframes: int
    packets_dropped: int
    """Pending packets given up because the fan-out fell behind."""
    packets_withheld: int
    """Those that arrived while the show was cut."""
    plis_up: int
    nacked_up: int
    nacked_down: int
    resent: int
    plis_down: int
    """Keyframes that viewers asked for."""
    publishers: int
    """How many have been on air so far."""
    shown_at_once: int
    """Newcomers whose picture began with the cached group of pictures."""
    layers: tuple[LayerStats, ...] = ()
    """By number, not by quality."""


class Batch(NamedTuple):
    """What one group of subscribers gets at a flush."""

    rows: Sequence[Row[Subscriber]]
    runs: Sequence[Run]


class Show:
    """One show on this relay."""

    def __init__(
        self,
        show_id: ShowId,
        *,
        egress: Egress,
        listener: HostListener,
        wake: Callable[["Show", bool], None],
        hurry: Callable[[], None],
        size: int,
        gop_packets: int,
    ) -> None:
        self.show_id = show_id
        self.sound = Track(Kind.AUDIO, min(size, AUDIO_HISTORY))
        self.layers: list[Layer] = []
        self.rungs: tuple[Rung, ...] = ()
        """The layers on air, the lowest first."""
        self.sound_bps = 0
        """The sound's rate, when the layers were ranked last."""
        self.feed: Feed | None = None
        self.subscribers: set[Subscriber] = set()
        self.listeners: Audience[Subscriber] = Audience()
        """Those who get sound alone, or wait for their first picture."""
        self.host_present = False
        self.is_cut = False
        """True: what arrives goes to nobody."""
        self.quiet_since_ms = 0
        self._egress = egress
        self._listener = listener
        self._wake = wake
        self._hurry = hurry
        self._limits = size, gop_packets
        self._pictures = Pictures()
        self._sound_meter = Meter()
        self._pending_sound: list[Packet] = []
        self._reacted_ms = 0
        self._waiting = 0
        """Packets for the next flush, of sound and of all layers."""
        self._unreported: set[Subscriber] = set()
        self._awaiting_sound: set[Subscriber] = set()
        self._media_ms = self._ranked_ms = self._took_over_ms = 0
        self._packets = self._octets = self._dropped = self._withheld = self._publishers = 0
        self._parted = [0, 0, 0]
        self._upstream = [0, 0]
        self._layer(0)

    def _layer(self, number: int) -> Layer:
        while number >= len(self.layers):
            size, gop_packets = self._limits
            self.layers.append(Layer(len(self.layers), egress=self._egress, size=size, gop_packets=gop_packets))
        return self.layers[number]

    # The feed's side

    def take_over(self, feed: Feed) -> None:
        """A feed is connected; the one before, perhaps a ghost, is ended."""
        previous, self.feed = self.feed, feed
        self._publishers += 1
        self._took_over_ms = clock()
        if previous is not None:
            self._forget(previous)
        self.sound.begin()
        for number, rid in enumerate(feed.rids or ("",)):
            self._layer(number).rid = rid
        for layer in self.layers:
            layer.rest()
            layer.begin()
            self._pictures.begin(layer.number)
        for subscriber in list(self.subscribers):
            subscriber.cadence.begin()
            if not all(subscriber.takes(codec) for codec in feed.codecs.values()):
                subscriber.peer.close()  # its page joins again, and is told if it lacks the codec
        for number in range(len(feed.rids) or 1):
            feed.want_keyframe(number)

    def begin(self, stream: Stream) -> None:
        if stream.kind is Kind.AUDIO:
            self.sound.begin()
        else:
            self._layer(stream.layer).begin()
            self._pictures.begin(stream.layer)
            self._ask(stream.layer)  # its first keyframe may have come before the old source was silent for long enough

    def left(self, feed: Feed) -> None:
        """A feed has gone; subscribers stay and wait for the next."""
        if self.feed is feed:
            self._forget(feed)
            self.feed = None
            for layer in self.layers:
                layer.rest()
            self._set_present(present=False)

    def _forget(self, feed: Feed) -> None:
        self._upstream = [self._upstream[0] + feed.plis, self._upstream[1] + feed.nacks]
        feed.end()

    def ingest(self, stream: Stream, packet: Incoming) -> None:
        """Take a packet of the feed on air."""
        if self.is_cut:
            self._withheld += 1
            self._media_ms = packet.now_ms
            self._set_present(present=True)
            return
        layer = self._layer(stream.layer) if stream.kind is Kind.VIDEO else None
        track = layer.track if layer is not None else self.sound
        placed = track.place(
            stream.codec,
            packet.sequence,
            packet.timestamp,
            packet.payload,
            marker=packet.marker,
            now_ms=packet.now_ms,
            captured_ms=packet.captured_ms,
        )
        self._media_ms = packet.now_ms
        if not self.host_present:
            self._set_present(present=True)
        if placed is None:
            return
        self._packets += 1
        self._octets += len(packet.payload)
        if layer is None:
            self._put_sound(placed, packet.now_ms)
        else:
            self._put_picture(layer, placed, packet.now_ms)
        self._waiting += 1
        if self._waiting > MAX_PENDING:
            self._give_up_one()
        self._wake(self, placed.marker and layer is not None)
        if packet.now_ms - self._reacted_ms >= REACT_MS:
            self.react(packet.now_ms)

    def _put_sound(self, packet: Packet, now_ms: int) -> None:
        self._sound_meter.count(len(packet.payload), now_ms)
        for subscriber in self._awaiting_sound:
            line = subscriber.lines[Kind.AUDIO]
            if line is not None:
                line.begin(packet.sequence)
        self._awaiting_sound.clear()
        self._pending_sound.append(packet)

    def _put_picture(self, layer: Layer, packet: Packet, now_ms: int) -> None:
        if packet.codec is Codec.VP8:
            payload = self._pictures.renumber(
                layer.number, packet.sequence, packet.payload, begins_keyframe=packet.begins_keyframe
            )
            if payload is not packet.payload:
                packet = packet._replace(payload=payload)
        is_new = not layer.arrived_ms
        layer.put(packet, now_ms)
        if packet.begins_keyframe and self.feed is not None:
            self.feed.keyframe_arrived(layer.number)
        if is_new:
            self._rank(now_ms)

    def _give_up_one(self) -> None:
        longest = max((layer.pending for layer in self.layers), key=len)
        del (longest or self._pending_sound)[0]
        self._waiting -= 1
        self._dropped += 1

    def told(self, stream: Stream, timestamp: int, wall_ms: float) -> None:
        track = self._layer(stream.layer).track if stream.kind is Kind.VIDEO else self.sound
        track.told(timestamp, wall_ms)

    def capture_ms(self, host_ms: float | None) -> int | None:
        """When a picture was captured, as the sender reports to viewers count: at `host_ms` of the host's own clock.

        Without one, or with one that no host could mean now (another machine's clock, perhaps), the newest picture's.
        None while no video arrives.
        """
        times = [layer.track.newest_capture_ms() for layer in self.layers if layer.arrived_ms]
        newest = max((at_ms for at_ms in times if at_ms is not None), default=None)
        if newest is None or self.feed is None or not self.host_present:
            return None
        meant = self.feed.wall_ms(host_ms) if host_ms is not None else None
        if meant is None or not -MEANT_AGO_MS <= meant - newest <= MEANT_AHEAD_MS:
            return round(newest)
        return round(meant)

    def cut(self, *, is_cut: bool) -> None:
        """Let nothing through to anybody, or everything again: from a keyframe on, as if another host had come."""
        if is_cut is self.is_cut:
            return
        self.is_cut = is_cut
        self._pending_sound.clear()
        self._waiting = 0
        self.sound.begin()
        for layer in self.layers:
            layer.pending.clear()
            for subscriber in [*layer.viewers]:  # with what it was still to catch up with
                self._wish(subscriber, layer)
                subscriber.leave()
                self._place(subscriber, None)
            layer.rest()
            layer.begin()
            self._pictures.begin(layer.number)
            self._ask(layer.number)

    # The subscribers' side

    def joined(self, subscriber: Subscriber) -> None:
        """A subscriber can hear us: sound from the next packet, the picture at once, or from the next keyframe."""
        self._unreported.add(subscriber)
        self.listeners.add(subscriber)
        if subscriber.lines[Kind.AUDIO] is not None:
            self._awaiting_sound.add(subscriber)
        if subscriber.video is None:
            return
        layer = self.layers[self.rungs[0].layer if self.rungs else 0]
        rate_bps = max(JOIN_BPS, 3 * self.rungs[0].rate_bps) if len(self.rungs) > 1 else 0
        if self.host_present and layer.newcomers.welcome(subscriber, clock(), rate_bps):
            subscriber.hurried(layer, clock())
            self._place(subscriber, layer)
            subscriber.report_first(clock())
            self._hurry()
            if layer.newcomers.reel.is_whole:
                return
        else:
            self._wish(subscriber, layer)
        self._ask(layer.number)

    def parted(self, subscriber: Subscriber) -> None:
        for group in (self.subscribers, self._unreported, self._awaiting_sound):
            group.discard(subscriber)
        self.listeners.discard(subscriber)
        for layer in self.layers:
            layer.viewers.discard(subscriber)
            layer.wished.pop(subscriber, None)
            layer.newcomers.forget(subscriber)
        self._parted[0] += subscriber.nacked
        self._parted[1] += subscriber.resent
        self._parted[2] += subscriber.plis

    def _place(self, subscriber: Subscriber, layer: Layer | None) -> None:
        """Into one group, and out of the others."""
        self.listeners.discard(subscriber)
        for one in self.layers:
            one.viewers.discard(subscriber)
        (self.listeners if layer is None else layer.viewers).add(subscriber)

    def _wish(self, subscriber: Subscriber, layer: Layer | None) -> None:
        if subscriber.wish is not None:
            subscriber.wish.wished.pop(subscriber, None)
        subscriber.wish = layer
        if layer is not None:
            layer.wished[subscriber] = None

    def _ask(self, layer: int, *, patiently: bool = False) -> None:
        if self.feed is not None and not self.is_cut:
            self.feed.want_keyframe(layer, patiently=patiently)

    def want_keyframe(self, subscriber: Subscriber) -> None:
        """A subscriber's decoder cannot go on."""
        layer = subscriber.wish or subscriber.layer
        if layer is not None and not layer.newcomers.again(subscriber):
            self._ask(layer.number)

    def move(self, subscriber: Subscriber, move: Move) -> None:
        """From the next keyframe on; at once out of a layer that does harm."""
        to = None if move.layer == OFF else self.layers[move.layer]
        if to is not None and to is subscriber.layer:
            self._wish(subscriber, None)
            return
        self._wish(subscriber, to)
        if to is None or move.is_urgent:
            subscriber.leave()
            self._place(subscriber, None)
        if to is not None:
            self._ask(to.number, patiently=not move.is_urgent)

    def resend(self, subscriber: Subscriber, packets: Sequence[Packet]) -> None:
        """What the fan-out sent it, once more."""
        self._egress.resend(subscriber, packets)

    def resend_of(self, subscriber: Subscriber, span: Span, packet: Packet) -> None:
        """What it got in another way, or of another layer, once more, by the numbers of then."""
        view, line = View(subscriber.peer, span.line.ahead(packet.sequence)), subscriber.video
        self._egress.resend(view, [packet])
        if line is not None:
            view.settle(line)

    # The flush

    def take(self) -> list[Batch]:
        """What is pending, as runs for each group; from now on it can be asked for again."""
        sound, self._pending_sound = self._pending_sound, []
        for packet in sound:
            self.sound.history.put(packet)
        pictures = [layer.take() for layer in self.layers]
        self._waiting = sum(len(layer.pending) for layer in self.layers)
        for layer, packets in zip(self.layers, pictures, strict=True):
            self._admit(layer, packets)  # before any of this is counted as gone to those who leave
        batches = []
        for layer, packets in zip(self.layers, pictures, strict=True):
            runs = plan([*packets, *sound] if layer.viewers else packets)
            layer.gone(runs)
            if layer.viewers and runs:
                batches.append(Batch(layer.viewers.rows, runs))
        if self.listeners and sound:
            batches.append(Batch(self.listeners.rows, plan(sound)))
        self._go_on()
        return batches

    def _admit(self, layer: Layer, packets: Sequence[Packet]) -> None:
        """Those who wished for this layer get it from the keyframe on."""
        key = next((packet for packet in packets if packet.begins_keyframe), None) if layer.wished else None
        if key is None:
            return
        for subscriber in list(layer.wished):
            subscriber.leave()
            subscriber.enter(layer, key, clock())
            self._place(subscriber, layer)
            self._unreported.add(subscriber)
        layer.wished.clear()

    def _go_on(self) -> None:
        if self.is_waited_for:
            self._hurry()
        if any(layer.pending for layer in self.layers):
            self._wake(self, False)  # noqa: FBT003 - called for each packet

    @property
    def is_waited_for(self) -> bool:
        """True while packets wait for newcomers."""
        return any(layer.newcomers.is_waited_for for layer in self.layers)

    def waiting(self) -> list[tuple[Subscriber, Layer]]:
        """Newcomers for whom packets wait, and where."""
        return [(one, layer) for layer in self.layers for one in layer.newcomers.waiting()]

    def unreported(self) -> list[Subscriber]:
        """Those who have just got their first packets, or their first of another layer, or soon will."""
        return list(self._unreported)

    def report_first(self, subscriber: Subscriber, now_ms: int) -> None:
        """Sender reports for what one of them has begun to get; it is one no more once all its lines have had one."""
        if subscriber.report_first(now_ms):
            self._unreported.discard(subscriber)

    # The ticks

    def react(self, now_ms: int) -> None:
        """Ask the host for what is missing; with its packets, and now and then without."""
        self._reacted_ms = now_ms
        if now_ms - self._ranked_ms >= RANK_MS:
            self._rank(now_ms)
        if self.feed is not None:
            self.feed.react(now_ms)

    def _rank(self, now_ms: int) -> None:
        """Rank the layers by size, or where that is not known by rate; those whose layer has gone move at once."""
        self._ranked_ms = now_ms
        newest_ms = max(layer.arrived_ms for layer in self.layers)
        on_air = [layer for layer in self.layers if layer.is_on_air(newest_ms)]
        by_size = all(layer.size[0] for layer in on_air)
        rates = {layer: layer.meter.bps(now_ms) for layer in on_air}
        on_air.sort(key=lambda layer: (layer.size[0] * layer.size[1] if by_size else 0, rates[layer]))
        rungs, rate = list[Rung](), 0
        for layer in on_air:
            rate = max(rate, rates[layer])  # a still picture can be cheaper than a small one, but not for long
            rungs.append(Rung(layer.number, rate))
        self.rungs, self.sound_bps = tuple(rungs), self._sound_meter.bps(now_ms)
        if rungs and now_ms - self._took_over_ms > PAUSE_MS:
            self._leave_paused(now_ms, [layer for layer in self.layers if layer not in rates])

    def _leave_paused(self, now_ms: int, layers: Sequence[Layer]) -> None:
        for layer in layers:
            for subscriber in [*layer.viewers, *layer.wished]:
                subscriber.consider(now_ms)

    def watch(self, now_ms: int, silence_ms: int) -> None:
        """Once a second: notice a silent host, and report to it."""
        for layer in self.layers:
            layer.newcomers.watch(now_ms)
            if layer.wished:  # the keyframe that ended the asking may have been given up
                self._ask(layer.number, patiently=all(one.layer is not None for one in layer.wished))
        if self.host_present and now_ms - self._media_ms > silence_ms:
            self._set_present(present=False)
        if self.feed is not None:
            self.feed.report(now_ms)
        if self.feed or self.subscribers or not self.quiet_since_ms:
            self.quiet_since_ms = now_ms

    def _set_present(self, *, present: bool) -> None:
        if present is not self.host_present:
            self.host_present = present
            self._listener.host_changed(self.show_id, present)

    @property
    def video(self) -> Codec | None:
        return self.feed.video if self.feed else None

    def pictures(self) -> Sequence[Packet]:
        """What the lowest layer on air has shown since its last keyframe, that first; empty if none is kept."""
        kept = (self.layers[rung.layer].newcomers.reel.group for rung in self.rungs)
        return next((packets for packets in kept if packets), ())

    def want_picture(self) -> None:
        """Somebody would like to see what the lowest layer shows now; nobody waits for it."""
        self._ask(self.rungs[0].layer if self.rungs else 0, patiently=True)

    def stats(self) -> ShowStats:
        feed, now_ms = self.feed, clock()
        on_air = {rung.layer for rung in self.rungs}
        return ShowStats(
            show_id=self.show_id,
            host_present=self.host_present,
            video=self.video or "",
            subscribers=sum(subscriber.peer.is_up for subscriber in self.subscribers),
            packets_in=self._packets,
            octets_in=self._octets,
            keyframes=sum(layer.keyframes for layer in self.layers),
            packets_dropped=self._dropped,
            packets_withheld=self._withheld,
            plis_up=self._upstream[0] + (feed.plis if feed else 0),
            nacked_up=self._upstream[1] + (feed.nacks if feed else 0),
            nacked_down=self._parted[0] + sum(subscriber.nacked for subscriber in self.subscribers),
            resent=self._parted[1] + sum(subscriber.resent for subscriber in self.subscribers),
            plis_down=self._parted[2] + sum(subscriber.plis for subscriber in self.subscribers),
            publishers=self._publishers,
            shown_at_once=sum(layer.newcomers.served for layer in self.layers),
            layers=tuple(layer.stats(now_ms, is_on_air=layer.number in on_air) for layer in self.layers),
        )
