"""How many durable reserves a second on one hot product, beside its peers and limits, in the same run.

Every way is asked by N buyers at once, each tapping again as soon as it is answered, on real Valkey and PostgreSQL
(the embedded ones: fsync on). The ways take turns, so that a noisy machine hits them alike; medians and ranges of
the repeats are printed, and the CPU time of this process (not of the stores).

    desk        Desk.hold(), with the price seen, as pages tap: gate, then batched reserve_many(), then the answer
    insert 500  one connection inserting bare rows in batches of 500, nothing decided <- limit (a)
    holds 500   the same, of the very rows a hold is: their ids, columns and indexes  <- limit (a')
    update      UPDATE ... WHERE taken < stocked, a row for the hold, 32 connections  <- peer (b)
    lua         one EVALSHA per reserve, not durable                                  <- peer (c)

Then 100,000 buyers tap once each on 1,000 units, 500 at a time: how many were held, where the taps were decided (in
this process, in Redis, in PostgreSQL), and taps a second, beside single EVALSHAs by `redis-benchmark` where its path
is given.

    python benchmarks/reserve.py [--repeats 5] [--seconds 0.8] [--redis-benchmark PATH]
"""

import argparse
import asyncio
import gc
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from dataclasses import asdict
from itertools import count
from os import urandom

import asyncpg
import redis.asyncio
import uvloop
from nobody import NobodyPays

from checkout.desk import Desk
from live.migrations import migrate
from live.stores import EmbeddedStores
from schema.errors import SoldOutError
from schema.hold import HoldRequest
from schema.ids import AccountId, ShowId, VariantId
from schema.people import Principal, Role

SHOW, POT = ShowId("bench"), VariantId("pot")
STOCK = 100_000_000
RUSH, RUSH_UNITS, AT_ONCE = 100_000, 1_000, 500
LUA = """
local left = tonumber(redis.call('HGET', KEYS[1], 'available'))
if left < 1 then return -1 end
redis.call('HSET', KEYS[1], 'available', left - 1)
redis.call('HSET', KEYS[2], ARGV[1], ARGV[2])
return 1
"""

INSERT = "INSERT INTO peer_holds SELECT h, 'buyer', now() + interval '5 min' FROM unnest($1::text[]) h"
INSERT_HOLDS = """
INSERT INTO peer_rows (hold_id, show_id, variant_id, buyer_id, buyer_name, quantity, unit_amount, currency,
        created_at_ms, held_until_ms, expires_at_ms)
    SELECT h, 'bench', 'pot', 'acct_' || h, 'B', 1, 4900, 'EUR', 1790000000000, 1790000300000, 1790000300000
    FROM unnest($1::text[]) h
"""

One = Callable[[int], Awaitable[None]]


class Silent:
    """A listener that shows stock to nobody."""

    def stock_changed(self, show_id: ShowId, variant_id: VariantId, stock: object, version: int) -> None:
        pass

    def stock_low(self, show_id: ShowId, variant_id: VariantId, since_ms: int | None, version: int) -> None:
        pass


async def prepare(database_url: str) -> None:
    await migrate(database_url)
    connection = await asyncpg.connect(database_url)
    await connection.execute(f"""
        INSERT INTO shows VALUES ('{SHOW}', 'Bench', '', 'live', 0, 'EUR');
        INSERT INTO products VALUES ('p', 'Pot');
        INSERT INTO variants (variant_id, product_id, price_amount, currency) VALUES ('{POT}', 'p', 4900, 'EUR');
        INSERT INTO show_items VALUES ('{SHOW}', '{POT}', 0, 4900, 'EUR', 1000);
        CREATE TABLE peer_holds (hold_id text PRIMARY KEY, buyer text NOT NULL, expires_at timestamptz NOT NULL);
        CREATE TABLE peer_rows (LIKE holds INCLUDING ALL);
        CREATE TABLE peer_stock (sku int PRIMARY KEY, stocked int NOT NULL, taken int NOT NULL) WITH (fillfactor = 20);
        INSERT INTO peer_stock VALUES (1, {STOCK}, 0);
    """)
    await connection.close()


async def measure(one: One, buyers: int, seconds: float, numbers: "count[int]") -> tuple[float, float]:
    """Reserves a second, and CPU microseconds of this process for each."""
    done = 0
    end = time.perf_counter() + seconds

    async def buyer() -> None:
        nonlocal done
        while time.perf_counter() < end:
            await one(next(numbers))
            done += 1

    cpu, wall = time.process_time(), time.perf_counter()
    await asyncio.gather(*(buyer() for _ in range(buyers)))
    return done / (time.perf_counter() - wall), (time.process_time() - cpu) / done * 1e6


class Inserter:
    """Limits (a) and (a'): what one connection can make durable when nothing has to be decided."""

    def __init__(self, connection: asyncpg.Connection, statement: str, name: Callable[[int], str]) -> None:
        self._connection, self._statement, self._name = connection, statement, name
        self._waiting: list[tuple[str, asyncio.Future[None]]] = []
        self._busy: asyncio.Task[None] | None = None

    async def one(self, number: int) -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((self._name(number), future))
        if self._busy is None:
            self._busy = asyncio.create_task(self._send())
        await future

    async def _send(self) -> None:
        await asyncio.sleep(0)
        while self._waiting:
            batch, self._waiting = self._waiting[:500], self._waiting[500:]
            await self._connection.execute(self._statement, [hold_id for hold_id, _ in batch])
            for _, future in batch:
                future.set_result(None)
        self._busy = None


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=0.8)
    parser.add_argument("--redis-benchmark", default="", help="its path; without it that line is left out")
    options = parser.parse_args()
    async with AsyncExitStack() as stack:
        directory = stack.enter_context(tempfile.TemporaryDirectory())
        stores = await stack.enter_async_context(EmbeddedStores(directory))
        await prepare(stores.database_url)
        pool = await stack.enter_async_context(asyncpg.create_pool(stores.database_url, min_size=4, max_size=8))
        many = await stack.enter_async_context(asyncpg.create_pool(stores.database_url, min_size=32, max_size=32))
        client = await stack.enter_async_context(redis.asyncio.from_url(stores.redis_url))
        lines = redis.asyncio.BlockingConnectionPool.from_url(stores.redis_url, max_connections=64, timeout=30)
        peer = await stack.enter_async_context(redis.asyncio.Redis.from_pool(lines))
        desk = await stack.enter_async_context(Desk(pool, client, NobodyPays(), Silent()))  # type: ignore[arg-type]
        await desk.allocate(SHOW, POT, STOCK)
        await desk.set_sales(SHOW, open=True)
        await client.hset("peer", "available", STOCK)
        inserter = Inserter(await asyncpg.connect(stores.database_url), INSERT, lambda number: f"i{number}")
        # A hold's id is a hash: it goes anywhere into its index, which costs more than one at the end of it.
        holds = Inserter(
            await asyncpg.connect(stores.database_url), INSERT_HOLDS, lambda _: f"hold_{urandom(13).hex()}"
        )
        script = peer.register_script(LUA)
        request = HoldRequest(variant_id=POT, unit_price_amount=4900)

        async def by_desk(number: int) -> None:
            who = Principal(account_id=AccountId(f"b{number % 400_000}"), role=Role.VIEWER, name="B")
            await desk.hold(who, SHOW, request, f"k{number}")

        async def by_update(number: int) -> None:
            async with many.acquire() as connection, connection.transaction():
                status = await connection.execute(
                    "UPDATE peer_stock SET taken = taken + 1 WHERE sku = 1 AND stocked - taken >= 1"
                )
                assert status == "UPDATE 1"
                await connection.execute(
                    "INSERT INTO peer_holds VALUES ($1, 'buyer', now() + interval '5 min')", f"u{number}"
                )

        async def by_lua(number: int) -> None:
            assert await script(keys=["peer", "peer:holds"], args=[f"l{number}", "buyer"]) == 1

        ways: dict[str, One] = {
            "desk": by_desk, "insert 500": inserter.one, "holds 500": holds.one, "update": by_update, "lua": by_lua,
        }  # fmt: skip
        numbers = count()
        for one in ways.values():
            await measure(one, 20, 0.2, numbers)  # warm
        gc.collect()
        gc.freeze()  # as `showfloor serve` does once it is up
        for buyers in (50, 500):
            results: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
            for _ in range(options.repeats):
                for name, one in ways.items():
                    results[name].append(await measure(one, buyers, options.seconds, numbers))
            report(buyers, results)
        counts = desk.counts
        print(
            f"desk: {counts.holds} holds in {counts.truth_transactions} transactions "
            f"({counts.holds / counts.truth_transactions:.0f} each), straight to truth {counts.straight_to_truth}"
        )
        await rush(desk, options.repeats)
        if options.redis_benchmark:
            print(await single_scripts(options.redis_benchmark, stores.redis_url, await client.script_load(LUA)))


async def rush(desk: Desk, repeats: int) -> None:
    """100,000 taps on 1,000 units: each is answered, exactly 1,000 are held, and where each was decided."""
    print(f"\n{RUSH:,} buyers, one tap each, {RUSH_UNITS:,} units, {AT_ONCE} at a time")
    print(f"{'held':>8}{'answered':>10}{'here':>9}{'Redis':>9}{'Postgres':>10}{'taps/s':>10}{'CPU us each':>13}")
    for number in range(repeats):
        variant = VariantId(f"drop{number}")
        async with desk._truth.connection() as connection:
            await connection.execute(
                "INSERT INTO variants (variant_id, product_id, price_amount, currency) VALUES ($1, 'p', 4900, 'EUR')",
                variant,
            )
            await connection.execute("INSERT INTO show_items VALUES ($1, $2, 0, 4900, 'EUR', 1)", SHOW, variant)
        await desk.allocate(SHOW, variant, RUSH_UNITS)
        await desk.set_sales(SHOW, open=True)
        said, before = [0, 0], asdict(desk.counts)
        numbers, request = iter(range(RUSH)), HoldRequest(variant_id=variant, unit_price_amount=4900)

        async def buyer(
            numbers: Iterator[int] = numbers, said: list[int] = said, request: HoldRequest = request
        ) -> None:
            for one in numbers:
                who = Principal(account_id=AccountId(f"r{one}"), role=Role.VIEWER, name="B")
                try:
                    await desk.hold(who, SHOW, request, request.variant_id)  # a key a rush
                    said[0] += 1
                except SoldOutError:
                    said[1] += 1

        cpu, wall = time.process_time(), time.perf_counter()
        await asyncio.gather(*(buyer() for _ in range(AT_ONCE)))
        seconds, cpu = time.perf_counter() - wall, time.process_time() - cpu
        grew = {name: count - before[name] for name, count in asdict(desk.counts).items()}
        assert (said[0], sum(said)) == (RUSH_UNITS, RUSH)
        where = [f"{grew[name] / RUSH:.2%}" for name in ("refused_here", "gate_refused", "truth_decided")]
        print(
            f"{said[0]:>8,}{sum(said):>10,}{where[0]:>9}{where[1]:>9}{where[2]:>10}{RUSH / seconds:>10,.0f}"
            f"{cpu / RUSH * 1e6:>13.1f}"
        )


async def single_scripts(program: str, redis_url: str, sha: str) -> str:
    """What the server itself does in single reserves: redis-benchmark, 50 connections, one EVALSHA a tap."""
    path = redis_url.removeprefix("unix://").partition("?")[0]
    script = ["EVALSHA", sha, "2", "peer", "peer:holds", "b__rand_int__", "buyer"]
    command = [program, "-s", path, "-n", "100000", "-c", "50", "-r", "100000000", "--csv", *script]
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    out, _ = await process.communicate()
    return f"redis-benchmark, single reserves, 50 connections: {out.decode().splitlines()[-1].split(',')[1]} a second"


def report(buyers: int, results: dict[str, list[tuple[float, float]]]) -> None:
    print(f"\n{buyers} buyers at once, one product, {len(next(iter(results.values())))} repeats, taking turns")
    print(f"{'way':<12}{'reserves/s':>12}{'range':>20}{'desk is':>10}{'CPU us each':>13}")
    desk = [rate for rate, _ in results["desk"]]
    for name, runs in results.items():
        rates = [rate for rate, _ in runs]
        # Of each repeat's own pair: what the machine did meanwhile hit both.
        ratio = statistics.median(mine / theirs for mine, theirs in zip(desk, rates, strict=True))
        cpu = statistics.median(each for _, each in runs)
        spread = f"{min(rates):,.0f} - {max(rates):,.0f}"
        print(f"{name:<12}{statistics.median(rates):>12,.0f}{spread:>20}{ratio:>9.2f}x{cpu:>13.0f}")


if __name__ == "__main__":
    uvloop.run(main())
