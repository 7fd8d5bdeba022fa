"""Paying, against the fake payment network."""

import asyncio

import pytest

from checkout.counts import Counts
from checkout.desk import Pace
from checkout.till import Till
from checkout.trade import Trade
from checkout.truth import Truth
from schema.errors import Conflict, PaymentDeclined
from schema.hold import Hold
from schema.order import Order


class TestPaying:
    async def test_paying_twice_at_once_is_one_order_and_one_capture(self, shop, desk):
        await shop.item(stock=2)
        hold = await shop.tap("ann")
        orders = await asyncio.gather(*(shop.pay_for("ann", hold) for _ in range(5)))
        assert len({order.order_id for order in orders}) == 1
        await shop.captured(orders[0])
        assert shop.pay.count("captures", hold.hold_id) == 1
        assert shop.pay.count("authorizations", hold.hold_id) == 1
        assert (await shop.pay_for("ann", hold)).order_id == orders[0].order_id
        assert (await shop.stock()).sold == 1
        assert (await shop.verify()).problems == []

    async def test_declined_goes_back_to_held_with_its_own_time(self, shop, desk):
        await shop.item(stock=2)
        hold = await shop.tap("ann")
        with pytest.raises(PaymentDeclined):
            await shop.pay_for("ann", hold, "fake_declined")
        assert await desk.get_hold(shop.viewer("ann"), hold.hold_id) == hold
        assert isinstance(await shop.pay_for("ann", hold), Order)

    async def test_declined_too_late_releases_the_unit(self, shop):
        await shop.open(pace=shop.idle)
        await shop.item(stock=1)
        hold = await shop.tap("ann")
        shop.pay.faults.timeout_after_success = 1
        assert (await shop.pay_for("ann", hold, "fake_declined")).state == "paying"
        await shop.pg.execute("UPDATE holds SET held_until_ms = 0, expires_at_ms = 0")
        with pytest.raises(PaymentDeclined):
            await shop.pay_for("ann", hold, "fake_declined")
        assert await shop.hold_state(hold) == "released"
        assert (await shop.stock()).available == await shop.gate_available() == 1

    async def test_slow_is_pending_then_sold_by_its_webhook(self, shop):
        await shop.open(pace=shop.idle)
        await shop.item(stock=1)
        hold = await shop.tap("ann")
        pending = await shop.pay_for("ann", hold, "fake_slow")
        assert isinstance(pending, Hold)
        assert pending.state == "paying"
        assert (await shop.stock()).available == 0

        async def sold() -> bool:
            return await shop.hold_state(hold) == "sold"

        await shop.eventually(sold)
        assert await shop.pg.fetchval("SELECT count(*) FROM provider_events") == 1
        order = await shop.pay_for("ann", hold, "fake_slow")
        assert order.order_id == (await shop.desk.get_hold(shop.viewer("ann"), hold.hold_id)).order_id

    async def test_slow_is_settled_by_the_poll_when_its_webhook_is_lost(self, shop, desk):
        shop.pay.faults.drop_webhooks = 1
        await shop.item(stock=1)
        hold = await shop.tap("ann")
        await shop.pay_for("ann", hold, "fake_slow")

        async def sold() -> bool:
            return await shop.hold_state(hold) == "sold"

        await shop.eventually(sold)
        assert await shop.pg.fetchval("SELECT count(*) FROM provider_events") == 0

    async def test_paying_never_expires_under_the_buyer(self, shop):
        desk = await shop.open(pace=Pace(poll_s=3600))  # only the sweeper looks at it
        await shop.item(stock=2)
        other = await shop.tap("bob")
        hold, _ = await shop.authorized("ann")
        await shop.lapse()  # its promised time and the time to pay are both over

        async def bobs_is_gone() -> bool:
            return await shop.hold_state(other) == "expired" and desk.counts.expired == 1

        await shop.eventually(bobs_is_gone)
        assert await shop.hold_state(hold) == "paying"
        assert isinstance(await shop.pay_for("ann", hold), Order)
        assert desk.counts.expired == 1

    async def test_a_timeout_after_success_charges_once(self, shop, desk):
        await shop.item(stock=1)
        hold = await shop.tap("ann")
        shop.pay.faults.timeout_after_success = 1
        assert (await shop.pay_for("ann", hold)).state == "paying"
        order = await shop.pay_for("ann", hold)
        assert isinstance(order, Order)
        await shop.captured(order)
        assert shop.pay.count("authorizations", hold.hold_id) == shop.pay.count("captures", hold.hold_id) == 1

    async def test_another_method_while_one_is_tried_is_a_conflict(self, shop):
        await shop.open(pace=shop.idle)
        shop.pay.faults.late_webhooks_ms = 3_600_000
        await shop.item(stock=1)
        hold = await shop.tap("ann")
        await shop.pay_for("ann", hold, "fake_slow")
        with pytest.raises(Conflict):
            await shop.pay_for("ann", hold, "fake_ok")
        with pytest.raises(Conflict):
            await shop.desk.release(shop.viewer("ann"), hold.hold_id)


EVERYTHING = ("payments", "holds", "stock", "orders", "refunds", "ledger", "outbox", "buyers")


class TestSettlingOnce:
    """A payment is settled once: whatever comes after it, late and again, changes no row of any table."""

    async def rows(self, shop) -> dict[str, list[tuple[object, ...]]]:
        return {
            table: [tuple(row) for row in await shop.pg.fetch(f"SELECT * FROM {table} ORDER BY 1, 2, 3")]
            for table in EVERYTHING
        }

    async def assert_nothing_moves(self, shop, payment_id: str) -> None:
        before = await self.rows(shop)
        for outcome in ("authorized", "declined"):
            settled = await shop.pg.fetchrow("SELECT * FROM settle_payment($1, $2, 'ord_again')", payment_id, outcome)
            assert settled["code"] == "settled"
            assert await self.rows(shop) == before
        till = another_till(shop)
        await till.check(payment_id)
        assert await self.rows(shop) == before
        assert (await shop.verify()).problems == []

    async def payment_of(self, shop, hold: Hold) -> str:
        return await shop.pg.fetchval("SELECT payment_id FROM holds WHERE hold_id = $1", hold.hold_id)

    async def test_after_the_sale(self, shop):
        await shop.open(pace=shop.idle)
        await shop.item(stock=3)
        await shop.sold_without_capture("ann")
        await self.assert_nothing_moves(shop, await shop.pg.fetchval("SELECT payment_id FROM payments"))

    async def test_after_the_capture(self, shop):
        await shop.open(pace=shop.idle)
        await shop.item(stock=3)
        order = await shop.buy("ann")
        await shop.all_said()
        await self.assert_nothing_moves(shop, await shop.pg.fetchval("SELECT payment_id FROM payments"))
        assert (await shop.desk.get_order(shop.operator, order.order_id)).state == "captured"

    @pytest.mark.parametrize("amount", [1, None])
    async def test_after_a_refund(self, shop, amount):
        desk = await shop.open(pace=shop.idle)
        await shop.item(stock=3)
        order = await shop.buy("ann")
        await desk.refund(shop.operator, order.order_id, amount)
        await shop.all_said()
        await self.assert_nothing_moves(shop, await shop.pg.fetchval("SELECT payment_id FROM payments"))

    async def test_after_a_decline(self, shop):
        await shop.open(pace=shop.idle)
        await shop.item(stock=3)
        hold = await shop.tap("ann")
        assert await shop.outcome(shop.pay_for("ann", hold, "fake_declined")) == "payment_declined"
        await self.assert_nothing_moves(shop, await self.payment_of(shop, hold))
        assert await shop.hold_state(hold) == "held"

    async def test_after_a_decline_while_the_next_payment_is_under_way(self, shop):
        await shop.open(pace=shop.idle)
        shop.pay.faults.late_webhooks_ms = 3_600_000
        await shop.item(stock=3)
        hold = await shop.tap("ann")
        assert await shop.outcome(shop.pay_for("ann", hold, "fake_declined")) == "payment_declined"
        first = await self.payment_of(shop, hold)
        await shop.pay_for("ann", hold, "fake_slow")
        assert await self.payment_of(shop, hold) != first
        await self.assert_nothing_moves(shop, first)
        assert await shop.hold_state(hold) == "paying"

    async def test_after_a_decline_and_a_sale_by_the_next_payment(self, shop):
        await shop.open(pace=shop.idle)
        await shop.item(stock=3)
        hold = await shop.tap("ann")
        assert await shop.outcome(shop.pay_for("ann", hold, "fake_declined")) == "payment_declined"
        first = await self.payment_of(shop, hold)
        await shop.pay_for("ann", hold)
        await shop.all_said()
        await self.assert_nothing_moves(shop, first)

    async def test_after_it_was_found_to_have_no_hold(self, shop):
        await shop.open(pace=shop.idle)
        await shop.item(stock=3)
        _, payment_id = await shop.authorized("ann")
        await shop.pg.execute("UPDATE holds SET state = 'released'")
        settled = await shop.pg.fetchrow("SELECT * FROM settle_payment($1, 'authorized', 'ord_1')", payment_id)
        assert settled["code"] == "void"
        before = await self.rows(shop)
        await shop.pg.execute("SELECT * FROM settle_payment($1, 'authorized', 'ord_1')", payment_id)
        assert await self.rows(shop) == before


async def test_an_event_that_comes_again_is_not_looked_into_again(shop, desk):
    till = another_till(shop)
    body, headers = shop.pay.signed("evt_1", "pay_1")
    assert await till.webhook(body, headers) == "pay_1"
    assert await till.webhook(body, headers) is None
    assert await till.webhook(*shop.pay.signed("evt_2", "pay_1")) == "pay_1"


def another_till(shop) -> Till:
    truth, counts = Truth(shop.pg, Counts()), Counts()
    trade = Trade(truth=truth, provider=shop.provider, counts=counts, shelf_of=shop.desk._shelves.of)
    return Till(trade, lambda: None)


class TestClockSetBack:
    """What was put off by a clock that ran an hour ahead is due at once when it is set back."""

    async def test_a_payment_is_looked_at(self, shop):
        await shop.open(pace=shop.idle)
        await shop.item(stock=1)
        hold, _ = await shop.authorized("ann")
        hour = "created_at_ms = created_at_ms + 3600000, check_at_ms = check_at_ms + 3600000"
        await shop.pg.execute(f"UPDATE payments SET {hour}")
        await shop.desk._till.poll()
        assert await shop.hold_state(hold) == "sold"

    async def test_a_payment_that_the_provider_never_heard_of_is_cancelled(self, shop):
        await shop.open(pace=shop.idle)
        await shop.item(stock=1)
        hold = await shop.tap("ann")
        begin = "SELECT * FROM begin_payment($1, 'ann', 'pay_lost', 'fake', 'fake_ok', 600000, 3600000)"
        await shop.pg.execute(begin, hold.hold_id)
        await shop.pg.execute("UPDATE payments SET created_at_ms = created_at_ms + 3600000")
        await shop.desk._till.poll()
        assert await shop.hold_state(hold) == "held"

    async def test_an_entry_of_the_outbox_is_said(self, shop, desk):
        await shop.item(stock=1)
        order_id = await shop.sold_without_capture("ann")
        await shop.pg.execute("UPDATE outbox SET due_at_ms = clock_ms() + 3600000")
        await shop.say_what_is_due()
        assert (await desk.get_order(shop.operator, order_id)).state == "captured"

    async def test_a_key_whose_owner_died_is_free(self, shop, desk):
        await shop.item(stock=1)
        hold = await shop.tap("ann")
        order = await shop.pay_for("ann", hold, key="k")
        await shop.pg.execute("UPDATE idempotency_keys SET status = NULL, lease_until_ms = clock_ms() + 3600000")
        assert (await shop.pay_for("ann", hold, key="k")).order_id == order.order_id
