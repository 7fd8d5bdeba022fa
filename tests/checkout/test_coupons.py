"""Entering, listing and pinning coupons; what they do to a basket is in test_baskets.py."""

import pytest

from schema.errors import Conflict, Invalid, NotFound
from schema.offers import CouponRequest


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
