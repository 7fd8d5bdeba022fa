"""Paying, captures and refunds, against the fake payment network."""

import asyncio
from collections import Counter

import pytest

from schema.errors import Conflict, IdempotencyMismatch, NotFound, PaymentDeclined
from schema.ids import OrderId
from schema.order import Hold, Order
from schema.show import Stock


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
        assert (await shop.stock()).held == 1

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
        desk = await shop.open(hold_ms=30)
        shop.pay.faults.late_webhooks_ms = 3_600_000
        await shop.item(stock=2)
        other = await shop.tap("bob")
        hold = await shop.tap("ann")
        await shop.pay_for("ann", hold, "fake_slow")

        async def bobs_is_gone() -> bool:
            return await shop.hold_state(other) == "expired"

        await shop.eventually(bobs_is_gone)
        assert await shop.hold_state(hold) in {"paying", "sold"}

        async def sold() -> bool:
            return await shop.hold_state(hold) == "sold"

        await shop.eventually(sold)
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
        await shop.item(stock=1)
        hold = await shop.tap("ann")
        await shop.pay_for("ann", hold, "fake_slow")
        with pytest.raises(Conflict):
            await shop.pay_for("ann", hold, "fake_ok")
        with pytest.raises(Conflict):
            await shop.desk.release(shop.viewer("ann"), hold.hold_id)

    async def test_a_capture_that_fails_returns_the_unit_once_and_says_so(self, shop, desk):
        await shop.item(stock=1, limit=1)
        order = await shop.pay_for("ann", await shop.tap("ann"), "fake_capture_fails")
        await shop.captured(order)
        assert (await desk.get_order(shop.viewer("ann"), order.order_id)).state == "capture_failed"
        assert await shop.stock() == Stock(on_hand=1, held=0, sold=1, available=1, returned=1)

        async def back() -> bool:
            return await shop.gate_available() == 1

        await shop.eventually(back)
        await shop.tap("ann")
        with pytest.raises(Conflict):
            await desk.refund(shop.operator, order.order_id)
        assert (await shop.verify()).problems == []

    async def test_a_capture_is_tried_again_after_errors(self, shop, desk):
        await shop.item(stock=1)
        hold = await shop.tap("ann")
        shop.pay.faults.timeout_after_success = 1
        assert (await shop.pay_for("ann", hold)).state == "paying"
        shop.pay.faults.error_500 = 0
        order = await shop.pay_for("ann", hold)
        shop.pay.faults.error_500 = 2
        await shop.captured(order)
        assert (await desk.get_order(shop.operator, order.order_id)).state == "captured"
        assert shop.pay.count("captures", hold.hold_id) == 1

    async def test_an_authorization_without_a_hold_is_cancelled(self, shop, desk):
        await shop.item(stock=1)
        hold = await shop.tap("ann")
        begun = await shop.pg.fetchrow(
            "SELECT * FROM begin_payment($1, 'ann', 'pay_1', 'fake', 'fake_ok', 1, 3600000)", hold.hold_id
        )
        await shop.provider.authorize("pay_1", hold.total, "fake_ok", hold.hold_id)
        await shop.pg.execute("UPDATE holds SET state = 'released'")
        settled = await shop.pg.fetchrow("SELECT * FROM settle_payment('pay_1', 'authorized', 'ord_1')")
        assert (begun["code"], settled["code"]) == ("ok", "void")

        async def cancelled() -> bool:
            return (await shop.provider.retrieve("pay_1")).state == "cancelled"

        await shop.eventually(cancelled)
        assert await shop.pg.fetchval("SELECT count(*) FROM orders") == 0


class TestRefunds:
    async def test_in_part_then_the_rest_moves_money_and_units_once(self, shop, desk):
        await shop.item(stock=3, price=1000, limit=2)
        order = await shop.buy("ann", quantity=2)
        part = await desk.refund(shop.operator, order.order_id, 500)
        assert (part.amount.amount, part.units_returned, part.order_state) == (500, 0, "partially_refunded")
        assert (await shop.stock()).returned == 0
        rest = await desk.refund(shop.operator, order.order_id)
        assert (rest.amount.amount, rest.units_returned, rest.order_state) == (1500, 2, "refunded")
        assert await shop.stock() == Stock(on_hand=3, held=0, sold=2, available=3, returned=2)
        assert await shop.gate_available() == 3

        async def given_back() -> bool:
            return shop.pay.count("refunded", order.hold_id) == 2000

        await shop.eventually(given_back)
        report = await shop.verify()
        assert report.problems == []
        assert (report.lines[0].captured, report.lines[0].refunded) == (2000, 2000)
        await shop.tap("ann", quantity=2)  # and the limit is theirs again

    async def test_a_second_full_refund_is_a_conflict_and_moves_nothing(self, shop, desk):
        await shop.item(stock=1)
        order = await shop.buy("ann")
        said = Counter(
            await asyncio.gather(*(shop.outcome(desk.refund(shop.operator, order.order_id)) for _ in range(5)))
        )
        assert said == {"ok": 1, "conflict": 4}
        assert (await shop.stock()).returned == 1
        assert await shop.gate_available() == 1
        assert (await desk.get_order(shop.operator, order.order_id)).refunded.amount == 4900

    async def test_more_than_is_left_is_a_conflict(self, shop, desk):
        await shop.item(stock=1, price=1000)
        order = await shop.buy("ann")
        await desk.refund(shop.operator, order.order_id, 600)
        with pytest.raises(Conflict):
            await desk.refund(shop.operator, order.order_id, 401)
        assert (await desk.get_order(shop.operator, order.order_id)).refunded.amount == 600

    async def test_a_key_makes_a_refund_in_part_once(self, shop, desk):
        await shop.item(stock=1, price=1000)
        order = await shop.buy("ann")
        first = await desk.refund(shop.operator, order.order_id, 300, "k")
        assert await desk.refund(shop.operator, order.order_id, 300, "k") == first
        with pytest.raises(IdempotencyMismatch):
            await desk.refund(shop.operator, order.order_id, 400, "k")
        assert (await desk.get_order(shop.operator, order.order_id)).refunded.amount == 300

    async def test_a_refund_waits_for_the_capture(self, shop, desk):
        await shop.item(stock=1)
        order = await shop.pay_for("ann", await shop.tap("ann"))
        assert order.state == "paid"
        assert (await desk.refund(shop.operator, order.order_id)).order_state == "refunded"

    async def test_what_does_not_exist_cannot_be_refunded(self, shop, desk):
        with pytest.raises(NotFound):
            await desk.refund(shop.operator, OrderId("ord_x"))
