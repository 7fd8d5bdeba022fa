"""One product in a rush, and with one of its stores failing or disarmed."""

import asyncio
from collections import Counter
from dataclasses import dataclass, field

import asyncpg
import pytest

from checkout.core.idempotency import derived_id
from checkout.core.taps import Code, Tap
from checkout.counts import Counts
from checkout.desk import Pace
from checkout.gate import SCRIPTS, Gate, Product
from checkout.shelf import Shelf
from checkout.truth import Truth
from schema.errors import Unavailable
from schema.ids import VariantId
from schema.order import Hold, HoldRequest, Order
from schema.show import Stock

POT = VariantId("pot")


class TestRush:
    async def test_1000_buyers_at_once_on_100_units_hold_exactly_100(self, shop):
        desk = await shop.open(pace=shop.idle)
        await shop.item(stock=100)
        said = await shop.rush(buyers=1000, taps=1000)
        assert said == {"ok": 100, "sold_out": 900}
        assert await shop.stock() == Stock(on_hand=100, held=100, sold=0, available=0)
        assert await shop.pg.fetchval("SELECT count(*) FROM holds") == 100
        assert desk.counts.straight_to_truth == 0
        assert desk.counts.gate_refused == 900
        assert (await shop.verify()).problems == []

    async def test_a_refused_tap_opens_no_transaction(self, shop):
        acquired = 0

        class Counting:
            def acquire(self, **options):
                nonlocal acquired
                acquired += 1
                return shop.pg.acquire(**options)

        desk = await shop.open(pace=shop.idle, pool=Counting())
        await shop.item(stock=1)
        await shop.tap("ann")

        async def drawn() -> bool:
            return await shop.redis.hlen(f"sf:{{{shop.show_id}}}:gate:pot:pending") == 0

        await shop.eventually(drawn)
        before, decided = acquired, desk.counts.truth_transactions
        assert await shop.rush(buyers=50, taps=200) == {"sold_out": 200}
        assert (acquired, desk.counts.truth_transactions) == (before, decided)
        await desk.restock(shop.show_id, POT, 1)
        await shop.tap("bob")
        assert acquired > before  # the counter counts

    async def test_nobody_gets_over_the_limit_however_many_taps_at_once(self, shop, desk):
        await shop.item(stock=100, limit=2)
        assert await shop.rush(buyers=10, taps=200) == {"ok": 20, "limit_reached": 180}
        assert await shop.pg.fetchval("SELECT max(units) FROM buyers") == 2
        assert (await shop.verify()).problems == []

    async def test_taps_of_several_units_sell_what_fits(self, shop, desk):
        await shop.item(stock=5, limit=3)
        said = await asyncio.gather(*(shop.outcome(shop.tap(f"b{i}", quantity=3 if i % 2 else 1)) for i in range(10)))
        assert (await shop.stock()).available >= 0
        assert said[0] == "ok"
        assert (await shop.stock()).held == 5
        assert (await shop.verify()).problems == []

    async def test_two_desks_on_the_same_stores_sell_each_unit_once(self, shop):
        one = await shop.open(pace=shop.idle)
        await shop.item(stock=50)
        two = await shop.open(pace=shop.idle)

        def tap(desk, i):
            request = HoldRequest(variant_id=POT, quantity=1)
            return desk.hold(shop.viewer(f"b{i}"), shop.show_id, request, f"k{i}")

        said = Counter(await asyncio.gather(*(shop.outcome(tap((one, two)[i % 2], i)) for i in range(300))))
        assert said == {"ok": 50, "sold_out": 250}
        assert one.counts.straight_to_truth + two.counts.straight_to_truth == 0

    async def test_a_desk_that_comes_to_a_rush_cold_builds_its_shelf_once(self, shop):
        late = await shop.open(pace=shop.idle)
        opening = await shop.open(pace=shop.idle)
        await shop.item(stock=10)
        await opening.abandon()
        shop.desk = late
        assert await shop.rush(buyers=200, taps=200) == {"ok": 10, "sold_out": 190}
        assert late.counts.truth_transactions < 20


class TestEachDefenceAlone:
    """100 units, 400 taps: either store alone holds exactly 100; with both disarmed it oversells."""

    CONDITIONS = (
        ("reserve_many", "wanted <= product.free", "true"),
        ("reserve_one_by_one", "tap.quantity > free", "false"),
    )
    SCRIPT_CHECK = "n > available"

    async def disarm_conditions(self, pg: asyncpg.Pool) -> None:
        for function, condition, always in self.CONDITIONS:
            source = await pg.fetchval("SELECT pg_get_functiondef($1::regproc)", function)
            assert source.count(condition) == 1
            await pg.execute(source.replace(condition, always))

    async def disarm_postgres(self, pg: asyncpg.Pool) -> None:
        await self.disarm_conditions(pg)
        await pg.execute("ALTER TABLE stock DROP CONSTRAINT never_oversold")

    def disarmed_scripts(self) -> dict[str, str]:
        text = SCRIPTS["reserve_many"]
        assert text.count(self.SCRIPT_CHECK) == 1
        return {**SCRIPTS, "reserve_many": text.replace(self.SCRIPT_CHECK, "false")}

    async def test_the_script_alone_holds_exactly_100(self, shop):
        await shop.open(pace=shop.idle)
        await self.disarm_postgres(shop.pg)
        await shop.item(stock=100)
        assert await shop.rush(buyers=400, taps=400) == {"ok": 100, "sold_out": 300}
        assert (await shop.stock()).held == 100

    async def test_postgres_alone_holds_exactly_100(self, shop):
        await shop.open(pace=shop.idle, scripts=self.disarmed_scripts())
        await shop.item(stock=100)
        assert await shop.rush(buyers=400, taps=400) == {"ok": 100, "sold_out": 300}
        assert (await shop.stock()).held == 100

    async def test_the_check_is_the_last_line_when_its_condition_is_gone_too(self, shop):
        await shop.open(pace=shop.idle, scripts=self.disarmed_scripts())
        await self.disarm_conditions(shop.pg)
        await shop.item(stock=100)
        assert await shop.rush(buyers=400, taps=400) == {"ok": 100, "sold_out": 300}
        assert (await shop.stock()).held == 100

    async def test_with_both_removed_it_oversells_and_verify_says_so(self, shop):
        await shop.open(pace=shop.idle, scripts=self.disarmed_scripts())
        await self.disarm_postgres(shop.pg)
        await shop.item(stock=100)
        assert (await shop.rush(buyers=400, taps=400))["ok"] > 100
        report = await shop.verify()
        assert not report.ok
        assert "oversold" in " ".join(report.problems)


class TestStoresFailing:
    async def test_redis_down_does_not_stop_the_sale(self, shop):
        desk = await shop.open(redis=shop.dead_redis())
        await shop.item(stock=20)
        said = await shop.rush(buyers=60, taps=60)
        assert said == {"ok": 20, "sold_out": 40}
        assert desk.counts.straight_to_truth == 60
        order = await shop.pay_for("b0", await hold_of_someone(shop, "b0"))
        assert isinstance(order, Order)
        assert (await shop.verify()).problems == []

    async def test_redis_cut_in_the_middle_of_a_rush_and_back_again(self, shop, redis_wire, wired_redis):
        desk = await shop.open(redis=wired_redis, pace=Pace(reconcile_s=0.05))
        await shop.item(stock=60)
        assert await shop.rush(buyers=20, taps=20) == {"ok": 20}
        redis_wire.cut()
        assert await shop.rush(buyers=40, taps=20) == {"ok": 20}
        assert desk.counts.straight_to_truth == 20
        redis_wire.mend()

        async def rebuilt() -> bool:
            return await shop.gate_available() == 20

        await shop.eventually(rebuilt)
        before = desk.counts.straight_to_truth

        async def trusted_again() -> bool:
            await shop.outcome(shop.tap("late", quantity=2, key="one and the same"))
            nonlocal before
            grew, before = desk.counts.straight_to_truth > before, desk.counts.straight_to_truth
            return not grew

        await shop.eventually(trusted_again)
        said = await shop.rush(buyers=100, taps=100)
        assert said["ok"] == 18
        assert desk.counts.straight_to_truth == before
        assert (await shop.verify()).problems == []

    async def test_an_answer_of_redis_that_was_lost_is_asked_again_under_the_same_ids(
        self, shop, redis_wire, wired_redis
    ):
        await shop.open(redis=wired_redis, pace=shop.idle)
        await shop.item(stock=5)
        redis_wire.lose_next_answer()
        await shop.tap("ann")
        assert redis_wire.lost == 1
        assert (await shop.stock()).held == 1

        async def settled() -> bool:
            return await shop.gate_available() == 4

        await shop.eventually(settled)
        assert (await shop.verify()).problems == []

    async def test_a_flushed_gate_is_rebuilt_and_nothing_is_oversold(self, shop, desk):
        await shop.item(stock=30)
        await shop.rush(buyers=20, taps=20)
        await shop.redis.flushdb()
        said = await shop.rush(buyers=100, taps=100)
        assert said["ok"] == 10

        async def rebuilt() -> bool:
            return await shop.redis.hget(f"sf:{{{shop.show_id}}}:gate:pot", "available") == b"0"

        await shop.eventually(rebuilt)
        assert (await shop.stock()).held == 30
        refused = desk.counts.gate_refused

        async def trusted_again() -> bool:
            await shop.outcome(shop.tap("late"))
            return desk.counts.gate_refused > refused

        await shop.eventually(trusted_again)
        assert (await shop.verify()).problems == []

    async def test_a_gate_with_an_old_epoch_decides_nothing(self, shop, desk):
        await shop.item(stock=5)
        await shop.redis.hset(f"sf:{{{shop.show_id}}}:gate:pot", mapping={"epoch": 0, "available": 1000})
        assert (await shop.rush(buyers=20, taps=20))["ok"] == 5
        assert (await shop.verify()).problems == []

    async def test_a_gate_that_lost_a_message_is_found_and_rebuilt(self, shop):
        desk = await shop.open(pace=Pace(reconcile_s=0.05))
        await shop.item(stock=10)
        await shop.tap("ann")
        before = desk.counts.rebuilds
        await shop.redis.hincrby(f"sf:{{{shop.show_id}}}:gate:pot", "available", -4)

        async def mended() -> bool:
            return await shop.gate_available() == 9

        await shop.eventually(mended)

        async def counted() -> bool:
            return desk.counts.rebuilds > before

        await shop.eventually(counted)
        assert desk.counts.drift_units == 4

    async def test_postgres_down_is_unavailable_and_never_yours(self, shop, pg_wire):
        desk = await shop.open(pool=pg_wire.pool, pace=shop.idle)
        await shop.item(stock=10)
        pg_wire.cut()
        assert set(await asyncio.gather(*(shop.outcome(shop.tap(f"b{i}")) for i in range(5)))) == {"unavailable"}
        assert await shop.pg.fetchval("SELECT count(*) FROM holds") == 0
        with pytest.raises(Unavailable) as refused:
            await shop.tap("ann")
        assert refused.value.retry_after_ms
        pg_wire.mend()

        async def answers() -> bool:
            return await shop.outcome(shop.tap("bob", key="again")) == "ok"

        await shop.eventually(answers)
        assert desk.counts.holds == 1
        assert (await shop.verify()).problems == []

    async def test_units_admitted_while_postgres_was_down_come_back_once_it_answers(self, shop, pg_wire):
        desk = await shop.open(pool=pg_wire.pool, pace=Pace(reconcile_s=0.05, orphan_ms=50))
        await shop.item(stock=10)
        pg_wire.cut()
        assert await shop.outcome(shop.tap("ann", key="k")) == "unavailable"
        assert await shop.gate_available() == 9  # not before Postgres has said that it is nobody's
        pg_wire.mend()

        async def back() -> bool:
            return await shop.gate_available() == 10

        await shop.eventually(back)
        assert desk.counts.orphans == 1
        assert await shop.pg.fetchval("SELECT count(*) FROM fences") == 1

        async def answers() -> bool:
            return await shop.outcome(shop.tap("ann", key="k")) == "ok"

        await shop.eventually(answers)
        assert (await shop.stock()).held == 1
        assert (await shop.verify()).problems == []

    async def test_a_commit_whose_answer_was_lost_is_found_by_its_hold_id(self, shop, pg_wire):
        await shop.open(pool=pg_wire.pool, pace=shop.idle)
        await shop.item(stock=10)
        pg_wire.lose_next_answer()
        hold = await shop.tap("ann")
        assert pg_wire.lost == 1
        assert await shop.pg.fetchval("SELECT array_agg(hold_id) FROM holds") == [hold.hold_id]
        assert await shop.gate_available() == 9
        assert (await shop.verify()).problems == []

    async def test_a_unit_admitted_and_never_committed_is_fenced_and_given_back(self, shop):
        dying = await shop.open(pace=shop.idle)
        await shop.item(stock=1)
        gate = Gate(shop.redis, clock=lambda: 1)  # long ago
        product = Product(shop.show_id, "pot")
        epoch = int(await shop.redis.hget("sf:{gala}:gate:pot", "epoch"))
        orphan = Tap(hold_id="hold_orphan", buyer_id="ann", buyer_name="Ann", quantity=1)
        assert await gate.reserve_many(product, epoch, [orphan]) == [Code.HELD]
        await dying.abandon()
        assert await shop.gate_available() == 0
        desk = await shop.open(pace=Pace(reconcile_s=0.05))

        async def back() -> bool:
            return await shop.gate_available() == 1

        await shop.eventually(back)
        assert desk.counts.orphans == 1
        made = await shop.pg.fetchrow(
            "SELECT * FROM reserve_many('gala', 'pot', '{hold_orphan}', '{ann}', '{Ann}', '{1}', 1000)"
        )
        assert made["codes"] == [Code.FENCED]  # whoever still meant to commit it is told no
        await shop.tap("bob")

    async def test_a_retry_of_a_fenced_tap_gets_a_unit_under_the_next_id(self, shop, desk):
        await shop.item(stock=1)
        first = derived_id("hold", "ann", shop.show_id, "k", 0)
        await shop.pg.execute("SELECT * FROM fence_many('gala', 'pot', $1)", [first])
        hold = await shop.tap("ann", key="k")
        assert hold.hold_id == derived_id("hold", "ann", shop.show_id, "k", 1)
        assert await shop.tap("ann", key="k") == hold
        assert (await shop.stock()).held == 1


async def test_stock_that_arrives_out_of_order_is_told_newest_last(shop, desk):
    await shop.item(stock=1)
    older = await shop.pg.fetchrow("SELECT * FROM stock")
    await desk.restock(shop.show_id, POT, 4)
    newer = await shop.pg.fetchrow("SELECT * FROM stock")
    told = Listener()
    shelf = Shelf(
        Product(shop.show_id, POT),
        gate=Gate(shop.redis, clock=lambda: 1),
        truth=Truth(shop.pg, Counts()),
        listener=told,
        counts=Counts(),
        spawn=asyncio.create_task,
        hold_ms=1000,
        offer_ms=1000,
    )
    for row in (older, newer, older, newer):
        shelf.tell(row)
    assert [stock.available for _, _, stock, _ in told.seen] == [1, 5]


@dataclass
class Listener:
    seen: list[tuple[str, str, Stock, int]] = field(default_factory=list)

    def stock_changed(self, *what) -> None:
        self.seen.append(what)

    def stock_low(self, *what) -> None:
        pass


async def hold_of_someone(shop, who: str) -> Hold:
    page = await shop.desk.holds(shop.show_id, limit=200)
    return next(hold for hold in page.items if hold.buyer_id == who)
