"""Which layer a viewer gets.

Owns: when it last moved, and how long it must wait after a move up that failed. Reads no clock: `now_ms` comes in.
Invariant: up only to what the estimate clears by `MARGIN` for `HOLD_MS`, and not while barred; down at once with
congestion, to what fits, and never below the lowest but to nothing (`OFF`: sound alone), which takes congestion twice
in a row on the lowest. Out of a layer that is twice too much it goes by way of nothing, until what it sent has drained:
the keyframe of the lower one would wait behind it, or be lost where the queue is full, and the picture stand for
seconds.

    estimate (kb/s)   150 ......... 1900 ......... 270 . 270 ...... 1900 ......... 1900
    layers            l:150 m:500 h:1500
    sends               l            l -1 s-> h     l (congested within 10 s of going up)
    barred                                         |---- 5 s, then 10, 20, 40, 60 ----|  h
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

from media.core.bandwidth import Bandwidth

OFF: Final = -1
MARGIN: Final = 1.2
HOLD_MS: Final = 800
TRIAL_MS: Final = 10_000
"""Congestion this soon after going up means that it was a mistake."""
SETTLED_MS: Final = 30_000
FIRST_BAR_MS: Final = 5_000
LONGEST_BAR_MS: Final = 60_000
CALM_MS: Final = 3_000
"""After congestion, before a train may be sent: the queue must be empty for it."""
IN_A_ROW_MS: Final = 5_000
"""Congestion lasts from report to report; twice in an hour is not twice in a row."""
LONGEST_DRAIN_MS: Final = 1_500
"""A peer that answers no sender report gets the lower layer without."""
FORGIVEN_MS: Final = 1_000
"""So long after it has drained reports still tell of what the full queue has dropped."""
TRY_AGAIN_MS: Final = 10_000
"""A viewer who gets sound alone is shown the lowest layer again, whatever its reports say or do not say."""


class Rung(NamedTuple):
    """A layer that is on air."""

    layer: int
    rate_bps: int


class Move(NamedTuple):
    """Where to go at the next keyframe."""

    layer: int
    """Or `OFF`."""
    is_urgent: bool
    """What is sent now does more harm than good."""


class Choice:
    """One viewer's."""

    def __init__(self) -> None:
        self._moved_ms = 0
        self._raised_ms: int | None = None
        self._clear_ms: int | None = None
        self._barred_ms = 0
        self._bar_ms = FIRST_BAR_MS
        self._strikes, self._struck_ms = 0, 0
        self._drains_ms: int | None = None
        self._forgiven_ms = 0

    @property
    def drains(self) -> bool:
        """True while it waits for what it has sent too much."""
        return self._drains_ms is not None

    def forgives(self, now_ms: int) -> bool:
        """True while what reports say about loss is of a layer that has been left."""
        return self.drains or now_ms < self._forgiven_ms

    def decide(
        self, rungs: Sequence[Rung], current: int, bandwidth: Bandwidth, sound_bps: int, now_ms: int
    ) -> Move | None:
        """A move, if one is called for. `rungs` from the lowest up; `current` is what it gets, or is on its way to."""
        if not rungs:
            return None
        place = next((n for n, rung in enumerate(rungs) if rung.layer == current), None)
        if place is None and current != OFF:
            return self._moves(_fitting(rungs, bandwidth.estimate_bps - sound_bps), now_ms, is_urgent=True)
        at = OFF if place is None else place
        if self._drains_ms is not None and at == OFF:
            return self._drained(rungs, bandwidth, bandwidth.estimate_bps - sound_bps, now_ms)
        if bandwidth.congested_ms is not None and bandwidth.congested_ms > self._moved_ms:
            return self._down(rungs, at, bandwidth, bandwidth.estimate_bps - sound_bps, now_ms)
        if self._raised_ms is not None and now_ms - self._raised_ms > SETTLED_MS:
            self._raised_ms, self._bar_ms = None, FIRST_BAR_MS
        return self._up(rungs, at, bandwidth.estimate_bps - sound_bps, now_ms)

    def stay(self) -> None:
        """There is one layer, it is on it, and nothing is amiss: what `decide` would say, in a tenth of the time."""
        self._clear_ms = None

    def wanted_bps(self, rungs: Sequence[Rung], current: int, bandwidth: Bandwidth, sound_bps: int, now_ms: int) -> int:
        """What must fit before the next move up; 0 if there is none to make, or if it is not the time to ask."""
        place = next((n for n, rung in enumerate(rungs) if rung.layer == current), OFF)
        calm = bandwidth.congested_ms is None or now_ms - bandwidth.congested_ms >= CALM_MS
        if place + 1 >= len(rungs) or not calm or now_ms < self._barred_ms:
            return 0
        wanted = int(rungs[place + 1].rate_bps * MARGIN) + sound_bps
        return wanted if wanted > bandwidth.estimate_bps else 0

    def _drained(self, rungs: Sequence[Rung], bandwidth: Bandwidth, room_bps: int, now_ms: int) -> Move | None:
        since_ms = self._drains_ms or 0
        if bandwidth.drained_ms < since_ms and now_ms - since_ms < LONGEST_DRAIN_MS:
            return None
        self._forgiven_ms = now_ms + FORGIVEN_MS
        return self._moves(_fitting(rungs, room_bps), now_ms, is_urgent=True)

    def _moves(self, rung: Rung | None, now_ms: int, *, is_urgent: bool) -> Move:
        self._moved_ms, self._clear_ms, self._drains_ms = now_ms, None, None
        return Move(OFF if rung is None else rung.layer, is_urgent)

    def _down(self, rungs: Sequence[Rung], at: int, bandwidth: Bandwidth, room_bps: int, now_ms: int) -> Move | None:
        self._moved_ms = now_ms  # this congestion has been answered, whatever is done about it
        self._bar(now_ms)
        if at > 0:
            self._strikes = 0
            if rungs[at].rate_bps <= 2 * max(1, room_bps):
                return self._moves(_fitting(rungs[:at], room_bps), now_ms, is_urgent=False)
            move = self._moves(None, now_ms, is_urgent=True)
            self._drains_ms = now_ms
            return move
        if at == OFF or room_bps * 2 > rungs[0].rate_bps or bandwidth.carries:
            return None
        self._strikes = self._strikes + 1 if now_ms - self._struck_ms <= IN_A_ROW_MS else 1
        self._struck_ms = now_ms
        return self._moves(None, now_ms, is_urgent=True) if self._strikes > 1 else None

    def _bar(self, now_ms: int) -> None:
        if self._raised_ms is not None and now_ms - self._raised_ms <= TRIAL_MS:
            self._barred_ms = now_ms + self._bar_ms
            self._bar_ms = min(LONGEST_BAR_MS, 2 * self._bar_ms)
        self._raised_ms = None

    def _up(self, rungs: Sequence[Rung], at: int, room_bps: int, now_ms: int) -> Move | None:
        above = [rung for rung in rungs[at + 1 :] if rung.rate_bps * MARGIN <= room_bps]
        if at == OFF and now_ms - self._moved_ms > TRY_AGAIN_MS and (not above or now_ms < self._barred_ms):
            above = [rungs[0]]
        elif not above or now_ms < self._barred_ms:
            self._clear_ms = None
            return None
        if self._clear_ms is None:
            self._clear_ms = now_ms
        if now_ms - self._clear_ms < HOLD_MS and at != OFF:
            return None
        self._raised_ms, self._strikes = now_ms, 0
        return self._moves(above[-1], now_ms, is_urgent=False)


def _fitting(rungs: Sequence[Rung], room_bps: int) -> Rung:
    """The highest that fits, else the lowest."""
    return next((rung for rung in reversed(rungs) if rung.rate_bps <= room_bps), rungs[0])
