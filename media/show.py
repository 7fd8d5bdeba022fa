"""A show's media: one publisher at a time, its subscribers, and what waits for the next flush.

Owns: the two tracks, the set of subscribers, the pending packets.
Invariant: subscribers outlive publishers; the newest connected publisher is the publisher; at most
`MAX_PENDING` packets wait, and of those that must go the oldest video goes first.
"""

from collections.abc import Callable
from typing import Final

from msgspec import Struct

from media.clock import now_ms as clock
from media.core.formats import Codec, Kind
from media.core.history import Packet
from media.core.runs import Run, plan
from media.core.track import Track
from media.egress import Egress
from media.newcomers import Newcomers
from media.ports import HostListener
from media.publisher import Incoming, Publisher, Source
from media.subscriber import Subscriber
from schema.ids import ShowId

MAX_PENDING: Final = 2048
AUDIO_HISTORY: Final = 512
MEANT_AGO_MS: Final = 10_000
MEANT_AHEAD_MS: Final = 3_000
"""Between the newest picture here and a moment that the host means: its uplink's delay at most."""


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
    plis_up: int
    nacked_up: int
    nacked_down: int
    resent: int
    publishers: int
    """How many have been on air so far."""
    shown_at_once: int
    """Newcomers whose picture began with the cached group of pictures."""


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
        self.tracks = (Track(Kind.AUDIO, min(size, AUDIO_HISTORY)), Track(Kind.VIDEO, size))
        self.publisher: Publisher | None = None
        self.subscribers: set[Subscriber] = set()
        self.host_present = False
        self.quiet_since_ms = 0
        self._egress = egress
        self._listener = listener
        self._wake = wake
        self._hurry = hurry
        self.newcomers = Newcomers(self.tracks[Kind.VIDEO], egress, gop_packets)
        self._pending: list[Packet] = []
        self._unreported: set[Subscriber] = set()
        self._waiting: tuple[set[Subscriber], set[Subscriber]] = (set(), set())
        self._media_ms = 0
        self._packets = self._octets = self._keyframes = self._dropped = self._publishers = 0
        self._parted = [0, 0]
        self._upstream = [0, 0]

    # The publisher's side

    def take_over(self, publisher: Publisher) -> None:
        """A publisher is connected; the one before, perhaps a ghost, is ended."""
        previous, self.publisher = self.publisher, publisher
        self._publishers += 1
        if previous is not None:
            self._forget(previous)
        for kind in Kind:
            self.begin(kind)
        for subscriber in list(self.subscribers):
            if not all(subscriber.takes(codec) for codec in publisher.codecs.values()):
                subscriber.peer.close()  # its page joins again, and is told if it lacks the codec
        publisher.keyframes.want()

    def begin(self, kind: Kind) -> None:
        self.tracks[kind].begin()
        if kind is Kind.VIDEO:
            self.newcomers.gop.clear()

    def left(self, publisher: Publisher) -> None:
        """A publisher has gone; subscribers stay and wait for the next."""
        if self.publisher is publisher:
            self._forget(publisher)
            self.publisher = None
            self.newcomers.gop.clear()
            self._set_present(present=False)

    def _forget(self, publisher: Publisher) -> None:
        self._upstream = [self._upstream[0] + publisher.plis, self._upstream[1] + publisher.nacks]
        publisher.peer.close()

    def ingest(self, source: Source, packet: Incoming) -> None:
        """Take a packet of the publisher on air."""
        track = self.tracks[source.kind]
        placed = track.place(
            source.codec,
            packet.sequence,
            packet.timestamp,
            packet.payload,
            marker=packet.marker,
            now_ms=packet.now_ms,
        )
        self._media_ms = packet.now_ms
        self._set_present(present=True)
        if placed is None:
            return
        self._packets += 1
        self._octets += len(packet.payload)
        self._begin_lines(placed)
        self._pending.append(placed)
        if len(self._pending) > MAX_PENDING:
            self._give_up_one()
        self._wake(self, placed.marker and placed.kind is Kind.VIDEO)

    def _begin_lines(self, packet: Packet) -> None:
        if packet.begins_keyframe:
            self._keyframes += 1
            if self.publisher is not None:
                self.publisher.keyframes.arrived()
        waiting = self._waiting[packet.kind]
        if waiting and (packet.begins_keyframe or packet.kind is Kind.AUDIO):
            for subscriber in waiting:
                line = subscriber.lines[packet.kind]
                if line is not None:
                    line.begin(packet.sequence)
            waiting.clear()

    def _give_up_one(self) -> None:
        at = next((n for n, packet in enumerate(self._pending) if packet.kind is Kind.VIDEO), 0)
        del self._pending[at]
        self._dropped += 1

    def told(self, kind: Kind, timestamp: int, wall_ms: float) -> None:
        self.tracks[kind].told(timestamp, wall_ms)

    def capture_ms(self, host_ms: float | None) -> int | None:
        """When a picture was captured, as the sender reports to viewers count: at `host_ms` of the host's own clock.

        Without one, or with one that no host could mean now (another machine's clock, perhaps), the newest picture's.
        None while no video arrives.
        """
        newest = self.tracks[Kind.VIDEO].newest_capture_ms()
        if newest is None or self.publisher is None or not self.host_present:
            return None
        meant = self.publisher.wall_ms(host_ms) if host_ms is not None else None
        if meant is None or not -MEANT_AGO_MS <= meant - newest <= MEANT_AHEAD_MS:
            return round(newest)
        return round(meant)

    # The subscribers' side

    def joined(self, subscriber: Subscriber) -> None:
        """A subscriber can hear us: sound from the next packet, the picture at once, or from the next keyframe."""
        self._unreported.add(subscriber)
        if subscriber.lines[Kind.AUDIO] is not None:
            self._waiting[Kind.AUDIO].add(subscriber)
        if self.host_present and self.newcomers.welcome(subscriber, clock()):
            subscriber.report(clock())
            self._hurry()
            if self.newcomers.gop.is_whole:
                return
        elif subscriber.lines[Kind.VIDEO] is not None:
            self._waiting[Kind.VIDEO].add(subscriber)
        self.want_keyframe()

    def parted(self, subscriber: Subscriber) -> None:
        self.subscribers.discard(subscriber)
        self.newcomers.forget(subscriber)
        self._unreported.discard(subscriber)
        for waiting in self._waiting:
            waiting.discard(subscriber)
        self._parted[0] += subscriber.nacked
        self._parted[1] += subscriber.resent

    def want_keyframe(self) -> None:
        if self.publisher is not None:
            self.publisher.keyframes.want()

    def resend(self, subscriber: Subscriber, packets: list[Packet]) -> None:
        hurried = [packet for packet in packets if not _is_by_fan_out(subscriber, packet)]
        self._egress.resend(subscriber, [packet for packet in packets if _is_by_fan_out(subscriber, packet)])
        self.newcomers.resend(subscriber, hurried)

    # The flush

    def take(self) -> list[Run]:
        """The pending packets as runs; from now on they can be asked for again.

        Only now: before, their padding was undecided, and a resend would have been other bits under one nonce.
        """
        pending, self._pending = self._pending, []
        runs = plan(pending)
        for run in runs:
            for packet in run.packets:
                self.tracks[packet.kind].history.put(packet)
        self.newcomers.take([packet for run in runs for packet in run.packets if packet.kind is Kind.VIDEO])
        if self.newcomers.waiting():
            self._hurry()
        return runs

    def report_first(self, now_ms: int) -> None:
        """Sender reports for those who have just got their first packets."""
        for subscriber in list(self._unreported):
            if all(line is None or line.packets for line in subscriber.lines):
                self._unreported.discard(subscriber)
            if any(line and line.packets for line in subscriber.lines):
                subscriber.report(now_ms)

    # The ticks

    def react(self, now_ms: int) -> None:
        if self.publisher is not None:
            self.publisher.react(now_ms)

    def watch(self, now_ms: int, silence_ms: int) -> None:
        """Once a second: notice a silent host, and report to it."""
        self.newcomers.watch(now_ms)
        if self.host_present and now_ms - self._media_ms > silence_ms:
            self._set_present(present=False)
        if self.publisher is not None:
            self.publisher.report(now_ms)
        if self.publisher or self.subscribers or not self.quiet_since_ms:
            self.quiet_since_ms = now_ms

    def _set_present(self, *, present: bool) -> None:
        if present is not self.host_present:
            self.host_present = present
            self._listener.host_changed(self.show_id, present)

    @property
    def video(self) -> Codec | None:
        return self.publisher.video if self.publisher else None

    def stats(self) -> ShowStats:
        publisher = self.publisher
        return ShowStats(
            show_id=self.show_id,
            host_present=self.host_present,
            video=self.video or "",
            subscribers=sum(subscriber.peer.is_up for subscriber in self.subscribers),
            packets_in=self._packets,
            octets_in=self._octets,
            keyframes=self._keyframes,
            packets_dropped=self._dropped,
            plis_up=self._upstream[0] + (publisher.plis if publisher else 0),
            nacked_up=self._upstream[1] + (publisher.nacks if publisher else 0),
            nacked_down=self._parted[0] + sum(subscriber.nacked for subscriber in self.subscribers),
            resent=self._parted[1] + sum(subscriber.resent for subscriber in self.subscribers),
            publishers=self._publishers,
            shown_at_once=self.newcomers.served,
        )


def _is_by_fan_out(subscriber: Subscriber, packet: Packet) -> bool:
    line = subscriber.lines[packet.kind]
    return line is not None and packet.sequence >= line.first
