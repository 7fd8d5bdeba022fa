"""Entering, listing and pinning coupons; what they do to a basket is in test_baskets.py."""

import pytest

from checkout.outbox import Outbox
from checkout.payments import ProviderFailed
from schema.basket import BasketPayRequest
from schema.errors import Conflict, CouponRefused, Invalid, NotFound
from schema.offers import CouponRequest
from schema.order import Order


async def test_one_is_entered_once_and_listed(shop, desk):
    made = await desk.coupons.create(shop.show_id, CouponRequest(code="TEN", percent_bp=1000, uses=3))
    assert (made.percent_bp, made.amount, made.used, made.pinned) == (1000, None, 0, False)
    with pytest.raises(Conflict):
        await desk.coupons.create(shop.show_id, CouponRequest(code="TEN", amount=500))
    assert (await desk.coupons.all(shop.show_id)).items == [made]


@pytest.mark.parametrize("more", [{}, {"percent_bp": 1, "amount": 1}])
async def test_it_takes_off_a_share_or_an_amount(shop, desk, more):
    with pytest.raises(Invalid):
        await desk.coupons.create(shop.show_id, CouponRequest(code="TEN", **more))


async def test_one_of_a_show_is_pinned_and_the_next_takes_its_place(shop, desk):
    for code in ("A", "B"):
        await desk.coupons.create(shop.show_id, CouponRequest(code=code, amount=500))
        assert (await desk.coupons.pin(shop.show_id, code)).pinned
    assert [each.code for each in (await desk.coupons.all(shop.show_id)).items if each.pinned] == ["B"]
    with pytest.raises(NotFound):
        await desk.coupons.pin(shop.show_id, "C")
    assert [each.code for each in (await desk.coupons.all(shop.show_id)).items if each.pinned] == ["B"]
    assert await desk.coupons.pin(shop.show_id, None) is None
    assert not any(each.pinned for each in (await desk.coupons.all(shop.show_id)).items)


async def test_a_show_that_does_not_exist_has_none(desk):
    with pytest.raises(NotFound):
        await desk.coupons.create("nowhere", CouponRequest(code="TEN", amount=500))


class TestComingBack:
    """When nothing of its order is left, a coupon's use goes back; once."""

    @staticmethod
    async def order(shop, desk, method="fake_ok", units=1):
        await shop.item(stock=5, price=4900)
        await desk.coupons.create(shop.show_id, CouponRequest(code="TEN", percent_bp=1000, uses=1, uses_per_buyer=1))
        hold = await shop.tap("ann", quantity=units)
        asked = BasketPayRequest(hold_ids=[hold.hold_id], total=4410 * units, payment_method=method, coupon="TEN")
        return await desk.pay_basket(shop.viewer("ann"), shop.show_id, asked, "pay")

    @staticmethod
    async def used(shop, desk) -> int:
        (coupon,) = (await desk.coupons.all(shop.show_id)).items
        assert (await shop.verify()).problems == []
        return coupon.used

    async def test_with_a_refund_in_full_and_not_before(self, shop, desk):
        order = await self.order(shop, desk)
        await shop.captured(order)
        await desk.refund(shop.operator, order.order_id, 410, "part")
        assert await self.used(shop, desk) == 1
        await desk.refund(shop.operator, order.order_id, None, "rest")
        assert await self.used(shop, desk) == 0
        await desk.refund(shop.operator, order.order_id, None, "rest")
        assert await self.used(shop, desk) == 0

    async def test_its_buyer_may_use_it_again(self, shop, desk):
        order = await self.order(shop, desk)
        await shop.captured(order)
        hold = await shop.tap("ann")
        asked = BasketPayRequest(hold_ids=[hold.hold_id], total=4410, payment_method="fake_ok", coupon="TEN")
        with pytest.raises(CouponRefused):
            await desk.pay_basket(shop.viewer("ann"), shop.show_id, asked, "again")
        await desk.refund(shop.operator, order.order_id)
        assert isinstance(await desk.pay_basket(shop.viewer("ann"), shop.show_id, asked, "again-2"), Order)
        assert await self.used(shop, desk) == 1

    async def test_with_a_cancellation_twice_is_once(self, shop, monkeypatch):
        async def no_answer(*_) -> None:
            raise ProviderFailed("the payment network does not answer")

        monkeypatch.setattr(Outbox, "_capture", no_answer)
        desk = await shop.open(pace=shop.idle)
        order = await self.order(shop, desk)
        await desk.cancel(shop.viewer("ann"), order.order_id)
        await desk.cancel(shop.viewer("ann"), order.order_id)
        assert await self.used(shop, desk) == 0

    async def test_with_a_capture_that_fails(self, shop, desk):
        order = await self.order(shop, desk, "fake_capture_fails")
        await shop.captured(order)
        assert await self.used(shop, desk) == 0

    async def test_without_the_trigger_verify_finds_it(self, shop, desk):
        await shop.pg.execute("DROP TRIGGER coupon_comes_back ON orders")
        order = await self.order(shop, desk)
        await shop.captured(order)
        await desk.refund(shop.operator, order.order_id)
        assert (await shop.verify()).problems != []
