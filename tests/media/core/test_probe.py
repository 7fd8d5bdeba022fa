"""Trains through the link of tests/netem, in virtual time."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st
from netem.link import Conditions, Link

from media.core.probe import FAR_OVER, FIRST_MS, HOLD_UP_MS, LONGEST_MS, LOST_MS, MAX_OCTETS, MIN_OCTETS, Probe

RTT_MS = 40


def train(probe, link, now_ms, mark):
    """Send one; the round trip of the report behind it."""
    for _ in range(-(-probe.octets // 1000)):
        link.send(now_ms, 1000)
    probe.sent(-(-probe.octets // 1000) * 1000, mark, now_ms)
    arrivals = link.send(now_ms, 60)
    return RTT_MS + round(arrivals[0] - now_ms)


def measured(rate_bps, trains):
    probe, link, found = Probe(), Link(7, Conditions(rate_bps=rate_bps)), []
    for number in range(trains):
        now_ms = number * 5000
        rtt_ms = train(probe, link, now_ms, number + 1)
        found.append(probe.answered(number + 1, rtt_ms, RTT_MS))
    return found


@pytest.mark.parametrize("rate_bps", [300_000, 600_000, 1_000_000, 2_000_000])
def test_a_train_finds_the_rate_of_a_bottleneck_behind_its_burst(rate_bps):
    assert measured(rate_bps, 4)[-1] == pytest.approx(rate_bps, rel=0.15)


def test_a_wide_link_is_known_to_be_wide_by_the_second_train():
    assert measured(0, 2)[1] > 9_000_000


def test_a_train_is_as_long_as_it_may_be_and_holds_up_no_longer():
    probe, link = Probe(), Link(7, Conditions(rate_bps=2_000_000))
    for number in range(5):
        rtt_ms = train(probe, link, number * 5000, number + 1)
        assert rtt_ms - RTT_MS <= HOLD_UP_MS * 1.3
        probe.answered(number + 1, rtt_ms, RTT_MS)
    assert MIN_OCTETS < probe.octets < MAX_OCTETS


def test_only_the_report_that_answers_the_train_counts_and_once():
    probe = Probe()
    assert probe.answered(7, 100, 40) is None
    probe.sent(5000, 7, 0)
    assert probe.answered(6, 100, 40) is None
    assert probe.answered(7, 120, 40) == 200_000
    assert probe.answered(7, 120, 40) is None


def test_one_train_is_under_way_at_a_time_and_a_lost_one_is_given_up():
    probe = Probe()
    probe.begin(0)
    assert not probe.is_due(FIRST_MS - 1)
    assert probe.is_due(FIRST_MS)
    probe.sent(5000, 7, FIRST_MS)
    assert not probe.is_due(FIRST_MS + LOST_MS - 1)
    assert probe.is_under_way(FIRST_MS + LOST_MS - 1)
    assert probe.is_due(FIRST_MS + LOST_MS)


def test_two_trains_must_agree_but_one_that_is_far_over_is_believed():
    probe = Probe()
    assert probe.judged(700_000, 500_000, 0) == 0
    assert probe.judged(900_000, 500_000, 0) == 700_000
    assert probe.judged(400_000, 500_000, 0) == 0
    assert probe.judged(900_000, 500_000, 0) == 0, "a train that said no begins it anew"
    assert Probe().judged(FAR_OVER * 500_000, 500_000, 0) == 750_000


def test_a_link_without_room_is_asked_at_growing_intervals_up_to_a_bound():
    probe, sent, now_ms = Probe(), [], 0
    while len(sent) < 6:
        if probe.is_due(now_ms):
            sent.append(now_ms)
            probe.sent(5000, now_ms + 1, now_ms)
        if sent and now_ms == sent[-1] + 500:
            probe.judged(probe.answered(sent[-1] + 1, 200, 40), 500_000, now_ms)
        now_ms += 10
    pauses = [b - a for a, b in itertools.pairwise(sent)]
    assert pauses == sorted(pauses)
    assert pauses[-1] == LONGEST_MS


@given(st.lists(st.tuples(st.integers(0, 3000), st.integers(0, 100_000), st.integers(0, 5000)), max_size=50))
def test_trains_stay_bounded_whatever_the_answers(steps):
    probe, now_ms = Probe(), 0
    for mark, (passed_ms, rtt_ms, shortest_ms) in enumerate(steps, 1):
        now_ms += passed_ms
        if probe.is_due(now_ms):
            probe.sent(probe.octets, mark, now_ms)
            bps = probe.answered(mark, rtt_ms, shortest_ms)
            assert bps > 0
            assert 0 <= probe.judged(bps, 500_000, now_ms) <= bps
        assert MIN_OCTETS <= probe.octets <= MAX_OCTETS
