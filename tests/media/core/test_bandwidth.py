"""One viewer's way down, in virtual time."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from media.core.bandwidth import Bandwidth


def sending(bps, seconds=3, bandwidth=None, began_ms=0, **report):
    """A report a second, while so much is sent."""
    bandwidth = bandwidth or Bandwidth()
    start = bandwidth._sent[-1][1] if bandwidth._sent else 0
    for now_ms in range(0, seconds * 1000 + 1, 250):
        bandwidth.sent(start + bps * now_ms // 8000, began_ms + now_ms)
        if now_ms % 1000 == 0 and now_ms:
            bandwidth.reported(**({"loss": 0.0, "jitter_ms": 2, "rtt_ms": 40} | report), now_ms=began_ms + now_ms)
    return bandwidth


def test_what_is_sent_without_harm_fits():
    bandwidth = sending(500_000)
    assert bandwidth.sent_bps == bandwidth.estimate_bps == 500_000
    assert bandwidth.congested_ms is None


def test_a_burst_that_a_queue_swallowed_is_not_what_fits():
    bandwidth = sending(150_000, 2)
    bandwidth.sent(2 * 150_000 // 8 + 75_000, 3000)
    bandwidth.reported(0.0, 2, 40, 3000)
    assert bandwidth.sent_bps == 600_000
    assert bandwidth.estimate_bps == 150_000


def test_a_remb_that_falls_far_under_what_is_sent_is_congestion_at_once():
    bandwidth = sending(1_500_000)
    bandwidth.told(2_000_000, 3000)
    bandwidth.told(255_000, 3200)
    assert (bandwidth.congested_ms, bandwidth.estimate_bps) == (3200, 255_000)


def test_a_remb_that_lags_behind_a_layer_just_taken_is_not():
    bandwidth = sending(150_000)
    bandwidth.told(225_000, 3000)
    sending(1_500_000, 3, bandwidth, 3000)
    bandwidth.told(243_000, 6100)
    bandwidth.told(262_000, 7100)
    assert bandwidth.congested_ms is None
    assert bandwidth.estimate_bps == 1_500_000


@pytest.mark.parametrize(
    ("report", "is_congested"), [({}, False), ({"loss": 0.05}, False), ({"loss": 0.12}, True), ({"rtt_ms": 120}, True)]
)
def test_a_remb_that_falls_a_little_needs_a_report_that_agrees(report, is_congested):
    bandwidth = sending(1_000_000)
    bandwidth.told(1_200_000, 3000)
    bandwidth.told(850_000, 3100)
    assert bandwidth.congested_ms is None
    bandwidth.reported(**({"loss": 0.0, "jitter_ms": 2, "rtt_ms": 40} | report), now_ms=3600)
    assert (bandwidth.congested_ms == 3600) == is_congested


def test_a_slow_pictures_loss_is_seen_all_the_same():
    bandwidth = sending(80_000)
    for second in range(10):
        bandwidth.reported(0.4, 2, 40, 3000 + 1000 * second, packets=10)
    assert bandwidth.congested_ms is not None


def test_a_report_about_a_few_packets_is_not_believed_alone():
    bandwidth = sending(80_000)
    bandwidth.reported(0.3, 2, 40, 4000, packets=10)
    assert bandwidth.congested_ms is None
    bandwidth.reported(0.3, 2, 40, 5000, packets=50)
    assert bandwidth.congested_ms == 5000


def test_a_report_about_nothing_says_nothing_about_loss():
    bandwidth = sending(500_000, 5, packets=0, loss=1.0)
    assert (bandwidth.congested_ms, bandwidth.mean_loss) == (None, 0.0)


def test_loss_of_long_ago_does_not_count():
    bandwidth = sending(500_000, 4, loss=0.5)
    bandwidth.reported(0.0, 2, 40, 14_000, packets=5)
    assert bandwidth.mean_loss == 0.0


def test_who_reports_all_the_time_makes_us_remember_no_more():
    bandwidth = Bandwidth()
    for number in range(20_000):
        bandwidth.sent(number * 50, number // 10)
    assert len(bandwidth._sent) < 50
    assert bandwidth.sent_bps == pytest.approx(500 * 1000 * 8, rel=0.05)


def test_losses_that_are_forgiven_do_not_come_back():
    bandwidth = sending(80_000)
    for second in range(3):
        bandwidth.reported(0.9, 2, 40, 3000 + 200 * second, packets=20)
    assert bandwidth.mean_loss > 0.1
    bandwidth.congested_ms = None
    bandwidth.forgive()
    for second in range(3):
        bandwidth.reported(0.0, 2, 40, 4000 + 200 * second, packets=20)
    assert (bandwidth.congested_ms, bandwidth.mean_loss) == (None, 0.0)


def test_a_suspicion_is_forgotten():
    bandwidth = sending(1_000_000)
    bandwidth.told(1_200_000, 3000)
    bandwidth.told(850_000, 3100)
    bandwidth.reported(0.05, 2, 40, 5000)
    assert bandwidth.congested_ms is None


@pytest.mark.parametrize(
    ("losses", "is_congested"),
    [([0.08] * 5, False), ([0.15], False), ([0.15] * 2, False), ([0.15] * 5, True), ([0.3], True)],
)
def test_without_a_remb_loss_decides(losses, is_congested):
    bandwidth = sending(1_000_000)
    for number, loss in enumerate(losses):
        bandwidth.reported(loss, 2, 40, 4000 + 1000 * number)
    assert (bandwidth.congested_ms is not None) == is_congested
    if is_congested:
        assert bandwidth.estimate_bps == int(1_000_000 * (1 - losses[-1]) * 0.9)


def test_without_a_remb_two_long_round_trips_are_congestion():
    bandwidth = sending(1_000_000)
    bandwidth.reported(0.0, 2, 500, 4000)
    assert bandwidth.congested_ms is None
    bandwidth.reported(0.0, 2, 600, 5000)
    assert bandwidth.congested_ms == 5000


def test_a_longer_route_becomes_the_shortest_in_the_end():
    bandwidth = sending(1_000_000)
    assert bandwidth.shortest_ms == 40
    for second in range(4, 50):
        bandwidth.reported(0.0, 2, 90, second * 1000)
    assert bandwidth.shortest_ms == 90


def test_what_was_sent_before_the_congestion_does_not_count_as_fitting_after_it():
    bandwidth = sending(1_500_000)
    bandwidth.told(2_000_000, 3000)
    bandwidth.told(255_000, 3200)
    bandwidth.reported(0.0, 2, 40, 3400)
    bandwidth.reported(0.0, 2, 40, 4400)
    assert bandwidth.estimate_bps == 255_000


def test_no_train_is_measured_against_a_queue_that_drains():
    bandwidth, steady = Bandwidth(), []
    for second, rtt_ms in enumerate((780, 400, 66, 40, 42, 41, 300, 40, 40, 40)):
        bandwidth.reported(0.0, 2, rtt_ms, second * 1000)
        steady.append(bandwidth.is_steady)
    assert steady == [False, False, False, False, True, True, False, False, False, True]


feedback = st.one_of(
    st.tuples(st.just("remb"), st.integers(0, 1 << 40)),
    st.tuples(st.just("report"), st.floats(0, 1), st.one_of(st.none(), st.integers(0, 60_000))),
    st.tuples(st.just("sent"), st.integers(0, 1 << 20)),
    st.tuples(st.just("train"), st.integers(1, 1 << 40)),
)


@given(st.lists(st.tuples(st.integers(0, 5000), feedback), max_size=80))
def test_whatever_a_peer_says_the_figures_stay_sound(steps):
    bandwidth, now_ms, octets = Bandwidth(), 1000, 0
    for passed_ms, (kind, *values) in steps:
        now_ms += passed_ms
        before, congested_ms = bandwidth.estimate_bps, bandwidth.congested_ms
        if kind == "remb":
            bandwidth.told(values[0], now_ms)
        elif kind == "report":
            bandwidth.reported(values[0], 1.0, values[1], now_ms)
        elif kind == "sent":
            octets += values[0]
            bandwidth.sent(octets, now_ms)
        else:
            bandwidth.proved(values[0])
        assert bandwidth.estimate_bps >= 0
        assert bandwidth.sent_bps >= 0
        assert bandwidth.shortest_ms >= 0
        assert len(bandwidth._sent) <= 2 + 1000
        if bandwidth.congested_ms == congested_ms:
            assert bandwidth.estimate_bps >= before
