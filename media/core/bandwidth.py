"""What one viewer's way down carries, as far as its reports say.

Owns: the estimate, and the signs of congestion. Reads no clock and does no I/O: `now_ms` comes in.
Invariant: one weak sign (a falling REMB, a lossy report) changes nothing; the estimate falls only with congestion,
and rises only by what has been seen to fit: an answered train, a REMB, or what was sent without harm.

A receiver's REMB (draft-alvestrand-rmcat-remb-03) grows with what the receiver gets, by 8 % a second and to 1.5 times
of it at most, so that a low one says nothing about a link that carries a low layer: only its fall does. A falling one
is 0.85 of what arrived. Peers without REMB are judged by loss and round trips (RFC 3550 section 6.4).
"""

from typing import Final

LOSSY: Final = 0.10
"""Loss of a report that speaks of congestion; below it retransmission mends (as in a browser's own sender), and a REMB
that falls at the same time is chance: 5 % on a radio link, confirmed by 2 %, took the picture away for good."""
VERY_LOSSY: Final = 0.20
"""In one report alone."""
ENOUGH: Final = 50
"""Packets that a report must be about to be believed alone; of fewer the mean speaks, to which each adds its share. A
slow picture's report is about ten: at 5 % every ninth of them says 20 %, and took the picture away for most of an
hour."""
STALE_MS: Final = 8_000
"""A loss that nobody has spoken of for so long (`layers.TRY_AGAIN_MS` is longer) says nothing about now."""
_MOST_SAMPLES: Final = 40
"""Of what has been sent, in a second: a peer may report as often as it likes."""
QUEUE_MS: Final = 60
"""A round trip this much over the shortest confirms a REMB that fell."""
LONG_QUEUE_MS: Final = 300
"""In two reports, without any REMB."""
SUSPECT_MS: Final = 1500
_WINDOW_MS: Final = 1000
_FALLS, _UNDER, _FAR_UNDER, _SAFE = 0.97, 0.95, 0.6, 0.9
_FORGET_MS: Final = 15_000
"""A shortest round trip is at most twice as old: routes change."""


class Bandwidth:
    """One viewer's."""

    def __init__(self) -> None:
        self.estimate_bps = 0
        """What is known to fit, sound included; 0: nothing is known."""
        self.sent_bps = 0
        """Over the last second."""
        self.remb_bps = 0
        """As it was told; 0: never."""
        self.loss = 0.0
        """Share lost, in the last report."""
        self.mean_loss = 0.0
        """Of the last few hundred packets: of the 50 that a report may be about, 5 % are often 10 %."""
        self.rtt_ms = 0
        self.jitter_ms = 0.0
        self.congested_ms: int | None = None
        """When congestion was last seen."""
        self.drained_ms = 0
        """What was sent until then is under way no more."""
        self._heard_ms = 0
        self._sent: list[tuple[int, int]] = []
        self._sent_before_bps = 0
        """At the report before: a queue swallows a burst of a second."""
        self._shortest = [1 << 30, 1 << 30]
        self._last: list[int] = []
        """The last three round trips."""
        self._shortest_ms = 0
        self._suspect_ms: int | None = None
        self._lossy = self._queued = 0

    @property
    def shortest_ms(self) -> int:
        """The shortest round trip of late; the present one before there is any other."""
        return min(*self._shortest, self.rtt_ms or 1 << 30)

    @property
    def is_steady(self) -> bool:
        """True if the shortest round trip can be measured against: the last three were about as short.

        While the queue that a join has filled drains, every round trip is long, and a train would seem to take no
        time at all.
        """
        return len(self._last) == 3 and max(self._last) - self.shortest_ms <= QUEUE_MS

    @property
    def carries(self) -> bool:
        """True while what is sent arrives, most of it and in time, whatever a REMB says."""
        return self.mean_loss <= LOSSY and self.rtt_ms - self.shortest_ms <= LONG_QUEUE_MS

    def sent(self, octets: int, now_ms: int) -> None:
        """How much has been sent so far in all."""
        if len(self._sent) < 2 or now_ms - self._sent[-1][0] >= _WINDOW_MS // _MOST_SAMPLES:
            self._sent.append((now_ms, octets))
        while len(self._sent) > 2 and now_ms - self._sent[1][0] >= _WINDOW_MS:
            del self._sent[0]
        since_ms, before = self._sent[0]
        passed = now_ms - since_ms
        if passed >= _WINDOW_MS // 4:
            self.sent_bps = max(0, octets - before) * 8000 // passed

    def told(self, remb_bps: int, now_ms: int) -> None:
        """A REMB has come."""
        before, self.remb_bps = self.remb_bps, remb_bps
        falls = not before or remb_bps < _FALLS * before
        if before and falls and remb_bps < _FAR_UNDER * self.sent_bps:
            self._congested(remb_bps, now_ms)
        elif falls and remb_bps < _UNDER * self.sent_bps:
            self._suspect_ms = now_ms
        elif not falls:
            self.estimate_bps = max(self.estimate_bps, remb_bps)

    def reported(
        self, loss: float, jitter_ms: float, rtt_ms: int | None, now_ms: int, *, packets: int = ENOUGH
    ) -> None:
        """A receiver report about the video: the share lost of `packets` since the last, the round trip if told."""
        self.loss, self.jitter_ms = loss, jitter_ms
        if rtt_ms is not None:
            self._round_trip(rtt_ms, now_ms)
        queue_ms = rtt_ms - self.shortest_ms if rtt_ms is not None else 0
        loss = self._believed(loss, packets, now_ms)
        self._queued = self._queued + 1 if queue_ms > LONG_QUEUE_MS else 0
        suspected = self._suspect_ms is not None and now_ms - self._suspect_ms <= SUSPECT_MS
        if suspected and (loss > LOSSY or queue_ms > QUEUE_MS):
            self._congested(self.remb_bps, now_ms)
        elif loss > VERY_LOSSY or self._lossy > 1:
            self._congested(int(self.sent_bps * (1 - loss) * _SAFE), now_ms)
        elif self._queued > 1:
            self._congested(int(self.sent_bps * _SAFE * _SAFE), now_ms)
        elif loss <= LOSSY and queue_ms <= QUEUE_MS and self._is_calm(now_ms):
            self.estimate_bps = max(self.estimate_bps, min(self.sent_bps, self._sent_before_bps))
        self._sent_before_bps = self.sent_bps

    def _believed(self, loss: float, packets: int, now_ms: int) -> float:
        """The loss to act on, by how many packets speak for it."""
        if not packets:
            return 0.0
        if now_ms - self._heard_ms > STALE_MS:
            self.mean_loss = 0.0
        self._heard_ms = now_ms
        self.mean_loss += 0.3 * min(1.0, packets / ENOUGH) * (loss - self.mean_loss)
        self._lossy = self._lossy + 1 if self.mean_loss > LOSSY else 0
        return loss if packets >= ENOUGH else self.mean_loss

    def _is_calm(self, now_ms: int) -> bool:
        """What was sent before the congestion is out of the window."""
        return self.congested_ms is None or now_ms - self.congested_ms > 2 * _WINDOW_MS

    def _round_trip(self, rtt_ms: int, now_ms: int) -> None:
        self.rtt_ms = rtt_ms
        self._last = [*self._last[-2:], rtt_ms]
        if now_ms - self._shortest_ms > _FORGET_MS:
            self._shortest, self._shortest_ms = [1 << 30, self._shortest[0]], now_ms
        self._shortest[0] = min(self._shortest[0], rtt_ms)

    def forgive(self) -> None:
        """What did the harm has been left: the losses until now say nothing of what comes."""
        self.mean_loss, self._lossy, self._queued, self._suspect_ms = 0.0, 0, 0, None

    def drained(self, until_ms: int) -> None:
        """A sender report of then has come out at the far end."""
        self.drained_ms = max(self.drained_ms, until_ms)

    def proved(self, bps: int) -> None:
        """So much was carried."""
        self.estimate_bps = max(self.estimate_bps, bps)

    def bounded(self, bps: int) -> None:
        """So much was not carried; what is sent without harm is."""
        self.estimate_bps = max(min(self.estimate_bps, bps), self.sent_bps if self.loss <= LOSSY else 0)

    def _congested(self, bps: int, now_ms: int) -> None:
        self.estimate_bps = min(bps, self.estimate_bps) if self.estimate_bps else bps
        self.congested_ms, self._suspect_ms = now_ms, None
        self._lossy = self._queued = 0
