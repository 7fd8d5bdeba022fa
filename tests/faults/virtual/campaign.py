"""One seed in virtual time: a crowd, a plan of faults, calm, and the judge."""

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable

import msgspec
from faults.judge import judge
from faults.virtual.loop import run
from faults.virtual.removed import REMOVED, UNSYNCED, without
from faults.virtual.shop import OPENING, SHOW, Shop, virtual_time
from faults.virtual.shoppers import Crowd
from faults.virtual.stockbooks import ALIVE

from schema.errors import ShowfloorError

BUYERS = 9
TROUBLE_S = 8.0
SETTLE_S = 60.0
KEEP_EVERY_S = 0.4
HOUR_MS = 3_600_000
FORGETFUL = ("redis", "desk frozen")
"""After these a refusal may be known to nobody: said through Redis, as well as may be."""


class Outcome(msgspec.Struct, kw_only=True):
    seed: int
    removed: str = ""
    commit: str = ""
    """Of the code it ran on."""
    done: list[str]
    findings: dict[str, list[str]] = {}
    answers: int = 0
    holds: int = 0
    orders: int = 0
    confirming: int = 0
    """Told to wait while Postgres did not answer."""
    settled_s: float = 0.0

    @property
    def ok(self) -> bool:
        return not self.findings


def run_seed(seed: int, removed: str = "", faults: tuple[str, ...] = ()) -> Outcome:
    """`faults`: instead of those that the seed would choose."""

    async def main() -> Outcome:
        syncs = removed != UNSYNCED
        with virtual_time(asyncio.get_running_loop(), syncs=syncs), without(removed) as names:
            return await _Seed(seed, removed, names, faults or _faults_of(removed)).run()

    outcome: Outcome = run(main())
    return outcome


def _faults_of(removed: str) -> tuple[str, ...]:
    return REMOVED[removed].faults if removed else ()


class _Seed:
    def __init__(self, seed: int, removed: str, names: frozenset[str], faults: tuple[str, ...]) -> None:
        self.shop = Shop(seed, names)
        self.crowd = Crowd(self.shop, BUYERS)
        self.dice = random.Random(f"faults {seed}")
        self.faults = faults or tuple(self.dice.sample(list(FAULTS), self.dice.randint(2, 4)))
        self.outcome = Outcome(seed=seed, removed=removed, done=list(self.faults))

    async def run(self) -> Outcome:
        shop, crowd, outcome = self.shop, self.crowd, self.outcome
        await shop.open()
        async with asyncio.TaskGroup() as group:
            group.create_task(crowd.live())
            group.create_task(self._restock())
            if "a commit is on the disk before it is told" in shop.removed:
                group.create_task(self._keep())
            troubles = [group.create_task(self._trouble(fault)) for fault in self.faults]
            await asyncio.wait(troubles)
            shop.calm()
            ended = shop.loop.time()
            await asyncio.sleep(max(1.0, 1_000_000.0 + TROUBLE_S - ended))
            crowd.is_open = False
        await self._settle(ended)
        await crowd.look_back()
        self._judge()
        await shop.close()
        outcome.answers = sum(told.status > 0 for told in crowd.told)
        outcome.holds = sum(told.op == "hold" and told.status == 201 for told in crowd.told)
        outcome.orders = len(shop.books.orders)
        outcome.confirming = len({told.hold_id for told in crowd.told if told.state == "confirming"})
        return outcome

    async def _trouble(self, fault: str) -> None:
        await asyncio.sleep(0.5 + self.dice.random() * (TROUBLE_S - 3))
        await FAULTS[fault](self)

    async def _restock(self) -> None:
        for number in range(3):
            await asyncio.sleep(2)
            for variant in OPENING:
                for _ in range(6):
                    try:
                        key = f"more-{number}-{variant}"
                        await self.shop.call(lambda d, v=variant, k=key: d.restock(SHOW, v, 2, account_id="op", key=k))
                        break
                    except (OSError, ShowfloorError):
                        await asyncio.sleep(0.5)

    async def _keep(self) -> None:
        while self.crowd.is_open:
            self.shop.kept.append((self.shop.loop.time(), self.shop.books.copy()))
            await asyncio.sleep(KEEP_EVERY_S)

    async def _settle(self, ended: float) -> None:
        left = self.shop.unsettled()
        while left and self.shop.loop.time() - ended < SETTLE_S:
            await asyncio.sleep(0.25)
            left = self.shop.unsettled()
        self.outcome.settled_s = round(self.shop.loop.time() - ended, 2)
        if left:
            self.outcome.findings["not settled"] = left

    def _judge(self) -> None:
        shop, findings = self.shop, self.outcome.findings
        jumped = "postgres clock jumps" in self.faults
        forgot = any(fault.startswith(FORGETFUL) for fault in self.faults)
        findings |= judge(self.crowd.told, shop.found(clock_jumped=jumped, gate_forgot=forgot)).findings
        if self.crowd.errors:
            findings["errors"] = self.crowd.errors[:5]
        if shop.forged_taken:
            findings["forged webhooks taken"] = [str(shop.forged_taken)]
        if apart := _ledger_apart(shop):
            findings["ledger"] = apart


def _ledger_apart(shop: Shop) -> list[str]:
    """The ledger's sums against the rows, as `showfloor verify` compares them."""
    books, found = shop.books, []
    for (_, variant), item in books.stock.items():
        units: Counter[str] = Counter()
        for entry in books.ledger:
            if entry["variant_id"] == variant:
                units[entry["kind"]] += entry["units"]
        stocked = units["opening"] + units["restocked"] + units["returned"]
        mine = [row for row in books.holds.values() if row["variant_id"] == variant]
        held = sum(row["quantity"] for row in mine if row["state"] in ALIVE)
        pairs = [(stocked, item["stocked"]), (units["sold"], item["sold"]), (held, item["taken"] - item["sold"])]
        found += [f"{variant}: {left} is not {right}" for left, right in pairs if left != right]
    money = Counter()
    for entry in books.ledger:
        money[entry["kind"]] += entry["amount"]
    # The capture of an order that was cancelled meanwhile is given back, and never was in the ledger.
    undone = {order["payment_id"] for order in books.orders.values() if order["state"] == "cancelled"}
    counted = [payment for name, payment in shop.network.payments.items() if name not in undone]
    taken, given = sum(p["captured"] for p in counted), sum(p["refunded"] for p in counted)
    if (money["capture"], money["refund"]) != (taken, given):
        found.append(f"money: {money['capture']}, {money['refund']} and at the provider {taken}, {given}")
    return found


# -- faults -----------------------------------------------------------------------------------------------------------


async def _for_a_while(seed: _Seed, weather, **settings: float) -> None:
    before = {name: getattr(weather, name) for name in settings}
    for name, value in settings.items():
        setattr(weather, name, value)
    await asyncio.sleep(1 + seed.dice.random() * 3)
    for name, value in before.items():
        setattr(weather, name, value)


async def _desk_killed(seed: _Seed) -> None:
    number = seed.dice.randrange(len(seed.shop.processes))
    await seed.shop.restart(number, 0.1 + seed.dice.random())


async def _desk_frozen(seed: _Seed) -> None:
    process = seed.dice.choice(seed.shop.processes)
    process.freeze()
    await asyncio.sleep(seed.dice.choice((3, 10, 20)))
    process.thaw()


async def _power_cut(seed: _Seed) -> None:
    """The desk's machine loses its power while taps wait for Postgres."""
    seed.shop.postgres.down = True
    await asyncio.sleep(0.5 + seed.dice.random() * 3)
    number = seed.dice.randrange(len(seed.shop.processes))
    restarted = asyncio.create_task(seed.shop.restart(number, 0.1 + seed.dice.random(), power=False))
    await asyncio.sleep(seed.dice.random() * 3)
    seed.shop.postgres.down = False
    await restarted


async def _desk_killed_waiting(seed: _Seed) -> None:
    """The desk is killed, perhaps in the middle of a line, while taps wait for Postgres."""
    for _ in range(seed.dice.randint(1, 3)):
        seed.shop.postgres.down = True
        number = await _who_writes(seed)
        restarted = asyncio.create_task(seed.shop.restart(number, 0.1 + seed.dice.random()))
        await asyncio.sleep(seed.dice.random() * 1.5)
        seed.shop.postgres.down = False
        await restarted


async def _who_writes(seed: _Seed) -> int:
    """The desk that is in the middle of a line, or after a while any."""
    loop = seed.shop.loop
    end = loop.time() + 0.5 + seed.dice.random() * 3
    while loop.time() < end:
        for number, process in enumerate(seed.shop.processes):
            if process.disk.on_its_way:
                return number
        await asyncio.sleep(0.002)
    return seed.dice.randrange(len(seed.shop.processes))


async def _disk_full(seed: _Seed) -> None:
    """No space for what waits for Postgres."""
    seed.shop.postgres.down = True
    await asyncio.sleep(seed.dice.random() * 2)
    disk = seed.dice.choice(seed.shop.processes).disk
    disk.is_full = True
    await asyncio.sleep(1 + seed.dice.random() * 2)
    disk.is_full = False
    await asyncio.sleep(seed.dice.random())
    seed.shop.postgres.down = False


async def _redis_cut(seed: _Seed) -> None:
    now = seed.shop.loop.time()
    seed.shop.redis.down = True
    seed.shop.channels.break_all()
    await asyncio.sleep(seed.dice.random())
    seed.shop.box.roll_back(now - seed.dice.random())
    seed.shop.redis.down = False


async def _redis_emptied(seed: _Seed) -> None:
    seed.shop.box.roll_back(-1)


async def _redis_rolled_back(seed: _Seed) -> None:
    seed.shop.channels.break_all()
    seed.shop.box.roll_back(seed.shop.loop.time() - seed.dice.random() * 4)


async def _redis_down(seed: _Seed) -> None:
    seed.shop.channels.break_all()
    await _for_a_while(seed, seed.shop.redis, down=True)


async def _redis_frozen(seed: _Seed) -> None:
    seed.shop.redis.frozen_until = seed.shop.loop.time() + seed.dice.random() * 10
    await asyncio.sleep(seed.shop.redis.frozen_until - seed.shop.loop.time())


async def _postgres_crashes(seed: _Seed) -> None:
    await seed.shop.crash_postgres()


async def _postgres_down(seed: _Seed) -> None:
    seed.shop.postgres.down = True
    await asyncio.sleep(seed.dice.choice((3, 10, 60)))
    seed.shop.postgres.down = False


async def _postgres_frozen(seed: _Seed) -> None:
    seed.shop.postgres.frozen_until = seed.shop.loop.time() + seed.dice.random() * 10
    await asyncio.sleep(seed.shop.postgres.frozen_until - seed.shop.loop.time())


async def _postgres_drops(seed: _Seed) -> None:
    await _for_a_while(seed, seed.shop.postgres, lost_before=0.15, lost_after=0.2)


async def _postgres_delays(seed: _Seed) -> None:
    await _for_a_while(seed, seed.shop.postgres, delayed=0.25)


async def _redis_drops(seed: _Seed) -> None:
    await _for_a_while(seed, seed.shop.redis, lost_before=0.15, lost_after=0.2)


async def _redis_delays(seed: _Seed) -> None:
    await _for_a_while(seed, seed.shop.redis, delayed=0.25)


async def _redis_duplicates(seed: _Seed) -> None:
    await _for_a_while(seed, seed.shop.redis, duplicated=0.4)


async def _provider_drops(seed: _Seed) -> None:
    await _for_a_while(seed, seed.shop.network.weather, lost_before=0.2)


async def _provider_times_out(seed: _Seed) -> None:
    await _for_a_while(seed, seed.shop.network.weather, lost_after=0.5)


async def _provider_delays(seed: _Seed) -> None:
    await _for_a_while(seed, seed.shop.network.weather, delayed=0.4)


async def _provider_duplicates(seed: _Seed) -> None:
    await _for_a_while(seed, seed.shop.network.weather, duplicated=0.5)


async def _provider_down(seed: _Seed) -> None:
    await _for_a_while(seed, seed.shop.network.weather, down=True)


async def _mail_drops(seed: _Seed) -> None:
    await _for_a_while(seed, seed.shop.network.mail, lost_before=0.8)


async def _mail_late(seed: _Seed) -> None:
    await _for_a_while(seed, seed.shop.network.mail, delayed=0.8)


async def _mail_twice(seed: _Seed) -> None:
    await _for_a_while(seed, seed.shop.network.mail, duplicated=0.6)


async def _mail_forged(seed: _Seed) -> None:
    for number in range(8):
        if seed.shop.network.payments:
            payment_id = seed.dice.choice(list(seed.shop.network.payments))
            seed.shop.network.send(f"evil_{number}", payment_id, False)
        await asyncio.sleep(0.3)


async def _storm(seed: _Seed) -> None:
    seed.crowd.storm = True
    await asyncio.sleep(3)
    seed.crowd.storm = False


async def _cancelled(seed: _Seed) -> None:
    seed.crowd.vanish = 0.6
    await asyncio.sleep(3)
    seed.crowd.vanish = 0.0


async def _app_clock(seed: _Seed) -> None:
    for jump in (HOUR_MS, -HOUR_MS, 0):
        seed.shop.app_jump_ms = jump
        await asyncio.sleep(1.2)


async def _postgres_clock(seed: _Seed) -> None:
    for jump in seed.dice.sample((HOUR_MS, -HOUR_MS), 2):
        seed.shop.books_jump_ms = jump
        await asyncio.sleep(1.5)
    seed.shop.books_jump_ms = 0


FAULTS: dict[str, Callable[[_Seed], Awaitable[None]]] = {
    "desk killed": _desk_killed,
    "desk frozen": _desk_frozen,
    "desk killed while taps wait": _desk_killed_waiting,
    "desk loses its power while taps wait": _power_cut,
    "disk full while taps wait": _disk_full,
    "redis loses its unsynced writes": _redis_cut,
    "redis emptied": _redis_emptied,
    "redis rolled back": _redis_rolled_back,
    "redis down": _redis_down,
    "redis frozen": _redis_frozen,
    "redis drops": _redis_drops,
    "redis delays": _redis_delays,
    "redis duplicates": _redis_duplicates,
    "postgres crashes": _postgres_crashes,
    "postgres down": _postgres_down,
    "postgres frozen": _postgres_frozen,
    "postgres drops": _postgres_drops,
    "postgres delays": _postgres_delays,
    "provider drops": _provider_drops,
    "provider times out after success": _provider_times_out,
    "provider delays": _provider_delays,
    "provider duplicates": _provider_duplicates,
    "provider down": _provider_down,
    "webhooks dropped": _mail_drops,
    "webhooks late and reordered": _mail_late,
    "webhooks duplicated": _mail_twice,
    "webhooks forged": _mail_forged,
    "retry storm": _storm,
    "requests cancelled": _cancelled,
    "app clock jumps": _app_clock,
    "postgres clock jumps": _postgres_clock,
}
