from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from media.core.press import Press, later, signed
from media.core.reception import ntp, wall_ms_of

TICKS = st.integers(0, 2**32 - 1)


@st.composite
def presses(draw):
    pressed = draw(st.integers(1, 60_000))
    return Press(draw(TICKS), pressed, draw(st.integers(pressed, 1_000_000)))


def at(press, timestamp):
    """Ticks after live, as pressed."""
    return signed(timestamp + press.shift(timestamp) - press.live)


def test_four_seconds_become_a_seventh_of_one():
    press = Press(4150 * 90, 150 * 90, 4150 * 90)
    pressed = [round((ms * 90 + press.shift(ms * 90)) / 90) for ms in (0, 1000, 2000, 3000, 4000, 4060, 4150, 4200)]
    assert pressed == [4000, 4036, 4072, 4108, 4145, 4147, 4150, 4200]


@given(presses(), st.lists(st.integers(-900_000, 900_000), min_size=2, max_size=20).map(sorted))
def test_the_order_of_timestamps_stays_and_none_are_pulled_apart(press, offsets):
    stamps = [press.live + offset & 0xFFFFFFFF for offset in offsets]
    for before, after in pairwise(stamps):
        assert 0 <= at(press, after) - at(press, before) <= signed(after - before) + 1


@given(presses(), st.integers(0, 2**31 - 1))
def test_from_live_on_time_is_the_hosts_own(press, after):
    assert press.shift(press.live + after & 0xFFFFFFFF) == 0
    assert press.before_live(press.live + after & 0xFFFFFFFF) == 0


def test_a_capture_time_moves_by_as_much_as_the_timestamp_and_none_stays_none():
    assert round(wall_ms_of(later(ntp(60_000), 90 * 250))) == 60_250
    assert later(0, 90 * 250) == 0
