"""Counts by size, for measures of which nobody wants each one: loss, round trips, freezes, age.

Owns: its buckets. Reads no clock and does no I/O. Invariant: of bounded size whatever is observed; a value that is
no number is not counted.
"""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from math import isfinite

SHARES: Sequence[float] = (0.0, 0.001, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
SECONDS: Sequence[float] = (0.01, 0.025, 0.05, 0.1, 0.15, 0.25, 0.4, 0.6, 1.0, 2.0, 5.0, 10.0)


class Histogram:
    """`bounds` rise; a value counts where it is at most the bound, the rest above all."""

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = bounds
        self.total = 0.0
        self._counts = [0] * (len(bounds) + 1)

    def observe(self, value: float) -> None:
        if isfinite(value):
            self._counts[bisect_left(self.bounds, value)] += 1
            self.total += value

    @property
    def count(self) -> int:
        return sum(self._counts)

    def cumulative(self) -> Iterator[tuple[str, int]]:
        """Upper bound and how many are at most that, as Prometheus wants it; the last bound is `+Inf`."""
        below = 0
        for bound, count in zip((*map(str, self.bounds), "+Inf"), self._counts, strict=True):
            below += count
            yield bound, below


def quantile(values: Sequence[float], share: float) -> float | None:
    """The nearest rank of rising `values`; None of none."""
    if not values:
        return None
    return values[min(len(values) - 1, int(share * len(values)))]
