from hypothesis import given
from hypothesis import strategies as st

from media.core.quota import A_SECOND, BURST, Quota


def heard(quota, count, now_ms):
    return sum(quota.allows(now_ms) for _ in range(count))


def test_a_burst_is_heard_and_then_so_many_a_second():
    quota = Quota()
    assert heard(quota, 10 * BURST, 1_000_000) == BURST
    assert heard(quota, 10 * BURST, 1_000_500) == A_SECOND // 2
    assert quota.refused == 20 * BURST - BURST - A_SECOND // 2


def test_a_browser_behind_a_bad_network_is_heard_every_time():
    """A NACK every 20 ms, one for each gap besides, and its reports."""
    quota = Quota()
    assert all(quota.allows(1_000_000 + number * 7) for number in range(10_000))


@given(st.lists(st.integers(-50, 500), max_size=300))
def test_whatever_the_clock_does_no_more_is_heard_than_is_due(steps):
    quota, now_ms = Quota(), 10_000_000
    passed = forward_ms = 0
    for step in steps:
        now_ms, forward_ms = now_ms + step, forward_ms + max(0, step)
        passed += quota.allows(now_ms)
        assert passed <= BURST + forward_ms * A_SECOND / 1000
