"""One seed from beginning to end, with real processes."""

import asyncio
import random
import time
from pathlib import Path

import httpx2
import msgspec
from faults.crowd import Crowd
from faults.injure import NotDone, injure
from faults.judge import judge
from faults.plan import Pace, Plan
from faults.settled import not_confirmed, unsettled
from faults.world import OPENING, SHOW, World

from checkout.verify import verify

BUYERS = 36
LEAVE_S = 20.0
CALM_S = 3.0
POLL_S = 0.25
FORGETFUL = ("redis", "disk full", "app frozen", "worker frozen")
"""After these a refusal may be known to nobody: said through Redis, as well as may be."""


class Outcome(msgspec.Struct, kw_only=True):
    """One line of the record."""

    seed: int
    plan: str
    removed: str = ""
    commit: str = ""
    """Of the code it ran on."""
    done: list[str] = []
    not_done: list[str] = []
    findings: dict[str, list[str]] = {}
    notes: list[str] = []
    answers: int = 0
    holds: int = 0
    orders: int = 0
    confirming: int = 0
    """Told to wait while Postgres did not answer."""
    settled_s: float = 0.0
    """From the end of the last fault."""
    seconds: float = 0.0

    @property
    def ok(self) -> bool:
        return not self.findings

    @property
    def broke(self) -> bool:
        """The campaign itself failed: neither a proof nor a finding."""
        return "broke" in self.findings


async def run_seed(plan: Plan, pace: Pace, folder: Path, *, template: Path | None = None, removed: str = "") -> Outcome:
    began = time.monotonic()
    outcome = Outcome(seed=plan.seed, plan=str(plan), removed=removed)
    async with World(folder, plan, template=template, removed=removed) as world:
        async with Crowd(world.base_url, SHOW, tuple(OPENING), plan.seed, world.operator) as crowd:
            fault_ended = await _trouble(world, crowd, plan, pace, outcome)
            await _settle(world, pace, fault_ended, outcome)
            await _ask_the_service(world, outcome)
            await crowd.look_back(world.viewers)
            await _judge(world, crowd, outcome)
        outcome.notes += world.stores.notes
    outcome.seconds = round(time.monotonic() - began, 1)
    return outcome


async def _trouble(world: World, crowd: Crowd, plan: Plan, pace: Pace, outcome: Outcome) -> float:
    """The crowd buys while the faults happen; when the last one ended."""
    dice = random.Random(plan.seed)
    buyers = dict(list(world.viewers.items())[:BUYERS])
    async with asyncio.TaskGroup() as group:
        shopping = group.create_task(crowd.shop(buyers))
        restocking = group.create_task(_restock(world, crowd, pace))
        await asyncio.sleep(pace.warm)
        for fault in plan.faults:
            try:
                await injure(world, crowd, fault, pace, dice)
                outcome.done.append(fault)
            except NotDone as why:
                outcome.not_done.append(f"{fault}: {why}")
            ended = time.monotonic()
            await asyncio.sleep(pace.gap)
        crowd.close_doors()
        await restocking
        await asyncio.wait({shopping}, timeout=LEAVE_S)
        shopping.cancel()
    return ended


async def _restock(world: World, crowd: Crowd, pace: Pace) -> None:
    """So that there is always something left to fight for; each delivery once, however often it is entered."""
    async with world.client(world.operator) as http:
        number = 0
        while crowd.is_open:
            await asyncio.sleep(pace.mood)
            number += 1
            for variant in OPENING:
                await _until_taken(http, crowd, f"/api/v1/shows/{SHOW}/items/{variant}/restock", f"more-{number}")


async def _until_taken(http: httpx2.AsyncClient, crowd: Crowd, path: str, key: str) -> None:
    while crowd.is_open:
        try:
            answer = await http.post(path, json={"quantity": 6}, headers={"Idempotency-Key": key + path[-14:-8]})
            if answer.status_code < 300:
                return
        except httpx2.HTTPError:
            pass
        await asyncio.sleep(0.3)


async def _settle(world: World, pace: Pace, fault_ended: float, outcome: Outcome) -> None:
    left: list[str] = ["nothing could be asked"]
    while time.monotonic() - fault_ended < pace.settle:
        try:
            left = await unsettled(world.stores.database_url, world.stores.redis_url)
            left += not_confirmed(world.data)
        except Exception as error:
            left = [f"not to be asked: {error!r}"]
        if not left:
            break
        await asyncio.sleep(POLL_S)
    outcome.settled_s = round(time.monotonic() - fault_ended, 1)
    if left:
        outcome.findings["not settled"] = left


async def _ask_the_service(world: World, outcome: Outcome) -> None:
    """It sells again: a stranger gets what is free, and is told so where nothing is."""
    async with world.client(world.viewers["b199"]) as http:
        answer = await http.get(f"/api/v1/shows/{SHOW}")
        if answer.status_code != 200:
            outcome.findings["the show is gone"] = [answer.text[:200]]
            return
        stock = {row["variant_id"]: row["stock"]["available"] for row in answer.json()["items"]}
        for variant, free in stock.items():
            path, key = f"/api/v1/shows/{SHOW}/holds", {"Idempotency-Key": f"last-{variant}"}
            answer = await http.post(path, json={"variant_id": variant}, headers=key)
            expected = 201 if free > 0 else 409
            if answer.status_code != expected:
                outcome.findings.setdefault("sells no more", []).append(f"{variant}, {free} free: {answer.text[:200]}")
    happened = (await world.tell_network())["happened"]
    if taken := happened.get("forged and taken"):
        outcome.findings["forged webhooks taken"] = [f"{taken} of {happened['forged']}"]
    outcome.notes += [f"{count} webhooks {what}" for what, count in happened.items()]


async def _judge(world: World, crowd: Crowd, outcome: Outcome) -> None:
    found = await world.found(gate_forgot=any(fault.startswith(FORGETFUL) for fault in outcome.done))
    outcome.findings |= judge(crowd.told, found).findings
    report = await verify(world.stores.database_url)
    if not report.ok:
        outcome.findings["verify"] = report.problems
    outcome.answers = sum(told.status > 0 for told in crowd.told)
    outcome.holds = sum(told.op == "hold" and told.status == 201 for told in crowd.told)
    outcome.orders = len(found.orders)
    outcome.confirming = len({told.hold_id for told in crowd.told if told.state == "confirming"})
