"""A deploy: both processes are replaced, one after the other, under a room that goes on talking.

SHOWFLOOR_VIEWERS=1000 makes it as large as the promise; `benchmarks/restart.py` prints how soon they are back.
"""

import importlib.util
import os
from pathlib import Path

import pytest


def _campaign():
    path = Path(__file__).parents[2] / "benchmarks" / "restart.py"
    spec = importlib.util.spec_from_file_location("restart", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


campaign = _campaign()
VIEWERS = int(os.environ.get("SHOWFLOOR_VIEWERS", "200"))


def told(*offsets, snapshot=False):
    return campaign.Told([campaign.Happened(at, None) for at in offsets], {}, "e", max(offsets), snapshot)


async def test_the_count_notices_a_gap_a_repeat_and_a_new_beginning():
    seat = campaign.Seat("http://127.0.0.1", None, "token")
    for one in (told(5, snapshot=True), told(6, 7), told(9), told(9), told(9, snapshot=True), told(10)):
        seat._take(one)
    assert (seat.gaps, seat.repeats, seat.anew, seat.heard) == (1, 1, 1, 5)


@pytest.mark.timeout(300)
async def test_a_rolling_restart_of_two_processes_costs_nobody_a_message(service):
    service.options = (*service.options, "--workers", "2")
    await service.start()
    await service.sell(campaign.SHOW, "pot", stock=1)
    tokens = await campaign.guests(service.base_url, VIEWERS + 1)
    parent = service.process.pid
    before = campaign.workers_of(parent)
    assert len(before) == 2
    async with campaign.Room(service.base_url, tokens[:-1]) as room:
        restarts = [lambda worker=worker: campaign.replace(parent, worker, service.base_url) for worker in before]
        await room.come_through(restarts, tokens[-1])
        report = room.report()
    assert not set(before) & set(campaign.workers_of(parent))
    assert (report["gaps"], report["repeats"], report["anew"]) == (0, 0, 0), report
    assert report["came back"] >= VIEWERS, report  # everybody sat in one of them
    assert report["heard"] >= 2 * campaign.SAID_MIN * VIEWERS, report
