from checkout.core.retries import ATTEMPTS, CAP_MS, PATIENCE_MS, pause_ms


def test_pauses_grow_to_a_bound_and_outlast_a_night():
    pauses = [pause_ms(attempt, 0.5) for attempt in range(1, ATTEMPTS)]
    assert pauses[:4] == [5_000, 20_000, 80_000, 320_000]
    assert pauses == sorted(pauses)
    assert max(pauses) == CAP_MS
    assert sum(pauses) > PATIENCE_MS
    assert pause_ms(10_000, 0.5) == CAP_MS


def test_jitter_spreads_a_pause_by_a_quarter_each_way():
    assert (pause_ms(1, 0.0), pause_ms(1, 1.0)) == (3_750, 6_250)
    assert pause_ms(1, 0.5, base_ms=20) == 20
