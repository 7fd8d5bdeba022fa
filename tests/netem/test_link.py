"""The link in virtual time: what a seed does, how often, and how late."""

import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st
from netem.link import BURST_BYTES, Conditions, Link

N = 20_000


def sent(conditions: Conditions, *, seed: object = 7, every_ms: float = 4, size: int = 1000, count: int = N):
    link = Link(seed, conditions)
    return [(number * every_ms, link.send(number * every_ms, size)) for number in range(count)]


def lost(answers) -> list[int]:
    return [number for number, (_, copies) in enumerate(answers) if not copies]


def test_without_conditions_every_packet_leaves_at_once():
    assert all(copies == [at_ms] for at_ms, copies in sent(Conditions()))


everything = Conditions(
    loss=0.02, burst=0.02, delay_ms=25, jitter_ms=10, reorder=0.05, duplicate=0.01, rate_bps=2_500_000
)


def test_a_seed_gives_the_same_network_again_and_another_seed_another():
    assert sent(everything) == sent(everything)
    assert sent(everything) != sent(everything, seed=8)


def test_the_packets_a_seed_loses_do_not_depend_on_the_delay():
    near, far = Conditions(loss=0.05), Conditions(loss=0.05, delay_ms=50, jitter_ms=20, reorder=0.1, duplicate=0.1)
    assert lost(sent(near)) == lost(sent(far))


@pytest.mark.parametrize("share", [0.02, 0.05, 0.3])
def test_independent_loss_is_as_frequent_as_asked_for(share):
    found = len(lost(sent(Conditions(loss=share))))
    assert abs(found - N * share) < 4 * (N * share * (1 - share)) ** 0.5


def test_bursts_lose_their_share_in_runs_of_their_length():
    gone = lost(sent(Conditions(burst=0.05, burst_packets=5), count=100_000))
    known = set(gone)
    runs = [number for number in gone if number - 1 not in known]
    assert 0.045 < len(gone) / 100_000 < 0.055
    assert 4.5 < len(gone) / len(runs) < 5.5


def test_independent_losses_seldom_stand_side_by_side():
    gone = set(lost(sent(Conditions(loss=0.05))))
    assert len(gone) / len([number for number in gone if number - 1 not in gone]) < 1.2


def test_delay_and_jitter_are_added_and_the_order_is_kept():
    answers = sent(Conditions(delay_ms=25, jitter_ms=20))
    late = [copies[0] - at_ms for at_ms, copies in answers]
    assert min(late) >= 25
    assert max(late) <= 45
    assert 30 < statistics.mean(late) < 42
    leaves = [copies[0] for _, copies in answers]
    assert leaves == sorted(leaves)


def test_a_share_is_held_back_and_overtaken():
    answers = sent(Conditions(delay_ms=10, reorder=0.1, reorder_ms=20))
    held = [number for number, (at_ms, copies) in enumerate(answers) if copies[0] - at_ms == pytest.approx(30)]
    assert 0.09 < len(held) / N < 0.11
    assert all(answers[n + 1][1][0] < answers[n][1][0] for n in held[:-1] if n + 1 not in held)


def test_a_share_arrives_twice():
    link = Link(7, Conditions(duplicate=0.1))
    twice = sum(len(link.send(0, 100)) == 2 for _ in range(N))
    assert twice == link.duplicated
    assert 0.09 < twice / N < 0.11


def test_the_bottleneck_passes_its_rate_and_no_more():
    link, passed = Link(7, Conditions(rate_bps=1_000_000, queue_bytes=20_000)), 0
    for number in range(5000):  # 2 Mb/s for 20 s
        passed += 1000 * len(link.send(number * 4, 1000))
    assert passed == pytest.approx(20 * 125_000 + 20_000, rel=0.02)
    assert link.overflowed == 5000 - passed // 1000


def test_the_queue_is_bounded_and_empties_at_the_rate():
    link = Link(7, Conditions(rate_bps=800_000, queue_bytes=10_000))  # 10 ms for 1,000 bytes
    at_once = [link.send(1000, 1000) for _ in range(40)]
    passed = [copies[0] for copies in at_once if copies]
    burst = BURST_BYTES // 1000
    assert len(passed) == burst + 10
    assert passed == [1000.0] * burst + [1000.0 + 10 * n for n in range(1, 11)]


def test_a_link_below_its_rate_delays_nothing():
    assert all(copies == [at_ms] for at_ms, copies in sent(Conditions(rate_bps=4_000_000)))


def test_conditions_change_under_way():
    link = Link(7, Conditions(loss=1.0))
    assert link.send(0, 100) == []
    link.conditions = Conditions(delay_ms=5)
    assert link.send(1, 100) == [6]


@given(
    st.builds(
        Conditions,
        loss=st.floats(0, 1),
        burst=st.floats(0, 1),
        burst_packets=st.floats(1, 50),
        delay_ms=st.floats(0, 1000),
        jitter_ms=st.floats(0, 100),
        reorder=st.floats(0, 1),
        reorder_ms=st.floats(0, 100),
        duplicate=st.floats(0, 1),
        rate_bps=st.integers(0, 10_000_000),
        queue_bytes=st.integers(0, 100_000),
    ),
    st.lists(st.tuples(st.floats(0, 50), st.integers(1, 1500)), max_size=60),
)
def test_nothing_leaves_before_its_delay_and_every_packet_is_accounted_for(conditions, packets):
    link, at_ms, gone = Link(1, conditions), 0.0, 0
    for pause_ms, size in packets:
        at_ms += pause_ms
        copies = link.send(at_ms, size)
        gone += not copies
        assert all(leaves >= at_ms + conditions.delay_ms - 1e-6 for leaves in copies)
    assert link.sent == len(packets)
    assert link.lost + link.overflowed == gone
