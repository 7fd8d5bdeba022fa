"""Bundles: they draw the stock of their parts, all or nothing, and are paid for and given back as one."""

import asyncio
from collections import Counter

import pytest

from checkout.desk import Pace
from checkout.gate import Product
from schema.basket import BasketPayRequest, QuoteRequest
from schema.errors import IdempotencyMismatch, Invalid, LimitReached, NotFound, SoldOutError, Unavailable
from schema.hold import HoldRequest
from schema.order import Order


async def bundle(shop, *parts, price=6500, name="set"):
    await shop.pg.execute("INSERT INTO bundles VALUES ($1, $2, 'Set', '', $3, 'EUR', 0)", shop.show_id, name, price)
    for variant, units in parts:
        await shop.pg.execute("INSERT INTO bundle_parts VALUES ($1, $2, $3, $4)", shop.show_id, name, variant, units)


@pytest.fixture
async def kitchen(shop, desk):
    """A pot at 49, of which there are 5, and an apron at 24, of which there are 3: together 65."""
    await shop.item("pot", stock=5, price=4900, limit=5)
    await shop.item("apron", stock=3, price=2400, limit=5)
    await bundle(shop, ("pot", 1), ("apron", 1))
    return shop


async def available(shop):
    truth = [(await shop.stock(variant)).available for variant in ("pot", "apron")]
    assert truth == [await shop.gate_available(variant) for variant in ("pot", "apron")]
    return truth


async def test_it_holds_each_part_and_its_price_is_apportioned_to_the_cent(kitchen, desk):
    hold = await kitchen.tap("ann", variant="set", key="k")
    assert hold.bundle.total.amount == 6500
    parts = [await desk.get_hold(kitchen.operator, part) for part in hold.bundle.hold_ids]
    assert [(part.variant_id, part.total.amount) for part in parts] == [("apron", 2137), ("pot", 4363)]
    assert await available(kitchen) == [4, 2]
    assert await kitchen.tap("ann", variant="set", key="k") == hold
    assert await available(kitchen) == [4, 2]


async def test_the_whole_is_paid_for_by_either_of_its_holds_into_one_order(kitchen, desk):
    for which in (0, 1):
        hold = await kitchen.tap(f"b{which}", variant="set")
        part = await desk.get_hold(kitchen.operator, hold.bundle.hold_ids[which])
        order = await kitchen.pay_for(f"b{which}", part)
        assert isinstance(order, Order)
        assert order.total.amount == 6500
        assert {line.bundle_id for line in order.lines} == {"set"}
        await kitchen.captured(order)
    assert (await kitchen.verify()).problems == []


async def test_a_basket_with_one_part_brings_the_others(kitchen, desk):
    hold = await kitchen.tap("ann", variant="set")
    ids = [hold.bundle.hold_ids[1]]
    quote = await desk.quote(kitchen.viewer("ann"), kitchen.show_id, QuoteRequest(hold_ids=ids))
    assert (quote.total.amount, len(quote.lines)) == (6500, 2)
    request = BasketPayRequest(hold_ids=ids, total=6500, payment_method="fake_ok")
    assert len((await desk.pay_basket(kitchen.viewer("ann"), kitchen.show_id, request, "p")).lines) == 2


async def test_it_is_sold_out_when_one_part_is_and_what_was_admitted_goes_back(kitchen, desk):
    for i in range(3):
        await kitchen.tap(f"b{i}", variant="apron")
    with pytest.raises(SoldOutError):
        await kitchen.tap("ann", variant="set")
    assert await available(kitchen) == [5, 0]
    assert await kitchen.pg.fetchval("SELECT count(*) FROM holds WHERE bundle_id IS NOT NULL") == 0


async def test_a_gate_that_refuses_the_second_part_returns_the_first(kitchen, desk):
    await kitchen.tap("a", variant="pot", quantity=5)
    with pytest.raises(SoldOutError):
        await kitchen.tap("ann", variant="set")
    assert await available(kitchen) == [0, 3]


async def test_letting_one_part_go_lets_all_of_it_go_once(kitchen, desk):
    hold = await kitchen.tap("ann", variant="set")
    for _ in range(2):
        await desk.release(kitchen.viewer("ann"), hold.bundle.hold_ids[1])
    assert await available(kitchen) == [5, 3]
    assert (await kitchen.verify()).problems == []


async def test_it_lapses_as_a_whole(kitchen, desk):
    hold = await kitchen.tap("ann", variant="set")
    await kitchen.lapse()

    async def back() -> bool:
        return [(await kitchen.stock(variant)).available for variant in ("pot", "apron")] == [5, 3]

    await kitchen.eventually(back)
    assert await kitchen.outcome(kitchen.pay_for("ann", hold)) == "hold_lapsed"


async def test_a_decline_gives_no_part_away(kitchen, desk):
    hold = await kitchen.tap("ann", variant="set")
    assert await kitchen.outcome(kitchen.pay_for("ann", hold, "fake_declined")) == "payment_declined"
    assert {await kitchen.hold_state(part) for part in [hold]} == {"held"}
    assert isinstance(await kitchen.pay_for("ann", hold), Order)


async def test_the_limit_of_a_part_counts(kitchen, desk):
    await kitchen.tap("ann", variant="pot", quantity=5)
    with pytest.raises(LimitReached):
        await kitchen.tap("ann", variant="set")


async def test_a_key_is_one_wish(kitchen, desk):
    await kitchen.tap("ann", variant="set", key="k")
    with pytest.raises(IdempotencyMismatch):
        await kitchen.tap("ann", variant="pot", key="k")
    await kitchen.tap("bob", variant="pot", key="k2")
    with pytest.raises((IdempotencyMismatch, SoldOutError)):
        await kitchen.tap("bob", variant="set", key="k2")


async def test_what_is_no_bundle_and_no_item_is_not_found(kitchen):
    with pytest.raises(NotFound):
        await kitchen.tap("ann", variant="nothing")


async def test_several_units_of_a_part_at_an_odd_price_sum_to_it(shop, desk):
    await shop.item("cup", stock=9, price=999, limit=9)
    await shop.item("jug", stock=9, price=1500, limit=9)
    await bundle(shop, ("cup", 3), ("jug", 1), price=4000)
    hold = await shop.tap("ann", variant="set", quantity=2)
    order = await shop.pay_for("ann", hold)
    assert (order.total.amount, [line.quantity for line in order.lines]) == (8000, [6, 2])
    await shop.captured(order)
    assert (await shop.verify()).problems == []


async def test_a_rush_on_bundles_and_their_parts_sells_no_unit_twice(kitchen, desk):
    wishes = [("set", f"s{i}") for i in range(20)] + [("apron", f"a{i}") for i in range(20)]
    outcomes = await asyncio.gather(*(kitchen.outcome(kitchen.tap(who, variant=what)) for what, who in wishes))
    got = Counter(what for (what, _), outcome in zip(wishes, outcomes, strict=True) if outcome == "ok")
    assert got["set"] + got["apron"] <= 3
    assert (await kitchen.stock("apron")).available == 3 - got["set"] - got["apron"]
    assert (await kitchen.stock("pot")).held == got["set"]
    assert (await kitchen.verify()).problems == []


async def test_without_redis_it_is_decided_by_postgres_alone(shop):
    await shop.open(redis=shop.dead_redis())
    await shop.item("pot", stock=1, limit=5)
    await shop.item("apron", stock=1, limit=5)
    await bundle(shop, ("pot", 1), ("apron", 1))
    outcomes = await asyncio.gather(*(shop.outcome(shop.tap(f"b{i}", variant="set")) for i in range(5)))
    assert Counter(outcomes) == {"ok": 1, "sold_out": 4}


@pytest.mark.parametrize(
    "deed",
    [
        "UPDATE holds SET bundle_hold_id = NULL WHERE variant_id = 'pot'",
        "UPDATE holds SET order_id = NULL WHERE variant_id = 'pot'",
        "UPDATE holds SET goods = goods + 1 WHERE variant_id = 'pot'",
    ],
)
async def test_a_bundle_that_was_torn_apart_is_found(kitchen, desk, deed):
    await kitchen.captured(await kitchen.pay_for("ann", await kitchen.tap("ann", variant="set")))
    assert (await kitchen.verify()).problems == []
    await kitchen.pg.execute(deed)
    assert (await kitchen.verify()).problems != []


async def test_it_has_no_waitlist_and_what_is_in_it_has(kitchen, desk):
    await kitchen.tap("ann", variant="apron", quantity=3)
    with pytest.raises(SoldOutError):
        await kitchen.tap("bob", variant="set")
    with pytest.raises(Invalid, match="no waitlist"):
        await desk.waitlist.join(kitchen.viewer("bob"), kitchen.show_id, HoldRequest(variant_id="set"))
    with pytest.raises(NotFound):
        await desk.waitlist.join(kitchen.viewer("bob"), kitchen.show_id, HoldRequest(variant_id="no such"))
    place = await desk.waitlist.join(kitchen.viewer("bob"), kitchen.show_id, HoldRequest(variant_id="apron"))
    assert place.state == "waiting"


async def test_what_somebody_waits_for_goes_into_no_bundle(kitchen, desk):
    holds = [await kitchen.tap("ann", variant="apron") for _ in range(3)]
    await desk.waitlist.join(kitchen.viewer("bob"), kitchen.show_id, HoldRequest(variant_id="apron", quantity=2))
    await desk.release(kitchen.viewer("ann"), holds[0].hold_id)  # one is free, and the head of the line wants two
    with pytest.raises(SoldOutError):
        await kitchen.tap("cat", variant="set")
    assert (await kitchen.stock("pot")).available == 5


async def test_while_postgres_is_away_it_is_refused_and_nothing_is_written_down(shop, pg_wire, tmp_path):
    desk = await shop.open(pool=pg_wire.pool, pace=Pace(confirm_s=0.05, reconcile_s=0.05), journal=tmp_path / "journal")
    await shop.item("pot", stock=5, price=4900, limit=5)
    await shop.item("apron", stock=3, price=2400, limit=5)
    await bundle(shop, ("pot", 1), ("apron", 1))
    await shop.tap("ann", variant="set")
    pg_wire.cut()
    waiting = await shop.tap("ann", variant="pot")
    assert waiting.state == "confirming"
    with pytest.raises(Unavailable):
        await shop.tap("bob", variant="set", key="k")
    assert desk.counts.confirming == 1
    pg_wire.mend()

    async def is_taken() -> bool:
        return await shop.outcome(shop.tap("bob", variant="set", key="k")) == "ok"

    await shop.eventually(is_taken, 30)
    rows = await shop.pg.fetch("SELECT buyer_id FROM holds WHERE variant_id = 'pot' ORDER BY created_at_ms, buyer_id")
    assert [row["buyer_id"] for row in rows] == ["ann", "ann", "bob"]


async def test_it_does_not_overtake_a_tap_that_waits_for_postgres(kitchen, desk, monkeypatch):
    """A part's stock may be gone when that tap has been decided."""
    waits = Product(kitchen.show_id, "apron")
    monkeypatch.setattr(desk._confirming, "waits", lambda product: product == waits)
    with pytest.raises(Unavailable):
        await kitchen.tap("bob", variant="set", key="k")
    assert await available(kitchen) == [5, 3]
    monkeypatch.undo()
    await kitchen.tap("bob", variant="set", key="k")
    assert await available(kitchen) == [4, 2]
