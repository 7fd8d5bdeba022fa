"""Captures, cancels and refunds, against the fake payment network."""

import asyncio
from collections import Counter

import pytest

from checkout.outbox import ATTEMPTS
from schema.errors import Conflict, IdempotencyMismatch, NotFound
from schema.ids import OrderId, ShowId
from schema.show import Stock


class TestCaptures:
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

    async def test_the_buyer_of_a_capture_that_failed_is_told(self, shop):
        told = []

        class Buyers:
            def capture_failed(self, *what) -> None:
                told.append(what)

        await shop.open(buyers=Buyers())
        await shop.item(stock=2)
        await shop.captured(await shop.pay_for("bob", await shop.tap("bob")))
        order = await shop.pay_for("ann", await shop.tap("ann"), "fake_capture_fails")
        await shop.all_said()
        assert told == [(shop.show_id, "ann", order.order_id)]

    async def test_a_capture_is_tried_again_after_errors(self, shop, desk):
        await shop.item(stock=1)
        order = await shop.sold_without_capture("ann")
        shop.pay.faults.error_500 = 2
        for _ in range(3):
            await shop.pg.execute("UPDATE outbox SET due_at_ms = 0 WHERE state = 'pending'")
            await shop.say_what_is_due()
        assert shop.pay.faults.error_500 == 0
        assert (await desk.get_order(shop.operator, order)).state == "captured"
        assert shop.pay.count("captures", (await desk.get_order(shop.operator, order)).hold_id) == 1

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

    async def test_units_return_only_once_the_provider_has_let_go_of_the_money(self, shop):
        desk = await shop.open(pace=shop.idle)
        await shop.item(stock=1)
        order_id = await shop.sold_without_capture("ann", "fake_capture_fails")
        shop.pay.faults.cancels_ignored = 1
        await shop.say_what_is_due()
        assert shop.pay.faults.cancels_ignored == 0
        assert (await desk.get_order(shop.operator, order_id)).state == "paid"
        assert await shop.stock() == Stock(on_hand=0, held=0, sold=1, available=0)
        await shop.pg.execute("UPDATE outbox SET due_at_ms = 0")
        await shop.say_what_is_due()
        assert (await desk.get_order(shop.operator, order_id)).state == "capture_failed"
        assert await shop.stock() == Stock(on_hand=1, held=0, sold=1, available=1, returned=1)
        assert (await shop.verify()).problems == []

    async def test_an_authorization_without_a_hold_stays_on_the_list_until_it_is_cancelled(self, shop):
        await shop.open(pace=shop.idle)
        await shop.item(stock=1)
        hold, payment_id = await shop.authorized("ann")
        await shop.pg.execute("UPDATE holds SET state = 'released'")
        await shop.pg.execute("SELECT * FROM settle_payment($1, 'authorized', 'ord_1')", payment_id)
        shop.pay.faults.cancels_ignored = 1
        await shop.say_what_is_due()
        assert await shop.pg.fetchval("SELECT state FROM outbox") == "pending"
        assert await shop.pg.fetchval("SELECT state FROM payments") == "authorized"
        await shop.pg.execute("UPDATE outbox SET due_at_ms = 0")
        await shop.say_what_is_due()
        assert await shop.pg.fetchval("SELECT state FROM outbox") == "done"
        assert await shop.pg.fetchval("SELECT state FROM payments") == "cancelled"
        assert shop.pay.count("captures", hold.hold_id) == 0


class TestCancelling:
    async def test_before_the_capture_money_and_stock_are_reversed_exactly_once(self, shop):
        desk = await shop.open(pace=shop.idle)
        await shop.item(stock=1, limit=1)
        order_id = await shop.sold_without_capture("ann")
        done = await asyncio.gather(*(desk.cancel(shop.viewer("ann"), order_id) for _ in range(5)))
        assert {order.state for order in done} == {"cancelled"}
        await shop.say_what_is_due()
        await shop.all_said()
        assert await shop.stock() == Stock(on_hand=1, held=0, sold=1, available=1, returned=1)
        assert await shop.gate_available() == 1
        assert shop.pay.count("captures", done[0].hold_id) == 0
        assert await shop.pg.fetchval("SELECT state FROM payments") == "cancelled"
        assert desk.counts.cancellations == 1
        totals = await desk.books.totals(shop.show_id)
        assert (totals.orders, totals.paid.amount) == (0, 0)
        await shop.tap("ann")  # and the limit is theirs again
        with pytest.raises(Conflict):
            await desk.refund(shop.operator, order_id)
        assert (await shop.verify()).problems == []

    async def test_captured_money_is_not_cancelled_but_refunded(self, shop, desk):
        await shop.item(stock=1)
        order = await shop.buy("ann")
        await shop.captured(order)
        with pytest.raises(Conflict):
            await desk.cancel(shop.viewer("ann"), order.order_id)
        assert (await desk.get_order(shop.operator, order.order_id)).state == "captured"

    async def test_another_buyer_cannot_cancel_it(self, shop):
        desk = await shop.open(pace=shop.idle)
        await shop.item(stock=1)
        order_id = await shop.sold_without_capture("ann")
        with pytest.raises(NotFound):
            await desk.cancel(shop.viewer("bob"), order_id)
        assert (await desk.cancel(shop.operator, order_id)).state == "cancelled"

    async def test_a_capture_that_was_on_its_way_is_given_back(self, shop):
        desk = await shop.open(pace=shop.idle)
        await shop.item(stock=1)
        order_id = await shop.sold_without_capture("ann")
        row = await shop.pg.fetchrow("SELECT * FROM claim_outbox(1, 15000)")
        total = (await desk.get_order(shop.operator, order_id)).total
        await shop.provider.capture(row["payment_id"], total)  # its answer comes only after the cancellation
        order = await desk.cancel(shop.operator, order_id)
        await desk._outbox._say(row)
        await shop.say_what_is_due()
        await shop.all_said()
        assert (await desk.get_order(shop.operator, order_id)).state == "cancelled"
        assert shop.pay.count("captured", order.hold_id) == shop.pay.count("refunded", order.hold_id) == 4900
        assert desk.counts.stray_captures == 1
        assert (await shop.verify()).problems == []

    async def test_a_capture_withdrawn_while_it_failed_is_not_tried_again(self, shop):
        desk = await shop.open(pace=shop.idle)
        await shop.item(stock=1)
        order_id = await shop.sold_without_capture("ann")
        row = await shop.pg.fetchrow("SELECT * FROM claim_outbox(1, 15000)")
        await desk.cancel(shop.operator, order_id)
        shop.pay.faults.error_500 = 1
        await desk._outbox._say(row)
        assert shop.pay.faults.error_500 == 0
        assert await shop.pg.fetchval("SELECT state FROM outbox WHERE kind = 'capture'") == "done"


class TestParked:
    async def test_what_is_refused_waits_for_an_operator_and_is_said_again_when_they_ask(self, shop):
        desk = await shop.open(pace=shop.idle)
        await shop.item(stock=1)
        order = await shop.buy("ann")
        await shop.all_said()  # by the desk, perhaps, while a round of ours would skip what it has under way
        shop.pay._db.execute("UPDATE payments SET captured = 0, state = 'authorized'")  # the network forgot it
        await desk.refund(shop.operator, order.order_id)

        async def is_parked() -> bool:
            return len((await desk.books.parked(shop.show_id)).items) == 1

        await shop.eventually(is_parked)
        (entry,) = (await desk.books.parked(shop.show_id)).items
        assert (entry.kind, entry.state, entry.order_id, entry.amount) == (
            "refund",
            "parked",
            order.order_id,
            order.total,
        )
        assert "409" in entry.why
        await shop.say_what_is_due()
        assert (await desk.books.parked(shop.show_id)).items == [entry]  # not by itself
        shop.pay._db.execute("UPDATE payments SET captured = amount, state = 'captured'")
        assert (await desk.retry(shop.show_id, entry.entry_id)).state == "pending"
        await shop.all_said()
        assert (await desk.books.parked(shop.show_id)).items == []
        assert shop.pay.count("refunded", order.hold_id) == 4900

    async def test_tries_have_a_limit(self, shop):
        desk = await shop.open(pace=shop.idle)
        await shop.item(stock=1)
        await shop.sold_without_capture("ann")
        shop.pay.faults.error_500 = ATTEMPTS + 5
        for _ in range(ATTEMPTS + 5):
            await shop.pg.execute("UPDATE outbox SET due_at_ms = 0 WHERE state = 'pending'")
            await shop.say_what_is_due()
        assert shop.pay.faults.error_500 == 5
        assert [entry.attempts for entry in (await desk.books.parked(shop.show_id)).items] == [ATTEMPTS]
        assert desk.counts.parked == 1

    async def test_an_entry_of_another_show_is_none(self, shop):
        desk = await shop.open(pace=shop.idle)
        await shop.item(stock=1)
        await shop.sold_without_capture("ann")
        entry = await shop.pg.fetchval("UPDATE outbox SET state = 'parked' RETURNING outbox_id")
        with pytest.raises(NotFound):
            await desk.retry(ShowId("another"), entry)
        assert (await desk.books.parked(ShowId("another"))).items == []


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

    async def test_a_refund_waits_for_the_capture(self, shop):
        desk = await shop.open(pace=shop.idle)
        await shop.item(stock=1)
        order_id = await shop.sold_without_capture("ann")
        assert (await desk.get_order(shop.operator, order_id)).state == "paid"
        assert (await desk.refund(shop.operator, order_id)).order_state == "refunded"
        assert (await shop.verify()).problems == []

    async def test_a_key_stands_for_what_was_asked_and_not_for_what_came_of_it(self, shop, desk):
        await shop.item(stock=3, price=1000)
        order, other = await shop.buy("ann"), await shop.buy("bob")
        part = await desk.refund(shop.operator, order.order_id, 1, "part")
        rest = await desk.refund(shop.operator, order.order_id, None, "rest")
        assert await desk.refund(shop.operator, order.order_id, 1, "part") == part
        assert await desk.refund(shop.operator, order.order_id, None, "rest") == rest
        for order_id, amount, key in (
            (order.order_id, None, "part"),
            (order.order_id, 2, "part"),
            (order.order_id, 999, "rest"),
            (other.order_id, 1, "part"),
        ):
            with pytest.raises(IdempotencyMismatch):
                await desk.refund(shop.operator, order_id, amount, key)
        assert (await desk.get_order(shop.operator, order.order_id)).refunded.amount == 1000
        assert (await desk.get_order(shop.operator, other.order_id)).refunded.amount == 0

    async def test_what_does_not_exist_cannot_be_refunded(self, shop, desk):
        with pytest.raises(NotFound):
            await desk.refund(shop.operator, OrderId("ord_x"))
