from hypothesis import given
from hypothesis import strategies as st

from media.core.meter import BUCKET_MS, BUCKETS, Meter


def test_a_steady_flow_is_measured_from_the_start_and_forgotten_when_it_ends():
    meter = Meter()
    assert meter.bps(1000) == 0
    for now_ms in range(10_000, 15_000, 10):
        meter.count(125, now_ms)
    assert abs(meter.bps(15_000) - 100_000) < 3000
    assert meter.bps(15_000 + BUCKETS * BUCKET_MS) == 0


@given(st.lists(st.tuples(st.integers(0, 3000), st.integers(0, 100_000)), max_size=200))
def test_it_keeps_a_bounded_memory_and_is_never_negative(steps):
    meter, now_ms = Meter(), 5
    for passed_ms, octets in steps:
        now_ms += passed_ms
        meter.count(octets, now_ms)
        assert meter.bps(now_ms) >= 0
    assert len(meter._buckets) <= BUCKETS + 1
