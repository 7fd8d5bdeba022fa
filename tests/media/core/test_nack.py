from hypothesis import given
from hypothesis import strategies as st

from media.core.nack import AGAIN_MS, GIVE_UP_MS, MAX_ASKS, MAX_GAPS, WAIT_MS, Gaps, ResendBudget, ResendShare


def test_a_gap_is_asked_for_after_a_moment_and_again_after_a_round_trip():
    gaps = Gaps()
    gaps.arrived(10, 0)
    gaps.arrived(13, 0)
    assert gaps.due(WAIT_MS - 1) == []
    assert gaps.due(WAIT_MS) == [11, 12]
    gaps.arrived(12, 20)
    assert gaps.due(WAIT_MS + AGAIN_MS - 1) == []
    assert gaps.due(WAIT_MS + AGAIN_MS) == [11]


def test_a_packet_that_was_only_late_is_never_asked_for():
    gaps = Gaps()
    for sequence in (10, 12, 11):
        gaps.arrived(sequence, 0)
    assert gaps.due(500) == []


def test_a_gap_is_given_up():
    gaps = Gaps()
    gaps.arrived(10, 0)
    gaps.arrived(12, 0)
    asked = sum(len(gaps.due(now)) for now in range(0, 3 * GIVE_UP_MS, 5))
    assert asked == MAX_ASKS
    assert len(gaps) == 0


def test_too_much_missing_asks_for_a_keyframe_instead():
    gaps = Gaps()
    gaps.arrived(0, 0)
    assert not gaps.arrived(MAX_GAPS + 2, 0)
    assert len(gaps) == 0
    assert gaps.arrived(MAX_GAPS + 3, 0)


@given(st.lists(st.tuples(st.integers(0, 2000), st.integers(0, 100)), max_size=200))
def test_what_is_missing_is_bounded_and_what_arrived_is_not_missing(arrivals):
    gaps, now, seen = Gaps(), 0, set()
    for sequence, passed in arrivals:
        now += passed
        gaps.arrived(sequence, now)
        seen.add(sequence)
        assert len(gaps) <= MAX_GAPS
        assert not seen & set(gaps.due(now))


def test_resends_are_a_share_of_what_is_sent():
    share = ResendShare(share=0.5, burst_octets=1000)
    assert [share.allows(400, 0) for _ in range(3)] == [True, True, False]
    assert not share.allows(400, 300)
    assert share.allows(400, 400)  # 200 and half of 400
    assert [share.allows(1000, 1_000_000) for _ in range(2)] == [True, False]  # never more than the burst at once


def sent_to_who_asks_for_everything(share):
    """Octets, in a plain stream where resends are sent by the same line, while 2 MB of media go out."""
    media = sent = 0
    while media < 2_000_000:
        media, sent = media + 1000, sent + 1000
        for _ in range(5):
            sent += 1000 if share.allows(1000, sent) else 0
    return sent


def test_who_asks_for_everything_again_costs_half_as_much_again_at_most():
    assert sent_to_who_asks_for_everything(ResendShare()) < 2_000_000 * 1.5 + 2 * (128 << 10)


def test_without_the_share_it_would_cost_many_times_as_much(monkeypatch):
    monkeypatch.setattr(ResendShare, "allows", lambda *_: True)
    assert sent_to_who_asks_for_everything(ResendShare()) == 12_000_000


def test_a_budget_is_a_burst_then_a_rate():
    budget = ResendBudget(per_second=10, burst=5, pause_ms=0)
    assert [budget.allows(0, n, 1000) for n in range(7)] == [True] * 5 + [False] * 2
    assert [budget.allows(0, n, 1200) for n in range(7)] == [True] * 2 + [False] * 5


def test_the_same_packet_waits_its_pause():
    budget = ResendBudget(pause_ms=20)
    assert [budget.allows(1, 7, now) for now in (1000, 1019, 1020)] == [True, False, True]
    assert budget.allows(0, 7, 1021)


@given(st.lists(st.tuples(st.integers(0, 100), st.integers(0, 50)), max_size=500))
def test_a_budget_never_gives_more_than_it_has(asks):
    budget, now, given_out = ResendBudget(per_second=100, burst=20, pause_ms=5), 0, 0
    for sequence, passed in asks:
        now += passed
        given_out += budget.allows(0, sequence, now)
        assert given_out <= 20 + now * 100 / 1000 + 1
    assert len(budget._recent) <= 20
