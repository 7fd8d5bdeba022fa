"""Rates out of counters, in virtual time."""

from hypothesis import given
from hypothesis import strategies as st

from media.core.curve import SPAN_S, Curve, Moment, Pace, Sample


def curve_of(*samples):
    curve = Curve()
    for sample in samples:
        curve.add(Sample(*sample))
    return curve


def test_rates_are_those_of_the_last_five_seconds():
    curve = curve_of(*((1000 * n, n, 125 * n, 250 * n) for n in range(8)), (8000, 3, 125_000 + 125 * 8, 250 * 8))
    assert curve.now() == Moment(8000, 3, (125_000 + 125 * 5) * 8 // 5, 250 * 8)


def test_one_sample_is_no_rate():
    assert curve_of((0, 1, 2, 3)).now() is None
    assert list(curve_of((0, 1, 2, 3)).moments()) == []


def test_samples_far_apart_are_a_rate_all_the_same():
    assert curve_of((0, 1, 0, 0), (60_000, 1, 60_000, 0)).now() == Moment(60_000, 1, 8000, 0)


def test_the_curve_has_a_point_every_five_seconds():
    curve = curve_of(*((1000 * n, n, 1000 * n, 0) for n in range(13)))
    assert list(curve.moments()) == [Moment(5000, 5, 8000, 0), Moment(10_000, 10, 8000, 0)]


def test_a_counter_that_fell_is_a_rate_of_zero():
    assert curve_of((0, 1, 900, 900), (1000, 1, 100, 1000)).now() == Moment(1000, 1, 0, 800)


def test_a_sample_of_the_past_is_not_taken():
    assert curve_of((1000, 1, 0, 0), (2000, 1, 100, 0), (1500, 1, 9999, 0), (2000, 1, 9999, 0)).now().in_bps == 800


@given(st.lists(st.integers(0, 10_000_000), max_size=50))
def test_ten_minutes_are_kept_whatever_comes(times):
    curve = curve_of(*((1000 * n, 0, 0, 0) for n in range(SPAN_S + 100)), *((t, 0, 0, 0) for t in times))
    assert len(curve._samples) <= SPAN_S + 1
    assert len(list(curve.moments())) <= SPAN_S // 5 + 50


def test_a_pace_is_per_second_over_its_window():
    pace = Pace(5000)
    assert pace.per_second() is None
    for second in range(10):
        pace.add(1000 * second, 30 * second)
    assert pace.per_second() == 30
    assert len(pace._samples) == 6


def test_a_pace_gives_the_interval_and_none_where_nothing_came():
    pace = Pace(30_000)
    pace.add(0, 0)
    pace.add(10_000, 5)
    assert pace.interval_ms() == 2000
    still = Pace(30_000)
    still.add(0, 7)
    still.add(10_000, 7)
    assert still.interval_ms() is None


def test_a_counter_that_begins_anew_begins_the_pace_anew():
    pace = Pace(5000)
    pace.add(0, 100)
    pace.add(1000, 200)
    pace.add(2000, 3)
    assert pace.per_second() is None
