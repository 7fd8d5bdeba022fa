"""Buckets and ranks."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from media.core.histogram import Histogram, quantile


def test_a_value_counts_at_the_first_bound_that_it_does_not_exceed():
    histogram = Histogram((0.0, 0.1, 1.0))
    for value in (0.0, 0.05, 0.1, 0.5, 7.0):
        histogram.observe(value)
    assert list(histogram.cumulative()) == [("0.0", 1), ("0.1", 3), ("1.0", 4), ("+Inf", 5)]
    assert histogram.count == 5
    assert histogram.total == pytest.approx(7.65)


def test_what_is_no_number_is_not_counted():
    histogram = Histogram((1.0,))
    for value in (math.nan, math.inf, -math.inf):
        histogram.observe(value)
    assert (histogram.count, histogram.total) == (0, 0.0)


def test_quantiles_by_rank():
    assert quantile([], 0.5) is None
    assert quantile([3], 0.95) == 3
    assert quantile(list(range(100)), 0.5) == 50
    assert quantile(list(range(100)), 0.95) == 95
    assert quantile([1, 2], 1.0) == 2


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False)))
def test_the_last_bucket_holds_all(values):
    histogram = Histogram((-1.0, 0.0, 1.0))
    for value in values:
        histogram.observe(value)
    counts = [count for _, count in histogram.cumulative()]
    assert counts == sorted(counts)
    assert counts[-1] == len(values)
