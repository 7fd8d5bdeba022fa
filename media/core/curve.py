"""Counters read once a second, as rates and as a curve of the last minutes.

Owns: a ring of samples. Reads no clock: samples bring their time.
Invariant: at most `SPAN_S` samples; a counter that fell (a part of it has gone) is a rate of 0, never below.
"""

from collections import deque
from collections.abc import Iterator
from itertools import pairwise
from typing import Final, NamedTuple

SPAN_S: Final = 600
STEP_MS: Final = 5_000
RATE_MS: Final = 5_000


class Sample(NamedTuple):
    """Counters at one moment."""

    at_ms: int
    viewers: int
    octets_in: int
    octets_out: int


class Moment(NamedTuple):
    """Rates up to one moment."""

    at_ms: int
    viewers: int
    in_bps: int
    out_bps: int


class Curve:
    """One show's."""

    def __init__(self) -> None:
        self._samples: deque[Sample] = deque(maxlen=SPAN_S + 1)

    def add(self, sample: Sample) -> None:
        """Samples come in the order of their time; one of the past is not taken."""
        if not self._samples or sample.at_ms > self._samples[-1].at_ms:
            self._samples.append(sample)

    def now(self) -> Moment | None:
        """Rates over the last seconds; None before the second sample."""
        if len(self._samples) < 2:
            return None
        newest = self._samples[-1]
        since = next(one for one in self._samples if newest.at_ms - one.at_ms <= RATE_MS)
        return _moment(since if since is not newest else self._samples[-2], newest)

    def moments(self) -> Iterator[Moment]:
        """One for each five seconds, the oldest first."""
        steps, last_ms = [], None
        for sample in self._samples:
            if last_ms is None or sample.at_ms - last_ms >= STEP_MS:
                steps.append(sample)
                last_ms = sample.at_ms
        return (_moment(before, after) for before, after in pairwise(steps))


def _moment(before: Sample, after: Sample) -> Moment:
    ms = after.at_ms - before.at_ms
    rates = (max(0, b - a) * 8000 // ms for a, b in zip(before[2:], after[2:], strict=True))
    return Moment(after.at_ms, after.viewers, *rates)


class Pace:
    """How often something that is counted comes: rates over a window of samples."""

    def __init__(self, window_ms: int) -> None:
        self._window_ms = window_ms
        self._samples: deque[tuple[int, int]] = deque()

    def add(self, at_ms: int, count: int) -> None:
        if self._samples and (at_ms <= self._samples[-1][0] or count < self._samples[-1][1]):
            self._samples.clear()
        self._samples.append((at_ms, count))
        while at_ms - self._samples[0][0] > self._window_ms:
            self._samples.popleft()

    def per_second(self) -> float | None:
        """None before the second sample."""
        if len(self._samples) < 2:
            return None
        (first_ms, first), (last_ms, last) = self._samples[0], self._samples[-1]
        return (last - first) * 1000 / (last_ms - first_ms)

    def interval_ms(self) -> int | None:
        """None while nothing came."""
        rate = self.per_second()
        return round(1000 / rate) if rate else None
