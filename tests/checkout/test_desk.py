"""The desk on real Redis and Postgres, with the fake payment network behind it."""

import asyncio
import os
import sys
from pathlib import Path

import pytest

from checkout.core.idempotency import fingerprint
from checkout.desk import Pace
from schema.errors import (
    Conflict,
    HoldLapsed,
    IdempotencyInFlight,
    IdempotencyKeyMissing,
    IdempotencyMismatch,
    Invalid,
    NotFound,
    PaymentDeclined,
    SalesClosed,
)
from schema.hold import HoldRequest
from schema.ids import AccountId, HoldId, ShowId, VariantId
from schema.order import Order
from schema.payment import PayRequest
from schema.people import Principal, Role
from schema.show import Stock

POT = VariantId("pot")
RUSH = Path(__file__).with_name("rush_until_killed.py")


class TestBuying:
    async def test_a_tap_becomes_a_hold_an_order_and_money(self, shop, desk):
        await shop.item(stock=5, price=4900)
        hold = await shop.tap("ann", quantity=2)
        assert (hold.state, hold.total.amount, hold.unit_price.amount) == ("held", 9800, 4900)
        assert await shop.stock() == Stock(on_hand=5, held=2, sold=0, available=3)
        order = await shop.pay_for("ann", hold)
        assert isinstance(order, Order)
        assert (order.hold_id, order.quantity, order.total.amount, order.buyer_name) == (hold.hold_id, 2, 9800, "Ann")
        assert await shop.stock() == Stock(on_hand=3, held=0, sold=2, available=3)
        await shop.captured(order)
        assert (await desk.get_order(shop.viewer("ann"), order.order_id)).state == "captured"
        assert shop.pay.count("captured", hold.hold_id) == 9800
        assert await shop.gate_available() == 3
        assert (await shop.verify()).problems == []

    async def test_the_listener_hears_of_every_change_newest_last(self, shop, desk):
        await shop.item(stock=3)
        hold = await shop.tap("ann")
        await desk.release(shop.viewer("ann"), hold.hold_id)
        await desk.restock(shop.show_id, POT, 2)
        assert [stock.available for _, _, stock in shop.listener.seen if stock.on_hand] == [3, 3, 2, 3, 5]

    async def test_the_hold_lasts_as_long_as_promised_and_keeps_its_price(self, shop):
        await shop.open(hold_ms=60_000)
        await shop.item(stock=1, price=4900)
        hold = await shop.tap("ann")
        assert hold.expires_at_ms - hold.created_at_ms == 60_000
        await shop.pg.execute("UPDATE show_items SET price_amount = 9900")
        assert (await shop.pay_for("ann", hold)).total.amount == 4900

    async def test_what_is_not_on_sale_is_not_found(self, shop, desk):
        await shop.item(stock=1)
        with pytest.raises(NotFound):
            await shop.tap("ann", variant="nothing")
        with pytest.raises(NotFound):
            await desk.restock(shop.show_id, VariantId("nothing"), 1)
        with pytest.raises(NotFound):
            await desk.stock_of(ShowId("nowhere"), POT)
        with pytest.raises(NotFound):
            await desk.allocate(shop.show_id, VariantId("nothing"), 1)
        with pytest.raises(Conflict):
            await desk.allocate(shop.show_id, POT, 1)
        assert await shop.stock() == Stock(on_hand=1, held=0, sold=0, available=1)

    async def test_nobody_sees_or_moves_what_is_anothers(self, shop, desk):
        await shop.item(stock=3)
        hold, order = await shop.tap("ann"), await shop.buy("ann")
        bob, elsewhere = (
            shop.viewer("bob"),
            Principal(account_id=AccountId("op2"), role=Role.OPERATOR, name="Op", show_id=ShowId("elsewhere")),
        )
        for stranger in (bob, elsewhere):
            with pytest.raises(NotFound):
                await desk.get_hold(stranger, hold.hold_id)
            with pytest.raises(NotFound):
                await desk.release(stranger, hold.hold_id)
            with pytest.raises(NotFound):
                await desk.pay(stranger, hold.hold_id, PayRequest(payment_method="fake_ok"), "k")
            with pytest.raises(NotFound):
                await desk.get_order(stranger, order.order_id)
        with pytest.raises(NotFound):
            await desk.refund(elsewhere, order.order_id)
        with pytest.raises(NotFound):
            await desk.pay(shop.operator, hold.hold_id, PayRequest(payment_method="fake_ok"), "k")
        with pytest.raises(NotFound):
            await desk.get_hold(bob, HoldId("hold_x"))
        assert (await desk.get_hold(shop.operator, hold.hold_id)).state == "held"
        assert (await desk.get_order(shop.operator, order.order_id)).order_id == order.order_id

    async def test_closed_sales_refuse_taps_and_touch_nothing_promised(self, shop, desk):
        await shop.item(stock=3)
        hold = await shop.tap("ann")
        await desk.set_sales(shop.show_id, open=False)
        with pytest.raises(SalesClosed):
            await shop.tap("bob")
        assert isinstance(await shop.pay_for("ann", hold), Order)
        await desk.set_sales(shop.show_id, open=True)
        await shop.tap("bob")

    async def test_a_show_is_closed_until_it_is_opened_and_so_is_what_joins_it(self, shop, desk):
        await shop.item(stock=1)
        await shop.item("mug", stock=1)
        await shop.tap("ann", variant="mug")
        await desk.set_sales(shop.show_id, open=False)
        await shop.pg.execute("UPDATE stock SET open = false")
        assert await shop.outcome(shop.tap("bob")) == "sales_closed"

    async def test_a_restock_is_sold(self, shop, desk):
        await shop.item(stock=1)
        await shop.tap("ann")
        assert await shop.outcome(shop.tap("bob")) == "sold_out"
        assert await desk.restock(shop.show_id, POT, 10) == Stock(on_hand=11, held=1, sold=0, available=10)
        await shop.tap("bob")
        assert (await shop.verify()).ok

    async def test_pages_of_orders_and_holds_hold_each_row_once(self, shop, desk):
        await shop.item(stock=20)
        orders = [(await shop.buy(f"b{i}")).order_id for i in range(5)]
        holds = [(await shop.tap(f"h{i}")).hold_id for i in range(5)]
        seen, cursor = [], None
        while True:
            page = await desk.books.orders(shop.show_id, cursor, 2)
            seen += [order.order_id for order in page.items]
            if not (cursor := page.next_cursor):
                break
        assert seen == sorted(orders, reverse=True)
        seen, cursor = [], None
        while True:
            page = await desk.books.holds(shop.show_id, cursor=cursor, limit=2)
            seen += [hold.hold_id for hold in page.items]
            if not (cursor := page.next_cursor):
                break
        assert sorted(seen) == sorted(holds)


class TestIdempotency:
    async def test_the_same_key_is_the_same_hold_at_once_and_later(self, shop, desk):
        await shop.item(stock=5, limit=5)
        first, second = await asyncio.gather(shop.tap("ann", key="k"), shop.tap("ann", key="k"))
        assert first == second == await shop.tap("ann", key="k")
        assert (await shop.stock()).held == 1

    async def test_a_key_replays_the_promise_even_when_sold_out_and_sold(self, shop, desk):
        await shop.item(stock=1)
        hold = await shop.tap("ann", key="k")
        assert await shop.tap("ann", key="k") == hold
        await shop.pay_for("ann", hold)
        assert await shop.tap("ann", key="k") == hold
        assert (await shop.stock()).sold == 1

    async def test_a_released_hold_is_replayed_and_not_taken_again(self, shop, desk):
        await shop.item(stock=1)
        hold = await shop.tap("ann", key="k")
        await desk.release(shop.viewer("ann"), hold.hold_id)
        await shop.tap("bob")
        assert await shop.tap("ann", key="k") == hold
        assert await shop.hold_state(hold) == "released"

    async def test_a_refusal_is_remembered_for_its_key_alone(self, shop, desk):
        await shop.item(stock=1)
        await shop.tap("ann")
        assert await shop.outcome(shop.tap("bob", key="k")) == "sold_out"
        await desk.restock(shop.show_id, POT, 1)
        assert await shop.outcome(shop.tap("bob", key="k")) == "sold_out"
        await shop.tap("bob", key="another")

    async def test_a_key_with_another_body_is_a_mismatch(self, shop, desk):
        await shop.item(stock=5)
        await shop.item("mug", stock=5)
        await shop.item("none", stock=0)
        await shop.tap("ann", key="k")
        assert await shop.outcome(shop.tap("ann", key="k", quantity=2)) == "idempotency_mismatch"
        assert await shop.outcome(shop.tap("ann", key="k", variant="mug")) == "idempotency_mismatch"
        assert await shop.outcome(shop.tap("ann", key="k", variant="none")) == "idempotency_mismatch"
        assert (await shop.stock()).held == 1
        assert (await shop.stock("mug")).held == 0

    async def test_a_mismatch_is_found_without_redis_too(self, shop):
        await shop.open(redis=shop.dead_redis())
        await shop.item(stock=5)
        await shop.item("mug", stock=5)
        await shop.tap("ann", key="k")
        assert await shop.outcome(shop.tap("ann", key="k", variant="mug")) == "idempotency_mismatch"
        assert await shop.outcome(shop.tap("ann", key="k", quantity=2)) == "idempotency_mismatch"

    async def test_the_same_key_of_two_buyers_is_two_holds(self, shop, desk):
        await shop.item(stock=5)
        assert (await shop.tap("ann", key="k")).hold_id != (await shop.tap("bob", key="k")).hold_id

    async def test_a_restock_with_a_key_arrives_once(self, shop, desk):
        await shop.item(stock=1)
        await shop.item("mug", stock=1)
        by = {"account_id": AccountId("op"), "key": "truck"}
        said = await asyncio.gather(*(desk.restock(shop.show_id, POT, 10, **by) for _ in range(5)))
        assert {stock.on_hand for stock in said} == {11}
        for variant, quantity in ((POT, 11), (VariantId("mug"), 10)):
            with pytest.raises(IdempotencyMismatch):
                await desk.restock(shop.show_id, variant, quantity, **by)
        assert ((await shop.stock()).on_hand, (await shop.stock("mug")).on_hand) == (11, 1)
        assert await shop.gate_available() == 11
        await desk.restock(shop.show_id, POT, 10, account_id=AccountId("another"), key="truck")
        await desk.restock(shop.show_id, POT, 10)
        await desk.restock(shop.show_id, POT, 10)
        assert (await shop.stock()).on_hand == 41
        assert (await shop.verify()).problems == []

    async def test_more_units_than_a_shelf_can_count_are_invalid(self, shop, desk):
        await shop.item(stock=1)
        by = {"account_id": AccountId("op"), "key": "fleet"}
        with pytest.raises(Invalid):
            await desk.restock(shop.show_id, POT, 2**31 - 1, **by)
        assert (await shop.stock()).on_hand == 1
        await desk.restock(shop.show_id, POT, 1, **{**by, "key": "van"})
        assert (await shop.stock()).on_hand == 2

    async def test_no_key_no_answer(self, shop, desk):
        await shop.item(stock=5)
        with pytest.raises(IdempotencyKeyMissing):
            await desk.hold(shop.viewer("ann"), shop.show_id, HoldRequest(variant_id=POT), "")
        hold = await shop.tap("ann")
        with pytest.raises(IdempotencyKeyMissing):
            await desk.pay(shop.viewer("ann"), hold.hold_id, PayRequest(payment_method="fake_ok"), "")

    async def test_paying_again_with_a_key_answers_the_same_a_402_too(self, shop, desk):
        await shop.item(stock=5)
        hold = await shop.tap("ann")
        said = []
        for _ in range(2):
            with pytest.raises(PaymentDeclined) as declined:
                await shop.pay_for("ann", hold, "fake_declined", key="no")
            said.append((declined.value.detail, declined.value.extra))
        assert said[0] == said[1]
        assert said[0][1] == {"hold_state": "held", "expires_at_ms": hold.expires_at_ms}
        assert await shop.pg.fetchval("SELECT count(*) FROM payments") == 1
        order = await shop.pay_for("ann", hold, key="yes")
        assert await shop.pay_for("ann", hold, key="yes") == order
        with pytest.raises(IdempotencyMismatch):
            await shop.pay_for("ann", hold, "fake_slow", key="yes")
        with pytest.raises(PaymentDeclined):
            await shop.pay_for("ann", hold, "fake_declined", key="no")
        await shop.captured(order)
        assert await shop.pay_for("ann", hold, key="yes") == order  # the saved answer, not today's state

    async def test_a_key_in_flight_is_said_so_and_freed_when_its_owner_died(self, shop, desk):
        await shop.item(stock=5)
        hold = await shop.tap("ann")
        claim = "SELECT * FROM claim_key('ann', 'pay', 'k', $1, $2)"
        await shop.pg.execute(claim, fingerprint("pay", hold.hold_id, "fake_ok"), 15_000)
        with pytest.raises(IdempotencyInFlight):
            await shop.pay_for("ann", hold, key="k")
        await shop.pg.execute("UPDATE idempotency_keys SET lease_until_ms = 0")
        assert isinstance(await shop.pay_for("ann", hold, key="k"), Order)


class TestEndings:
    async def test_a_hold_expires_and_its_unit_returns_once(self, shop):
        desk = await shop.open()
        await shop.item(stock=1)
        hold = await shop.tap("ann")
        await shop.lapse()

        async def back() -> bool:
            return (await shop.stock()).available == 1 and await shop.gate_available() == 1

        await shop.eventually(back)
        assert await shop.hold_state(hold) == "expired"
        assert desk.counts.expired == 1
        await desk.release(shop.viewer("ann"), hold.hold_id)  # too late, and harmless
        assert await shop.outcome(shop.pay_for("ann", hold)) == "hold_lapsed"
        assert (await shop.stock()).available == 1
        await shop.tap("bob")
        assert (await shop.verify()).problems == []

    async def test_two_sweepers_return_it_once(self, shop):
        one = await shop.open()
        await shop.item(stock=20)
        two = await shop.open()
        for i in range(20):
            await shop.tap(f"b{i}")
        await shop.lapse()

        async def back() -> bool:
            return (await shop.stock()).available == 20 and one.counts.expired + two.counts.expired >= 20

        await shop.eventually(back)
        assert one.counts.expired + two.counts.expired == 20
        assert (await shop.verify()).problems == []

    async def test_a_lapsed_hold_cannot_be_paid_even_before_the_sweeper_saw_it(self, shop):
        await shop.open(pace=shop.idle)
        await shop.item(stock=1)
        hold = await shop.tap("ann")
        await shop.lapse()
        assert await shop.outcome(shop.pay_for("ann", hold)) == "hold_lapsed"
        assert await shop.pg.fetchval("SELECT count(*) FROM payments") == 0
        assert await shop.hold_state(hold) == "held"
        assert HoldLapsed.code == "hold_lapsed"

    async def test_releasing_twice_at_once_returns_the_unit_once(self, shop, desk):
        await shop.item(stock=2)
        hold = await shop.tap("ann")
        await asyncio.gather(*(desk.release(shop.viewer("ann"), hold.hold_id) for _ in range(5)))
        assert await shop.stock() == Stock(on_hand=2, held=0, sold=0, available=2)
        assert await shop.gate_available() == 2
        assert desk.counts.released == 1

    async def test_a_sold_hold_cannot_be_released(self, shop, desk):
        await shop.item(stock=2)
        order = await shop.buy("ann")
        with pytest.raises(Conflict):
            await desk.release(shop.viewer("ann"), order.hold_id)
        assert (await shop.stock()).sold == 1


class TestTotals:
    async def test_they_are_of_all_orders_of_the_show(self, shop, desk):
        await shop.item(stock=200, price=1000)
        none = await desk.books.totals(shop.show_id)
        assert (none.orders, none.units_sold, none.paid.amount, none.net.amount) == (0, 0, 0, 0)
        orders = [await shop.buy(f"b{i}", quantity=2) for i in range(60)]  # more than a page
        await desk.refund(shop.operator, orders[0].order_id, 300)
        await desk.refund(shop.operator, orders[1].order_id)
        failed = await shop.pay_for("zoe", await shop.tap("zoe"), "fake_capture_fails")
        await shop.captured(failed)
        totals = await desk.books.totals(shop.show_id)
        assert (totals.orders, totals.units_sold) == (60, 120)
        assert (totals.paid.amount, totals.refunded.amount, totals.net.amount) == (120_000, 2300, 117_700)
        assert totals.paid.currency == "EUR"

    async def test_a_show_that_is_not_there_has_none(self, desk):
        with pytest.raises(NotFound):
            await desk.books.totals(ShowId("elsewhere"))


async def test_a_fence_is_kept_for_a_day(shop, desk):
    await shop.item(stock=1)
    await shop.pg.execute("SELECT * FROM fence_many('gala', 'pot', '{young,old}')")
    await shop.pg.execute("UPDATE fences SET at_ms = at_ms - 86400001 WHERE hold_id = 'old'")
    await shop.open()
    fences = "SELECT array_agg(hold_id) FROM fences"

    async def tidied() -> bool:
        return await shop.pg.fetchval(fences) == ["young"]

    await shop.eventually(tidied)


class TestStartingAgain:
    @pytest.mark.parametrize("promises", [1, 150, 700])
    async def test_a_kill_9_in_the_middle_of_a_rush_loses_no_promise_and_no_unit(self, shop, redis_url, promises):
        opening = await shop.open(pace=shop.idle)
        await shop.item(stock=5000, limit=1)
        await opening.abandon()
        rush = await asyncio.create_subprocess_exec(
            sys.executable, str(RUSH), shop.database_url, redis_url, "60",
            stdout=asyncio.subprocess.PIPE, env={**os.environ, "PYTHONPATH": str(RUSH.parents[2])},
        )  # fmt: skip
        promised = [(await rush.stdout.readline()).decode().strip() for _ in range(promises)]
        rush.kill()
        promised += [line.decode().strip() async for line in rush.stdout if line.endswith(b"\n")]
        await rush.wait()
        assert all(promised)
        kept = {row["hold_id"] for row in await shop.pg.fetch("SELECT hold_id FROM holds WHERE state = 'held'")}
        assert set(promised) <= kept
        desk = await shop.open(pace=Pace(reconcile_s=0.05, orphan_ms=100))

        async def agree() -> bool:
            stock = await shop.stock()
            pending = await shop.redis.hlen("sf:{gala}:gate:pot:pending")
            return not pending and await shop.gate_available() == stock.available

        await shop.eventually(agree)
        assert (await shop.verify()).problems == []
        await desk.hold(shop.viewer("b0"), shop.show_id, HoldRequest(variant_id=POT), "k0")  # a retry
        assert await shop.pg.fetchval("SELECT count(*) FROM holds WHERE buyer_id = 'b0'") == 1
        assert (await shop.verify()).problems == []

    async def test_everything_promised_is_there_after_a_kill(self, shop):
        dying = await shop.open(pace=shop.idle)
        await shop.item(stock=10)
        hold = await shop.tap("ann")
        slow = await shop.tap("bob")
        await shop.pay_for("bob", slow, "fake_slow")
        shop.pay.faults.drop_webhooks = 5
        order = await shop.sold_without_capture("cat")
        await dying.abandon()
        await shop.redis.flushdb()
        desk = await shop.open()
        assert (await desk.get_hold(shop.viewer("ann"), hold.hold_id)) == hold

        async def finished() -> bool:
            return (
                await shop.hold_state(slow) == "sold"
                and (await desk.get_order(shop.operator, order)).state == "captured"
            )

        await shop.eventually(finished)
        assert await shop.gate_available() == 7
        assert (await shop.verify()).problems == []

    async def test_a_payment_the_provider_never_heard_of_is_cancelled_and_the_hold_follows(self, shop):
        dying = await shop.open(pace=shop.idle)
        await shop.item(stock=1)
        hold = await shop.tap("ann")
        await shop.pg.execute(
            "SELECT * FROM begin_payment($1, 'ann', 'pay_1', 'fake', 'fake_ok', 600000, 0)", hold.hold_id
        )
        await dying.abandon()
        await shop.pg.execute("UPDATE payments SET created_at_ms = created_at_ms - 60000")
        await shop.open()

        async def held_again() -> bool:
            return await shop.hold_state(hold) == "held"

        await shop.eventually(held_again)
        late = await shop.provider.authorize("pay_1", hold.total, "fake_ok", hold.hold_id)
        assert late.state == "cancelled"  # the request that was still on its way takes no money


class _SwallowsACancellation:
    """A lead whose connection eats the first cancellation, as a time-out that ends in the same moment does."""

    swallowed = False
    asked = 0

    async def is_mine(self) -> bool:
        self.asked += 1
        if self.asked > 1 and not self.swallowed:
            try:
                await asyncio.sleep(3600)
            except asyncio.CancelledError:
                self.swallowed = True
        return True

    async def let_go(self) -> None:
        pass


async def test_a_desk_ends_even_if_a_cancellation_is_swallowed(shop):
    lead = _SwallowsACancellation()
    desk = await shop.open(pace=shop.idle, lead=lead)

    async def asking() -> bool:
        return lead.asked > 1

    await shop.eventually(asking)
    async with asyncio.timeout(20):
        await desk.abandon()
    assert lead.swallowed


async def test_a_call_that_was_repeated_makes_the_gate_be_built_anew(shop):
    desk = await shop.open(pace=shop.idle)
    await shop.item(stock=3)
    hold = await shop.tap("ann")
    # Two silences that cancel each other in the sums: a unit that arrived, and a hold.
    await shop.pg.execute("SELECT * FROM restock('gala', 'pot', 1, 'rst_unheard')")
    await shop.pg.execute("SELECT * FROM reserve_many('gala', 'pot', '{h1}', '{bob}', '{Bob}', '{1}', 60000)")
    await desk.upkeep.reconcile()
    assert not await shop.redis.hexists("sf:{gala}:gate:pot:holds", "h1")
    desk.counts.truth_retries += 1
    await desk.upkeep.doubt()
    await desk.upkeep.reconcile()
    assert set(await shop.redis.hkeys("sf:{gala}:gate:pot:holds")) == {b"h1", hold.hold_id.encode()}


async def test_more_holds_than_one_call_ends_are_ended_in_one_round_each_once(shop):
    desk = await shop.open(pace=shop.idle, hold_ms=1)
    await shop.item(stock=1200)
    await asyncio.gather(*(shop.tap(f"b{number}") for number in range(1200)))
    assert (await shop.stock()).available == 0
    await desk.upkeep.sweep()
    assert (await shop.stock()).available == await shop.gate_available() == 1200
    assert desk.counts.expired == 1200
    await desk.upkeep.sweep()
    assert (await shop.stock()).available == 1200
