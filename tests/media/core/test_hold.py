from hypothesis import given
from hypothesis import strategies as st

from media.core.hold import AGAIN_MS, CALM_MS, MOST_MS, OFTEN, WINDOW_MS, Hold


def lossy(rtt_ms: int, loss: float = 0.02) -> Hold:
    hold = Hold()
    for _ in range(OFTEN):
        hold.missed(loss, rtt_ms, 0)
    return hold


def test_who_misses_nothing_is_asked_for_nothing():
    assert Hold().least_ms(0) == 0


def test_a_packet_now_and_then_is_an_accident():
    hold = Hold()
    for number in range(20):
        hold.missed(0.02, 50, number * WINDOW_MS)
        assert hold.least_ms(number * WINDOW_MS) == 0


def test_a_lossy_way_is_given_time_for_two_requests():
    assert [lossy(rtt_ms).least_ms(0) for rtt_ms in (0, 50, 100)] == [AGAIN_MS, AGAIN_MS + 75, AGAIN_MS + 150]


def test_a_very_lossy_one_for_three():
    assert lossy(50, 0.05).least_ms(0) == 2 * AGAIN_MS + 75


def test_the_delay_ends_when_the_way_has_been_calm():
    hold = lossy(50)
    assert hold.least_ms(CALM_MS) > 0
    assert hold.least_ms(CALM_MS + 1) == 0
    hold.missed(0.02, 50, CALM_MS + 2)
    assert hold.least_ms(CALM_MS + 2) == 0


def test_while_it_lasts_it_does_not_shrink():
    hold = lossy(100)
    hold.missed(0.02, 10, 1000)
    assert hold.least_ms(1000) == AGAIN_MS + 150


@given(st.lists(st.tuples(st.integers(0, 5000), st.integers(0, 60_000)), max_size=100))
def test_whatever_is_missed_the_delay_is_bounded(calls):
    hold, now_ms = Hold(), 0
    for pause_ms, rtt_ms in calls:
        now_ms += pause_ms
        hold.missed(0.05, rtt_ms, now_ms)
        assert 0 <= hold.least_ms(now_ms) <= MOST_MS
    assert hold.least_ms(now_ms + CALM_MS + 1) == 0
