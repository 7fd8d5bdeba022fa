"""Flash prices: exact in units and in time, kept by holds, never begun twice."""

import asyncio
import time
from collections import Counter

import asyncpg
import pytest

from schema.errors import Conflict, IdempotencyMismatch, Invalid, LimitReached, NotFound, PriceWasChanged
from schema.hold import HoldRequest
from schema.ids import AccountId
from schema.offers import FlashPriceRequest

BY = AccountId("host")


def now_ms() -> int:
    return time.time_ns() // 1_000_000


async def begin(shop, *, price=3900, quantity=5, lasts_ms=60_000, limit=None, key=""):
    asked = FlashPriceRequest(
        price_amount=price, quantity=quantity, ends_at_ms=now_ms() + lasts_ms, limit_per_buyer=limit
    )
    await shop.desk.flashes.begin(shop.show_id, "pot", asked, by=BY, key=key)


async def time_passes(shop):
    """The running one's end is now: an end may come earlier, so the clock need not be waited for."""
    await shop.pg.execute("UPDATE flash_prices SET until_ms = clock_ms() - 1")


async def tap_at(shop, who, price, key=None):
    request = HoldRequest(variant_id="pot", unit_price_amount=price)
    return await shop.desk.hold(shop.viewer(who), shop.show_id, request, key or who)


@pytest.fixture
async def knife(shop, desk):
    """An item at 59, a dozen of them."""
    await shop.item("pot", stock=12, price=5900, limit=5)
    return shop


async def test_so_many_units_cost_less_and_the_next_one_does_not(knife):
    await begin(knife, quantity=2)
    prices = [(await knife.tap(f"b{i}")).unit_price.amount for i in range(4)]
    assert prices == [3900, 3900, 5900, 5900]
    assert (await knife.verify()).problems == []


async def test_a_rush_in_one_batch_gets_it_exactly_so_often(knife):
    await begin(knife, quantity=5)
    holds = await asyncio.gather(*(knife.tap(f"b{i}") for i in range(12)))
    assert Counter(hold.unit_price.amount for hold in holds) == {3900: 5, 5900: 7}
    assert await knife.pg.fetchval("SELECT used FROM flash_prices") == 5
    assert (await knife.verify()).problems == []


async def test_a_hold_has_one_price_so_one_that_wants_more_than_is_left_pays_the_ordinary_one(knife):
    await begin(knife, quantity=3)
    holds = await asyncio.gather(knife.tap("a", quantity=2), knife.tap("b", quantity=2), knife.tap("c"), knife.tap("d"))
    assert [hold.unit_price.amount for hold in holds] == [3900, 5900, 3900, 5900]


async def test_when_its_end_has_passed_the_old_price_is_refused_and_the_new_one_is_taken(knife):
    await begin(knife)
    assert (await tap_at(knife, "ann", 3900)).unit_price.amount == 3900
    await time_passes(knife)
    with pytest.raises(PriceWasChanged):
        await tap_at(knife, "bob", 3900)
    with pytest.raises(PriceWasChanged):  # and the same key gets the same answer
        await tap_at(knife, "bob", 3900)
    assert await knife.pg.fetchval("SELECT count(*) FROM holds WHERE buyer_id = 'bob'") == 0
    assert (await tap_at(knife, "bob", 5900, "again")).unit_price.amount == 5900
    assert (await knife.stock()).available == await knife.gate_available() == 10


async def test_who_says_nothing_about_the_price_gets_the_one_of_the_moment(knife):
    await begin(knife)
    await time_passes(knife)
    assert (await knife.tap("ann")).unit_price.amount == 5900


async def test_without_a_flash_price_another_price_than_the_items_is_refused_too(knife):
    with pytest.raises(PriceWasChanged):
        await tap_at(knife, "ann", 100)
    assert (await tap_at(knife, "ann", 5900, "k")).unit_price.amount == 5900


async def test_in_one_batch_each_gets_what_they_saw_or_nothing(knife):
    await begin(knife, quantity=2)
    work = [tap_at(knife, f"b{i}", 3900) for i in range(5)] + [tap_at(knife, f"c{i}", 5900) for i in range(2)]
    outcomes = await asyncio.gather(*(knife.outcome(each) for each in work))
    assert Counter(outcomes[:5]) == {"ok": 2, "price_changed": 3}
    amounts = await knife.pg.fetch("SELECT unit_amount FROM holds WHERE buyer_id LIKE 'b%'")
    assert [row["unit_amount"] for row in amounts] == [3900, 3900]
    assert (await knife.verify()).problems == []


async def test_a_hold_keeps_its_price_through_paying(knife):
    await begin(knife)
    hold = await knife.tap("ann")
    await time_passes(knife)
    order = await knife.pay_for("ann", hold)
    assert order.total.amount == 3900
    await knife.captured(order)
    assert (await knife.verify()).problems == []


async def test_units_of_a_hold_that_ends_are_had_at_that_price_again_and_of_a_refund_are_not(knife, desk):
    await begin(knife, quantity=1)
    hold = await knife.tap("ann")
    await desk.release(knife.viewer("ann"), hold.hold_id)
    order = await knife.buy("bob")
    assert order.total.amount == 3900
    await desk.refund(knife.operator, order.order_id)
    assert (await knife.tap("cat")).unit_price.amount == 5900
    assert (await knife.verify()).problems == []


async def test_its_own_limit_counts_at_that_price(knife):
    await begin(knife, limit=1)
    await knife.tap("ann")
    with pytest.raises(LimitReached):
        await knife.tap("ann")
    await time_passes(knife)
    assert (await knife.tap("ann")).unit_price.amount == 5900


async def test_an_offer_of_the_waitlist_has_it_while_some_is_left(knife, desk):
    await begin(knife, quantity=1)
    first = await knife.tap("ann")
    await knife.tap("bob", quantity=5)
    await knife.tap("cat", quantity=5)
    await knife.tap("dan")
    await desk.waitlist.join(knife.viewer("eve"), knife.show_id, HoldRequest(variant_id="pot"))
    await desk.release(knife.viewer("ann"), first.hold_id)

    async def offered() -> bool:
        return await knife.pg.fetchval("SELECT count(*) FROM holds WHERE buyer_id = 'eve'") == 1

    await knife.eventually(offered)
    assert await knife.pg.fetchval("SELECT unit_amount FROM holds WHERE buyer_id = 'eve'") == 3900
    assert (await knife.verify()).problems == []


class TestHonestUrgency:
    async def test_one_runs_at_a_time(self, knife):
        await begin(knife)
        with pytest.raises(Conflict):
            await begin(knife, price=3800)

    async def test_a_countdown_does_not_begin_again(self, knife, desk):
        await begin(knife)
        await desk.flashes.end(knife.show_id, "pot")
        with pytest.raises(Conflict) as refused:
            await begin(knife)
        assert refused.value.extra["not_before_ms"] > now_ms()
        await knife.pg.execute("ALTER TABLE flash_prices DISABLE TRIGGER flash_prices_keep")
        await knife.pg.execute("UPDATE flash_prices SET until_ms = until_ms - 600001")
        await begin(knife)

    async def test_no_statement_makes_it_longer_cheaper_or_more(self, knife):
        await begin(knife)
        for column in ("until_ms", "amount", "quantity"):
            with pytest.raises(asyncpg.CheckViolationError):
                await knife.pg.execute(f"UPDATE flash_prices SET {column} = {column} + 1")

    async def test_it_is_less_than_the_price_and_not_over_before_it_begins(self, knife):
        with pytest.raises(Invalid):
            await begin(knife, price=5900)
        with pytest.raises(Invalid):
            await begin(knife, lasts_ms=-1)

    async def test_an_item_that_is_not_on_sale_has_none(self, shop, desk):
        with pytest.raises(NotFound):
            await begin(shop)

    async def test_a_retry_with_its_key_begins_one(self, knife):
        await begin(knife, key="k")
        await begin(knife, key="k")
        assert await knife.pg.fetchval("SELECT count(*) FROM flash_prices") == 1
        with pytest.raises(IdempotencyMismatch):
            await begin(knife, key="k", price=3800)


@pytest.mark.parametrize("deed", ["UPDATE flash_prices SET used = 0", "UPDATE holds SET unit_amount = 1"])
async def test_a_flash_price_that_was_counted_wrong_is_found(knife, deed):
    await begin(knife)
    await knife.tap("ann")
    assert (await knife.verify()).problems == []
    await knife.pg.execute(deed)
    assert (await knife.verify()).problems != []
