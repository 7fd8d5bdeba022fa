"""What the campaigns are going to do, seen before they do it."""

from collections import Counter

from faults.plan import FAULTS, LONG, plan_of
from faults.removed import REMOVED


def test_forty_seeds_bring_each_fault_at_least_twice():
    counts = Counter(fault for seed in range(40) for fault in plan_of(seed, LONG).faults)
    assert set(counts) == set(FAULTS)
    assert min(counts.values()) >= 2


def test_a_seed_has_one_plan():
    assert plan_of(7, LONG) == plan_of(7, LONG)
    assert plan_of(7, LONG) != plan_of(8, LONG)


def test_a_worker_is_killed_or_frozen_only_where_there_are_two():
    plans = [plan_of(seed, LONG) for seed in range(40)]
    for fault in ("worker killed", "worker frozen"):
        assert {plan.workers for plan in plans if fault in plan.faults} == {2}


def test_every_control_names_faults_of_the_plan():
    assert {fault for removed in REMOVED.values() for fault in removed.faults} <= set(FAULTS)
