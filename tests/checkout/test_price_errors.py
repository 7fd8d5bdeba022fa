"""A price that was wrong for a while, taken back in one action."""

import asyncio

import pytest

from checkout.core.receipt import Signer
from checkout.counts import Counts
from checkout.exports import Exports
from checkout.price_errors import PriceErrors
from checkout.receipts import Receipts
from checkout.truth import Truth
from schema.basket import BasketPayRequest
from schema.errors import NotFound
from schema.order import Order
from schema.price_error import PriceErrorRequest

WRONG = PriceErrorRequest(variant_id="pot", amount=490)


@pytest.fixture
def errors(shop, desk):
    return PriceErrors(Truth(shop.pg, Counts()), desk)


@pytest.fixture
async def mispriced(shop, desk):
    """Two orders and a hold at 4.90, one order and one hold at the right price."""
    await shop.item(stock=20, price=490, limit=5)
    wrong = [await shop.buy("ann"), await shop.buy("bob", quantity=2)]
    held = await shop.tap("cat")
    await shop.pg.execute("UPDATE show_items SET price_amount = 4900")
    right = await shop.buy("dan")
    await shop.tap("eve")
    for order in (*wrong, right):
        await shop.captured(order)
    return wrong, held, right


async def test_what_was_tapped_at_the_price_is_listed_and_nothing_else(shop, errors, mispriced):
    wrong, held, _ = mispriced
    page = await errors.affected(shop.show_id, WRONG)
    assert [(one.kind, one.order_id) for one in page.items] == [
        ("order", wrong[0].order_id), ("order", wrong[1].order_id), ("hold", None),
    ]  # fmt: skip
    assert page.items[2].hold_id == held.hold_id
    assert (page.orders, page.holds, page.amount.amount) == (2, 1, 3 * 490)
    first = await errors.affected(shop.show_id, WRONG, limit=2)
    rest = await errors.affected(shop.show_id, WRONG, first.next_cursor)
    assert [*first.items, *rest.items] == page.items


async def test_a_span_of_time_narrows_it(shop, errors, mispriced):
    _, held, _ = mispriced
    narrow = PriceErrorRequest(variant_id="pot", amount=490, from_ms=held.created_at_ms, to_ms=held.created_at_ms + 1)
    assert held.hold_id in {one.hold_id for one in (await errors.affected(shop.show_id, narrow)).items}
    before = PriceErrorRequest(variant_id="pot", amount=490, to_ms=1)
    assert (await errors.affected(shop.show_id, before)).items == []


async def test_one_action_refunds_and_releases_all_of_it_and_only_it(shop, desk, errors, mispriced):
    wrong, held, right = mispriced
    done = await errors.roll_back(shop.operator, shop.show_id, WRONG)
    assert (sorted(one.outcome for one in done.results), done.left) == (["refunded", "refunded", "released"], 0)
    for order in wrong:
        assert (await desk.get_order(shop.operator, order.order_id)).state == "refunded"
    assert (await desk.get_order(shop.operator, right.order_id)).refunded.amount == 0
    assert await shop.hold_state(held) == "released"
    stock = await shop.stock()
    assert (stock.on_hand, stock.held, stock.available) == (19, 1, 18)
    again = await errors.roll_back(shop.operator, shop.show_id, WRONG)
    assert (again.results, again.left) == ([], 0)
    assert (await shop.verify()).problems == []


async def test_it_goes_on_where_it_stopped_in_bounded_steps(shop, errors, mispriced):
    step = PriceErrorRequest(variant_id="pot", amount=490, limit=1)
    left = [(await errors.roll_back(shop.operator, shop.show_id, step)).left for _ in range(4)]
    assert left == [2, 1, 0, 0]
    assert (await shop.verify()).problems == []


async def test_two_operators_at_once_give_back_once(shop, errors, mispriced):
    other = shop.operator.__class__(account_id="op2", role=shop.operator.role, name="Op 2")
    both = await asyncio.gather(
        errors.roll_back(shop.operator, shop.show_id, WRONG), errors.roll_back(other, shop.show_id, WRONG)
    )
    refunded = [one for each in both for one in each.results if one.outcome == "refunded"]
    assert len(refunded) == 2
    assert await shop.pg.fetchval("SELECT sum(amount) FROM refunds") == 3 * 490
    assert (await shop.verify()).problems == []


async def test_a_part_that_was_given_back_before_is_not_given_again(shop, desk, errors, mispriced):
    wrong, _, _ = mispriced
    await desk.refund(shop.operator, wrong[0].order_id, 90)
    assert (await errors.affected(shop.show_id, WRONG)).amount.amount == 3 * 490 - 90
    await errors.roll_back(shop.operator, shop.show_id, WRONG)
    assert await shop.pg.fetchval("SELECT sum(amount) FROM refunds") == 3 * 490


async def test_what_is_being_paid_for_is_left_until_it_has_ended(shop, desk, errors):
    await shop.item(stock=5, price=490)
    hold, _ = await shop.authorized("ann")
    done = await errors.roll_back(shop.operator, shop.show_id, WRONG)
    assert (done.results, done.left) == ([], 1)
    assert await shop.hold_state(hold) == "paying"
    order = await shop.pay_for("ann", hold)
    assert isinstance(order, Order)
    await shop.captured(order)
    assert (await errors.roll_back(shop.operator, shop.show_id, WRONG)).left == 0


async def test_a_variant_that_is_not_on_sale_is_not_found(shop, errors):
    with pytest.raises(NotFound):
        await errors.affected(shop.show_id, WRONG)
    with pytest.raises(NotFound):
        await errors.roll_back(shop.operator, shop.show_id, WRONG)


async def test_of_a_basket_only_the_item_at_the_wrong_price_is_given_back(shop, desk, errors):
    await shop.item(stock=5, price=490)
    await shop.item("mug", stock=5, price=1200)
    holds = [await shop.tap("ann"), await shop.tap("ann", variant="mug")]
    request = BasketPayRequest(hold_ids=[hold.hold_id for hold in holds], total=1690, payment_method="fake_ok")
    order = await desk.pay_basket(shop.viewer("ann"), shop.show_id, request, "k")
    await shop.captured(order)
    assert (await errors.affected(shop.show_id, WRONG)).amount.amount == 490
    done = await errors.roll_back(shop.operator, shop.show_id, WRONG)
    assert ([one.amount.amount for one in done.results], done.left) == ([490], 0)
    after = await desk.get_order(shop.operator, order.order_id)
    assert (after.state, after.refunded.amount) == ("partially_refunded", 490)
    assert [line.returned for line in after.lines] == [True, False]
    assert ((await shop.stock()).available, (await shop.stock("mug")).available) == (5, 4)
    exported = Exports(Truth(shop.pg, Counts()))
    lines = b"".join([piece async for piece in await exported.orders(shop.show_id)]).decode().splitlines()[1:]
    assert sorted(line.split(",")[12:15] for line in lines) == [["12.00", "0.00", "12.00"], ["4.90", "4.90", "0.00"]]
    receipts = Receipts(Truth(shop.pg, Counts()), Signer("a secret of the tests, long enough"))
    receipt = await receipts.of(shop.viewer("ann"), order.order_id)
    assert {(line.variant_id, line.total.amount) for line in receipt.lines} == {("pot", 490), ("mug", 1200)}
    assert receipt.total.amount == 1690
    assert (await shop.verify()).problems == []
