"""Baskets: several holds, one payment, one order with lines; what is quoted is what is charged."""

import asyncio

import msgspec
import pytest

from checkout.core.pricing import apportion
from schema.basket import BasketPayRequest, PayingBasket, QuoteRequest
from schema.errors import (
    Conflict,
    CouponRefused,
    HoldLapsed,
    IdempotencyMismatch,
    Invalid,
    NotFound,
    PaymentDeclined,
    PriceWasChanged,
)
from schema.order import Order, RefundLine
from schema.show import Charges, ShippingRate, TaxRate

RATES = Charges(
    home_country="DE",
    tax=[TaxRate(country="DE", rate_bp=1900), TaxRate(country="AT", rate_bp=2000)],
    shipping=[
        ShippingRate(country="DE", method="standard", amount=490, free_from=10_000),
        ShippingRate(country="DE", method="express", amount=990),
        ShippingRate(country="AT", method="standard", amount=1290),
    ],
)


class Buyer:
    """Ann with a basket."""

    def __init__(self, shop, holds):
        self.shop, self.holds = shop, holds
        self.ids = [hold.hold_id for hold in holds]

    async def quote(self, **more):
        return await self.shop.desk.quote(
            self.shop.viewer("ann"), self.shop.show_id, QuoteRequest(hold_ids=self.ids, **more)
        )

    async def pay(self, total, method="fake_ok", key="pay-1", **more):
        request = BasketPayRequest(hold_ids=self.ids, total=total, payment_method=method, **more)
        return await self.shop.desk.pay_basket(self.shop.viewer("ann"), self.shop.show_id, request, key)

    async def states(self):
        return [await self.shop.hold_state(hold) for hold in self.holds]


@pytest.fixture
async def ann(shop, desk):
    """A pot and two mugs held, 49 and 2 x 9.99."""
    await shop.item("pot", stock=5, price=4900)
    await shop.item("mug", stock=5, price=999)
    return Buyer(shop, [await shop.tap("ann", variant="pot"), await shop.tap("ann", variant="mug", quantity=2)])


async def coupon(shop, code="TEN", **more):
    columns = {"show_id": shop.show_id, "code": code, "created_at_ms": 0, "percent_bp": 1000} | more
    names, values = ", ".join(columns), ", ".join(f"${i + 1}" for i in range(len(columns)))
    await shop.pg.execute(f"INSERT INTO coupons ({names}) VALUES ({values})", *columns.values())


class TestPaying:
    async def test_it_is_one_payment_and_one_order_with_a_line_for_each_hold(self, shop, ann):
        quote = await ann.quote()
        assert quote.total.amount == 4900 + 2 * 999
        order = await ann.pay(quote.total.amount)
        assert isinstance(order, Order)
        assert [(line.variant_id, line.quantity, line.total.amount) for line in order.lines] == [
            ("pot", 1, 4900),
            ("mug", 2, 1998),
        ]
        assert order.total.amount == 6898
        await shop.captured(order)
        assert shop.pay.count("captures", ann.ids[0]) == 1
        assert await ann.states() == ["sold", "sold"]
        assert ((await shop.stock("pot")).sold, (await shop.stock("mug")).sold) == (1, 2)
        assert (await shop.desk.books.totals(shop.show_id)).units_sold == 3
        report = await shop.verify()
        assert report.problems == []
        assert {line.variant_id: line.captured for line in report.lines} == {"pot": 4900, "mug": 1998}

    async def test_what_is_quoted_with_everything_is_what_is_charged(self, shop, ann):
        await shop.desk.charges.put(shop.show_id, RATES)
        await coupon(shop)
        quote = await ann.quote(country="AT", coupon="TEN")
        assert (quote.subtotal.amount, quote.discount.amount, quote.shipping.amount) == (6898, 690, 1290)
        assert (quote.total.amount, quote.tax.amount, quote.tax_rate_bp) == (7498, 1250, 2000)
        assert sum(line.total.amount for line in quote.lines) == 7498
        order = await ann.pay(7498, country="AT", coupon="TEN")
        await shop.captured(order)
        assert (order.country, order.shipping_method, order.coupon) == ("AT", "standard", "TEN")
        assert order.amounts.tax == quote.tax
        assert [line.total for line in order.lines] == [line.total for line in quote.lines]
        assert await shop.pg.fetchval("SELECT sum(amount) FROM ledger WHERE kind = 'capture'") == 7498
        assert (await shop.verify()).problems == []

    async def test_another_total_than_the_one_shown_is_refused_and_nothing_moves(self, shop, ann):
        await shop.desk.charges.put(shop.show_id, RATES)
        shown = (await ann.quote(country="DE")).total.amount
        dearer = [ShippingRate(country="DE", method="standard", amount=590)]
        await shop.desk.charges.put(shop.show_id, Charges(shipping=dearer))
        with pytest.raises(PriceWasChanged) as refused:
            await ann.pay(shown, country="DE")
        assert refused.value.extra["total"] == shown + 100
        assert await ann.states() == ["held", "held"]
        assert await shop.pg.fetchval("SELECT count(*) FROM payments") == 0

    async def test_a_decline_returns_all_of_them_and_the_coupons_use(self, shop, ann):
        await coupon(shop, uses=1)
        total = (await ann.quote(coupon="TEN")).total.amount
        with pytest.raises(PaymentDeclined):
            await ann.pay(total, "fake_declined", coupon="TEN")
        assert await ann.states() == ["held", "held"]
        assert await shop.pg.fetchval("SELECT used FROM coupons") == 0
        assert isinstance(await ann.pay(total, key="pay-2", coupon="TEN"), Order)
        assert await shop.pg.fetchval("SELECT used FROM coupons") == 1
        assert (await shop.verify()).problems == []

    async def test_declined_too_late_returns_the_units_of_all(self, shop, ann):
        shop.pay.faults.timeout_after_success = 1
        total = (await ann.quote()).total.amount
        assert isinstance(await ann.pay(total, "fake_declined"), PayingBasket)
        await shop.lapse()

        async def released() -> bool:
            return await ann.states() == ["released", "released"]

        await shop.eventually(released)
        for variant in ("pot", "mug"):
            assert (await shop.stock(variant)).available == await shop.gate_available(variant) == 5
        assert (await shop.verify()).problems == []

    async def test_one_lapsed_hold_refuses_the_whole_basket(self, shop, ann):
        total = (await ann.quote()).total.amount
        await shop.pg.execute("UPDATE holds SET held_until_ms = 0, expires_at_ms = 0 WHERE hold_id = $1", ann.ids[1])
        with pytest.raises(HoldLapsed):
            await ann.pay(total)
        assert await shop.hold_state(ann.holds[0]) == "held"

    async def test_a_double_click_is_one_order_and_one_charge(self, shop, ann):
        total = (await ann.quote()).total.amount
        orders = await asyncio.gather(*(ann.pay(total, key=f"click-{i}") for i in range(5)))
        assert len({order.order_id for order in orders}) == 1
        await shop.captured(orders[0])
        assert shop.pay.count("authorizations", ann.ids[0]) == shop.pay.count("captures", ann.ids[0]) == 1
        assert (await ann.pay(total)).order_id == orders[0].order_id

    async def test_a_retry_after_a_lost_answer_gets_the_order_though_its_coupon_is_used_up(self, shop, ann):
        await coupon(shop, uses=1, uses_per_buyer=1)
        total = (await ann.quote(coupon="TEN")).total.amount
        order = await ann.pay(total, coupon="TEN")
        assert (await ann.pay(total, key="other", coupon="TEN")).order_id == order.order_id

    async def test_the_same_key_for_another_basket_is_a_mismatch(self, ann):
        total = (await ann.quote()).total.amount
        await ann.pay(total)
        with pytest.raises(IdempotencyMismatch):
            await ann.pay(total + 1)

    async def test_two_baskets_that_share_a_hold_sell_it_once(self, shop, ann):
        other = Buyer(shop, [ann.holds[1], await shop.tap("ann", variant="pot")])
        totals = (await ann.quote()).total.amount, (await other.quote()).total.amount
        outcomes = await asyncio.gather(
            shop.outcome(ann.pay(totals[0], key="a")), shop.outcome(other.pay(totals[1], key="b"))
        )
        assert sorted(outcomes) == ["conflict", "ok"]
        assert await shop.pg.fetchval("SELECT count(*) FROM orders") == 1
        await shop.all_said()
        assert (await shop.verify()).problems == []

    async def test_a_hold_of_somebody_else_is_not_found(self, shop, ann):
        bobs = await shop.tap("bob", variant="mug")
        for basket in (Buyer(shop, [*ann.holds, bobs]), Buyer(shop, [bobs])):
            with pytest.raises(NotFound):
                await basket.quote()
            with pytest.raises(NotFound):
                await basket.pay(4900)

    async def test_a_slow_bank_leaves_all_of_them_paying_until_it_says_yes(self, shop, ann):
        total = (await ann.quote()).total.amount
        paying = await ann.pay(total, "fake_slow")
        assert [hold.state for hold in paying.holds] == ["paying", "paying"]

        async def sold() -> bool:
            return await ann.states() == ["sold", "sold"]

        await shop.eventually(sold)
        assert (await ann.pay(total, "fake_slow", key="again")).total.amount == total


class TestCoupons:
    @pytest.mark.parametrize(
        ("more", "reason"),
        [
            ({"from_ms": 4_000_000_000_000}, "coupon_over"),
            ({"until_ms": 1}, "coupon_over"),
            ({"minimum": 6899}, "coupon_minimum"),
            ({"uses": 0}, "coupon_used_up"),
            ({"uses_per_buyer": 0}, "coupon_used"),
        ],
    )
    async def test_it_is_refused_at_the_quote_and_at_paying_for_the_same_reason(self, shop, ann, more, reason):
        await coupon(shop, **more)
        quote = await ann.quote(coupon="TEN")
        assert (quote.coupon_refused, quote.discount.amount) == (reason, 0)
        with pytest.raises(CouponRefused) as refused:
            await ann.pay(quote.total.amount, coupon="TEN")
        assert refused.value.extra == {"reason": reason}
        assert await ann.states() == ["held", "held"]

    async def test_one_that_does_not_exist_is_unknown(self, ann):
        assert (await ann.quote(coupon="NONE")).coupon_refused == "coupon_unknown"

    async def test_the_last_use_is_taken_by_one_of_many(self, shop, ann):
        await coupon(shop, amount=500, percent_bp=None, uses=1)
        baskets = [Buyer(shop, [hold]) for hold in ann.holds]
        totals = [(await basket.quote(coupon="TEN")).total.amount for basket in baskets]
        work = (
            basket.pay(total, key=f"k{i}", coupon="TEN")
            for i, (basket, total) in enumerate(zip(baskets, totals, strict=True))
        )
        outcomes = await asyncio.gather(*(shop.outcome(each) for each in work))
        assert sorted(outcomes) == ["coupon_refused", "ok"]
        assert await shop.pg.fetchval("SELECT used FROM coupons") == 1


class TestCharges:
    async def test_a_country_it_does_not_ship_to_is_named(self, shop, ann):
        await shop.desk.charges.put(shop.show_id, RATES)
        with pytest.raises(Invalid) as refused:
            await ann.quote(country="FR")
        assert refused.value.pointer == "/country"

    async def test_a_method_it_does_not_ship_by_is_named(self, shop, ann):
        await shop.desk.charges.put(shop.show_id, RATES)
        assert (await ann.quote(country="DE", shipping_method="express")).shipping.amount == 990
        with pytest.raises(Invalid) as refused:
            await ann.quote(country="AT", shipping_method="express")
        assert refused.value.pointer == "/shipping_method"

    async def test_a_hold_paid_alone_contains_the_tax_of_the_home_country_and_ships_for_nothing(self, shop, ann):
        await shop.desk.charges.put(shop.show_id, RATES)
        order = await shop.pay_for("ann", ann.holds[0])
        assert (order.total.amount, order.amounts.tax.amount, order.amounts.shipping.amount) == (4900, 782, 0)

    async def test_where_shipping_is_required_nobody_pays_without_a_country(self, shop, ann):
        await shop.desk.charges.put(shop.show_id, msgspec.structs.replace(RATES, shipping_required=True))
        with pytest.raises(Conflict):
            await shop.pay_for("ann", ann.holds[0])
        with pytest.raises(Invalid):
            await ann.quote()
        assert isinstance(await ann.pay((await ann.quote(country="DE")).total.amount, country="DE"), Order)

    @pytest.mark.parametrize(
        "twice",
        [
            Charges(tax=[TaxRate(country="DE", rate_bp=1), TaxRate(country="DE", rate_bp=2)]),
            Charges(shipping=[RATES.shipping[0], RATES.shipping[0]]),
            Charges(shipping_required=True),
        ],
    )
    async def test_rates_that_contradict_each_other_are_refused(self, shop, desk, twice):
        with pytest.raises(Invalid):
            await desk.charges.put(shop.show_id, twice)
        assert await desk.charges.get(shop.show_id) == Charges()

    async def test_a_show_that_does_not_exist_has_none(self, desk):
        with pytest.raises(NotFound):
            await desk.charges.put("nowhere", RATES)


class TestRefunds:
    @pytest.fixture
    async def order(self, shop, ann):
        order = await ann.pay((await ann.quote()).total.amount)
        await shop.captured(order)
        return order

    async def test_one_line_by_name_returns_its_money_and_its_units_once(self, shop, ann, order):
        line = RefundLine(hold_id=ann.ids[1])
        refund = await shop.desk.refund(shop.operator, order.order_id, key="r", lines=[line])
        assert (refund.amount.amount, refund.units_returned, refund.order_state) == (1998, 2, "partially_refunded")
        again = await shop.desk.refund(shop.operator, order.order_id, key="r", lines=[line])
        assert again == refund
        with pytest.raises(Conflict):
            await shop.desk.refund(shop.operator, order.order_id, lines=[line])
        assert (await shop.stock("mug")).available == await shop.gate_available("mug") == 5
        assert (await shop.stock("pot")).available == 4
        rest = await shop.desk.refund(shop.operator, order.order_id)
        assert (rest.amount.amount, rest.units_returned, rest.order_state) == (4900, 1, "refunded")
        await shop.all_said()
        assert (await shop.verify()).problems == []

    async def test_parts_of_the_whole_are_apportioned_as_the_core_does_it_and_the_last_returns_the_units(
        self, shop, ann, order
    ):
        left = [4900, 1998]
        for amount in (1000, 1, 3333, 7, 2556):
            refund = await shop.desk.refund(shop.operator, order.order_id, amount)
            assert refund.units_returned == 0
            parts = apportion(amount, left)
            left = [before - part for before, part in zip(left, parts, strict=True)]
            lines = (await shop.desk.get_order(shop.operator, order.order_id)).lines
            assert [line.total.amount - line.refunded.amount for line in lines] == left
        last = await shop.desk.refund(shop.operator, order.order_id)
        assert (last.amount.amount, last.units_returned) == (1, 3)
        await shop.all_said()
        assert (await shop.verify()).problems == []

    async def test_more_than_is_left_of_a_line_or_a_line_of_another_order_is_refused(self, shop, ann, order):
        for line, error in (
            (RefundLine(hold_id=ann.ids[1], amount=1999), Conflict),
            (RefundLine(hold_id="x"), Invalid),
        ):
            with pytest.raises(error):
                await shop.desk.refund(shop.operator, order.order_id, lines=[line])
        with pytest.raises(Invalid):
            await shop.desk.refund(shop.operator, order.order_id, 5, lines=[RefundLine(hold_id=ann.ids[0])])
        assert await shop.pg.fetchval("SELECT count(*) FROM refunds") == 0

    async def test_a_failed_capture_returns_the_units_of_every_line_once(self, shop, ann):
        order = await ann.pay((await ann.quote()).total.amount, "fake_capture_fails")
        await shop.captured(order)
        for variant in ("pot", "mug"):
            assert (await shop.stock(variant)).available == await shop.gate_available(variant) == 5
        assert (await shop.verify()).problems == []


class TestVerifying:
    """Each of these, done behind the desk's back, is found."""

    @pytest.fixture
    async def sold(self, shop, ann):
        await coupon(shop)
        order = await ann.pay((await ann.quote(coupon="TEN")).total.amount, coupon="TEN")
        await shop.captured(order)
        await shop.desk.refund(shop.operator, order.order_id, lines=[RefundLine(hold_id=ann.ids[1])])
        await shop.all_said()
        assert (await shop.verify()).problems == []
        return shop

    @pytest.mark.parametrize(
        "deed",
        [
            "UPDATE payment_lines SET discount = discount - 1, total = total + 1 WHERE position = 0",
            "UPDATE payment_lines SET goods = goods + 1 - 2 * position, total = total + 1 - 2 * position, refunded = 0",
            "UPDATE payment_lines SET refunded = 0 WHERE position = 1",
            "UPDATE refund_lines SET amount = amount - 1",
            "UPDATE coupons SET used = 0",
            "UPDATE coupon_uses SET state = 'returned'",
            "UPDATE holds SET returned = false",
            "UPDATE holds SET goods = 1 WHERE variant_id = 'pot'",
        ],
    )
    async def test_what_somebody_changed_is_found(self, sold, deed):
        await sold.pg.execute(deed)
        assert (await sold.verify()).problems != []
