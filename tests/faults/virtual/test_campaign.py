"""The short campaign in virtual time, for every run; ten thousand seeds are `python -m tests.faults virtual`."""

import pytest
import structlog
from faults.virtual.campaign import FAULTS, run_seed
from faults.virtual.removed import REMOVED

SEEDS = 15
CONTROL_SEEDS = 20
QUICK = {
    "Postgres counts for itself",
    "a webhook is signed",
    "a capture is once",
    "a payment's id is the provider's key",
    "a hold's id follows from its key",
    "a gate that may have missed something is rebuilt",
    "what is written down is on the disk before it is told",
    "what waits is decided in order",
}
"""Controls that show within a few seeds; the others are the long campaign's."""


@pytest.fixture(autouse=True)
def _quiet():
    """Every seed logs what breaks in it."""

    before = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    yield
    structlog.configure(**before)


def test_no_seed_finds_anything():
    outcomes = [run_seed(seed) for seed in range(SEEDS)]
    assert {outcome.seed: outcome.findings for outcome in outcomes if not outcome.ok} == {}
    assert sum(outcome.orders for outcome in outcomes) > 5 * SEEDS
    assert sum(outcome.confirming for outcome in outcomes) > 0


def test_a_seed_repeats_itself():
    assert run_seed(3) == run_seed(3)


@pytest.mark.parametrize("defence", sorted(QUICK))
def test_a_defence_that_is_missing_is_missed(defence):
    assert any(not run_seed(seed, defence).ok for seed in range(CONTROL_SEEDS))


def test_every_control_names_faults_of_the_plan():
    assert {fault for removed in REMOVED.values() for fault in removed.faults} <= set(FAULTS)
    assert set(REMOVED) >= QUICK
