"""How long after its end a hold's units are back, when thousands end together; and who gets them.

A desk on the embedded stores, as `showfloor serve` runs it. Everything of one product is held, by so many buyers; then
nobody does anything. Two clocks: PostgreSQL's own, as each hold is ended, and this process's, when the desk tells its
listener, which is after the commit. Then the same with a line of buyers who wait: the lag of their offers, in order.

It fails if a unit does not come back, or comes back twice, in PostgreSQL or at the gate.

    python benchmarks/expiry.py [--repeats 5] [--holds 10000] [--waiting 1000]
"""

import argparse
import asyncio
import statistics
import tempfile
import time
from contextlib import AsyncExitStack

import asyncpg
import redis.asyncio
import structlog
import uvloop
from nobody import NobodyPays

from checkout.desk import Desk
from checkout.gate import Product
from live.migrations import migrate
from live.stores import EmbeddedStores
from schema.hold import HoldRequest
from schema.ids import AccountId, ShowId, VariantId
from schema.people import Principal, Role
from schema.show import Stock

SHOW = ShowId("bench")
HOLD_MS = 4_000
AT_ONCE = 500
END_S = 60.0

PREPARE = f"""
INSERT INTO shows VALUES ('{SHOW}', 'Bench', '', 'live', 0, 'EUR');
INSERT INTO products VALUES ('p', 'Pot');
CREATE TABLE ended (hold_id text NOT NULL, variant_id text NOT NULL, at_ms bigint NOT NULL, due_ms bigint NOT NULL);
CREATE FUNCTION note_end() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO ended VALUES (NEW.hold_id, NEW.variant_id, clock_ms(), NEW.expires_at_ms);
    RETURN NULL;
END $$;
CREATE TRIGGER noted AFTER UPDATE ON holds FOR EACH ROW
    WHEN (OLD.state = 'held' AND NEW.state = 'expired') EXECUTE FUNCTION note_end();
"""


class Listener:
    """What the pages would be told, and when."""

    def __init__(self) -> None:
        self.told: dict[str, list[tuple[float, int]]] = {}

    def stock_changed(self, _show: ShowId, variant_id: VariantId, stock: Stock, _version: int) -> None:
        self.told.setdefault(variant_id, []).append((time.time() * 1000, stock.available))

    def stock_low(self, *_: object) -> None:
        pass


def viewer(name: str) -> Principal:
    return Principal(account_id=AccountId(name), role=Role.VIEWER, name="B")


async def hold_everything(desk: Desk, pg: asyncpg.Connection, variant: str, holds: int) -> None:
    """Put so many units on sale and let so many buyers take one each."""
    name = VariantId(variant)
    await pg.execute(
        "INSERT INTO variants (variant_id, product_id, price_amount, currency) VALUES ($1, 'p', 4900, 'EUR')", variant
    )
    await pg.execute("INSERT INTO show_items VALUES ($1, $2, 0, 4900, 'EUR', 1)", SHOW, variant)
    await desk.allocate(SHOW, name, holds)
    await desk.set_sales(SHOW, open=True)
    numbers, request = iter(range(holds)), HoldRequest(variant_id=name)

    async def buyer() -> None:
        for number in numbers:
            await desk.hold(viewer(f"{variant}-{number}"), SHOW, request, "tap")

    await asyncio.gather(*(buyer() for _ in range(AT_ONCE)))


async def is_over(pg: asyncpg.Connection, variant: str, holds: int) -> None:
    async with asyncio.timeout(END_S):
        while await pg.fetchval("SELECT count(*) FROM ended WHERE variant_id = $1", variant) < holds:
            await asyncio.sleep(0.2)


def percentiles(lags: list[float]) -> tuple[float, float, float]:
    """Median, 99th percentile and the longest, in ms."""
    return statistics.median(lags), statistics.quantiles(lags, n=100)[98], max(lags)


def told_lags(due_ms: list[int], told: list[tuple[float, int]]) -> list[float]:
    """For each unit, when the listener first heard that so many are free, less when the so-many-th hold ended."""
    lags: list[float] = []
    for at_ms, available in told:
        lags += [at_ms - due for due in due_ms[len(lags) : available]]
    return lags


async def lapse(desk: Desk, pg: asyncpg.Connection, listener: Listener, variant: str, holds: int) -> list[float]:
    await hold_everything(desk, pg, variant, holds)
    listener.told[variant] = []  # what is told from now on is their end
    await is_over(pg, variant, holds)
    rows = await pg.fetch("SELECT hold_id, at_ms, due_ms FROM ended WHERE variant_id = $1 ORDER BY due_ms", variant)
    assert len(rows) == len({row["hold_id"] for row in rows}) == holds, "each hold ends once"
    stock = await desk.stock_of(SHOW, VariantId(variant))
    assert (stock.available, stock.held) == (holds, 0), stock
    async with asyncio.timeout(END_S):
        while (await desk._gate.look(Product(SHOW, variant))).available != holds:
            await asyncio.sleep(0.02)
    told = told_lags([row["due_ms"] for row in rows], listener.told[variant])
    assert len(told) == holds, "the listener was told of each unit"
    return [*percentiles([row["at_ms"] - row["due_ms"] for row in rows]), *percentiles(told)]


async def offer(desk: Desk, pg: asyncpg.Connection, variant: str, holds: int, waiting: int) -> list[float]:
    await hold_everything(desk, pg, variant, holds)
    for number in range(waiting):
        await desk.waitlist.join(viewer(f"w{number:05d}"), SHOW, HoldRequest(variant_id=VariantId(variant)))
    await is_over(pg, variant, holds)
    offers = "SELECT buyer_id, created_at_ms FROM holds WHERE variant_id = $1 AND buyer_id LIKE 'w%' ORDER BY buyer_id"
    async with asyncio.timeout(END_S):
        while len(rows := await pg.fetch(offers, variant)) < waiting:
            await asyncio.sleep(0.2)
    made_ms = [row["created_at_ms"] for row in rows]  # by their places: one joined after the other
    assert made_ms == sorted(made_ms), "the line was served in its order"
    stock = await desk.stock_of(SHOW, VariantId(variant))
    assert (stock.available, stock.held) == (holds - waiting, waiting), stock
    due = await pg.fetch("SELECT due_ms FROM ended WHERE variant_id = $1 ORDER BY due_ms LIMIT $2", variant, waiting)
    return [*percentiles([made - one["due_ms"] for made, one in zip(made_ms, due, strict=True)])]


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--holds", type=int, default=10_000)
    parser.add_argument("--waiting", type=int, default=1_000)
    options = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    listener = Listener()
    async with AsyncExitStack() as stack:
        stores = await stack.enter_async_context(EmbeddedStores(stack.enter_context(tempfile.TemporaryDirectory())))
        await migrate(stores.database_url)
        pool = await stack.enter_async_context(asyncpg.create_pool(stores.database_url, min_size=4, max_size=8))
        client = await stack.enter_async_context(redis.asyncio.from_url(stores.redis_url))
        pg = await asyncpg.connect(stores.database_url)
        stack.push_async_callback(pg.close)
        await pg.execute(PREPARE)
        desk = await stack.enter_async_context(Desk(pool, client, NobodyPays(), listener, hold_ms=HOLD_MS))  # type: ignore[arg-type]
        lapses, offers = [], []
        for number in range(options.repeats):
            lapses.append(await lapse(desk, pg, listener, f"lapse{number}", options.holds))
            offers.append(await offer(desk, pg, f"offer{number}", options.holds, options.waiting))
    report(options, lapses, offers)


def report(options: argparse.Namespace, lapses: list[list[float]], offers: list[list[float]]) -> None:
    print(f"\n{options.holds:,} holds end together, {options.repeats} repeats; ms after each one's end: median (range)")
    print(f"{'':<34}{'p50':>20}{'p99':>20}{'longest':>20}")
    line("ended, by PostgreSQL's clock", [run[:3] for run in lapses])
    line("told, after the commit", [run[3:] for run in lapses])
    line(f"offered to the first {options.waiting:,} waiting", offers)
    print("each unit came back once, in PostgreSQL and at the gate; the line was served in order")


def line(name: str, runs: list[list[float]]) -> None:
    cells = [
        f"{statistics.median(each):,.0f} ({min(each):,.0f} - {max(each):,.0f})" for each in zip(*runs, strict=True)
    ]
    print(f"{name:<34}" + "".join(f"{cell:>20}" for cell in cells))


if __name__ == "__main__":
    uvloop.run(main())
