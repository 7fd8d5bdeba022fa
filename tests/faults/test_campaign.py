"""The short campaign with real processes, for every run; the long one is `python -m tests.faults real --long`."""

from dataclasses import replace
from pathlib import Path

import pytest
from faults.campaign import run_seed
from faults.plan import SHORT, STEP, Plan
from faults.stores import make_template

pytestmark = pytest.mark.timeout(300)  # it starts ten processes, on a machine that may be doing something else


@pytest.fixture(scope="module")
async def template(tmp_path_factory) -> Path:
    return await make_template(tmp_path_factory.mktemp("t") / "stores")


async def test_a_sale_goes_through_kills_and_lost_writes_without_a_loss(template, tmp_path):
    faults = ("postgres cut", "redis emptied", STEP + "the provider has authorized")
    plan = Plan(seed=20261122, faults=faults, workers=1, hold_seconds=300)
    outcome = await run_seed(plan, SHORT, tmp_path / "w", template=template)
    assert (outcome.findings, outcome.not_done) == ({}, []), plan
    assert outcome.holds > 10
    assert outcome.orders > 5


async def test_a_store_that_tells_of_a_commit_before_it_is_on_the_disk_is_found(template, tmp_path):
    plan = Plan(seed=1, faults=("postgres cut",), workers=1, hold_seconds=300)
    defence = "a commit is on the disk before it is told"
    pace = replace(SHORT, settle=15)  # such books never settle, and others do within a few seconds
    outcome = await run_seed(plan, pace, tmp_path / "w", template=template, removed=defence)
    assert "lost" in outcome.findings or "the show is gone" in outcome.findings, plan
