"""The waitlist: order, offers, and nobody who overtakes."""

import asyncio
import itertools

import pytest
from msgspec.structs import replace

from checkout import waitlist
from schema.errors import Conflict, LimitReached, NotFound, SalesClosed, SoldOutError, Unavailable
from schema.hold import HoldRequest
from schema.ids import VariantId
from schema.waitlist import WaitlistEntry, WaitlistState

POT = VariantId("pot")


async def wait_for(shop, who: str, quantity: int = 1) -> WaitlistEntry:
    return await shop.desk.waitlist.join(shop.viewer(who), shop.show_id, HoldRequest(variant_id=POT, quantity=quantity))


async def entry(shop, place: WaitlistEntry) -> WaitlistEntry:
    return await shop.desk.waitlist.entry(shop.operator, place.entry_id)


async def become(shop, place: WaitlistEntry, state: WaitlistState) -> WaitlistEntry:
    async def is_so() -> bool:
        return (await entry(shop, place)).state is state

    await shop.eventually(is_so)
    return await entry(shop, place)


async def sound(shop) -> None:
    assert (await shop.verify()).problems == []
    stock = await shop.stock()
    assert stock.on_hand == stock.held + stock.available


async def test_a_unit_that_comes_back_is_offered_to_the_head_and_then_to_the_next(shop, desk):
    await shop.item(stock=1)
    hold = await shop.tap("ann")
    bob, cat = await wait_for(shop, "bob"), await wait_for(shop, "cat")
    assert (bob.ahead, cat.ahead) == (0, 1)
    await desk.release(shop.viewer("ann"), hold.hold_id)
    offered = await become(shop, bob, WaitlistState.OFFERED)
    assert (await entry(shop, cat)).ahead == 0
    theirs = await desk.get_hold(shop.viewer("bob"), offered.hold_id)
    assert (theirs.buyer_id, theirs.quantity, theirs.state) == ("bob", 1, "held")
    await desk.release(shop.viewer("bob"), theirs.hold_id)
    got = await become(shop, cat, WaitlistState.OFFERED)
    order = await shop.pay_for("cat", await desk.get_hold(shop.viewer("cat"), got.hold_id))
    assert order.buyer_id == "cat"
    await sound(shop)


async def test_fresh_guests_of_one_network_have_a_share_of_the_places(shop, desk, monkeypatch):
    monkeypatch.setattr(waitlist, "MOST", 8)
    await shop.item(stock=1)
    await shop.tap("ann")

    async def join(number: int, network: str) -> str:
        guest = replace(shop.viewer(f"{network}{number}"), network=network)
        return await shop.outcome(desk.waitlist.join(guest, shop.show_id, HoldRequest(variant_id=POT, quantity=1)))

    said = [await join(number, "campus") for number in range(6)]
    assert said == ["ok"] * 4 + ["limit_reached"] * 2
    assert await join(0, "campus") == "ok"  # who has a place keeps it
    assert await join(0, "elsewhere") == "ok"
    await wait_for(shop, "account")
    place = await shop.pg.fetchval("SELECT entry_id FROM waitlist WHERE buyer_id = 'campus0'")
    await desk.waitlist.leave(shop.viewer("campus0"), place)
    assert await join(9, "campus") == "ok"
    await sound(shop)


async def test_an_offer_that_lapses_goes_to_the_next(shop):
    await shop.open(offer_ms=1)
    await shop.item(stock=1)
    hold = await shop.tap("ann")
    places = [await wait_for(shop, who) for who in ("bob", "cat", "dan")]
    await shop.desk.release(shop.viewer("ann"), hold.hold_id)
    for place in places:
        await become(shop, place, WaitlistState.OFFERED)
    holds = [(await entry(shop, place)).hold_id for place in places]
    rows = await shop.pg.fetch("SELECT hold_id FROM holds WHERE buyer_id <> 'ann' ORDER BY created_at_ms, hold_id")
    assert sorted(holds) == sorted(row["hold_id"] for row in rows)
    await sound(shop)


async def test_a_restock_of_three_offers_to_the_first_three(shop, desk):
    await shop.item(stock=1)
    await shop.tap("ann")
    places = [await wait_for(shop, f"b{i}") for i in range(5)]
    await desk.restock(shop.show_id, POT, 3)
    await asyncio.gather(*(become(shop, place, WaitlistState.OFFERED) for place in places[:3]))
    assert [(await entry(shop, place)).ahead for place in places[3:]] == [0, 1]
    assert [(await entry(shop, place)).state for place in places[3:]] == ["waiting"] * 2
    await sound(shop)


async def test_nobody_who_taps_overtakes_those_who_wait(shop):
    await shop.open(pace=shop.idle)
    await shop.item(stock=1)
    hold = await shop.tap("ann")
    bob = await wait_for(shop, "bob")
    await shop.pg.execute("SELECT * FROM release_hold($1)", hold.hold_id)  # and the desk does not know yet
    with pytest.raises(SoldOutError):
        await shop.tap("eve")
    await shop.open(redis=shop.dead_redis(), pace=shop.idle)
    with pytest.raises(SoldOutError):
        await shop.tap("eve")
    await shop.desk.restock(shop.show_id, POT, 1)
    await become(shop, bob, WaitlistState.OFFERED)
    async with asyncio.timeout(10):
        while await shop.outcome(shop.tap("eve")) != "ok":
            await asyncio.sleep(0.02)
    await sound(shop)


async def test_without_the_rule_a_tap_overtakes(shop):
    """The negative control of the test above."""
    await shop.open(redis=shop.dead_redis(), pace=shop.idle)
    await shop.item(stock=1)
    hold = await shop.tap("ann")
    await wait_for(shop, "bob")
    for function, rule, without in (
        ("reserve_at_price", "CASE WHEN s.waiting > 0 THEN 0 ELSE s.stocked - s.taken END", "s.stocked - s.taken"),
        (
            "reserve_one_by_one",
            "CASE WHEN item.waiting > 0 THEN 0 ELSE item.stocked - item.taken END;",
            "item.stocked - item.taken;",
        ),
    ):
        source = await shop.pg.fetchval("SELECT pg_get_functiondef($1::regproc)", function)
        assert source.count(rule) == 1
        await shop.pg.execute(source.replace(rule, without))
    await shop.pg.execute("SELECT * FROM release_hold($1)", hold.hold_id)
    assert (await shop.tap("eve")).state == "held"


async def test_a_waiting_room_tells_the_gate_so_that_refused_taps_open_no_transaction(shop, desk):
    await shop.item(stock=2)
    hold = await shop.tap("ann")
    await shop.tap("bea")
    bob = await wait_for(shop, "bob", 2)
    await desk.release(shop.viewer("ann"), hold.hold_id)  # one is free, and bob wants two
    before = desk.counts.truth_transactions
    assert await shop.rush(buyers=20, taps=20) == {"sold_out": 20}
    assert desk.counts.truth_transactions == before
    await desk.waitlist.leave(shop.viewer("bob"), bob.entry_id)
    assert (await shop.tap("eve")).state == "held"
    await sound(shop)


async def test_a_head_that_wants_more_than_there_is_lets_nobody_by(shop, desk):
    await shop.item(stock=2)
    holds = [await shop.tap("ann"), await shop.tap("ann")]
    bob, cat = await wait_for(shop, "bob", 2), await wait_for(shop, "cat", 1)
    await desk.release(shop.viewer("ann"), holds[0].hold_id)
    assert await shop.outcome(shop.tap("eve")) == "sold_out"
    await desk.release(shop.viewer("ann"), holds[1].hold_id)
    await become(shop, bob, WaitlistState.OFFERED)
    assert (await entry(shop, cat)).state == "waiting"


async def test_one_who_reached_the_limit_meanwhile_is_passed_over(shop, desk):
    await shop.item(stock=2, limit=1)
    hold, elsewhere = await shop.tap("ann"), await shop.tap("dan")
    bob, cat = await wait_for(shop, "bob"), await wait_for(shop, "cat")
    await shop.pg.execute("UPDATE holds SET buyer_id = 'bob' WHERE hold_id = $1", elsewhere.hold_id)
    await desk.release(shop.viewer("ann"), hold.hold_id)
    await become(shop, cat, WaitlistState.OFFERED)
    assert (await entry(shop, bob)).state == "passed"


async def test_a_place_is_one_however_often_one_asks(shop, desk):
    await shop.item(stock=1)
    await shop.tap("ann")
    places = await asyncio.gather(*(wait_for(shop, "bob") for _ in range(10)))
    assert len({place.entry_id for place in places}) == 1
    assert await shop.pg.fetchval("SELECT waiting FROM stock") == 1


async def test_who_may_not_wait(shop, desk):
    await shop.item(stock=2, limit=1)
    with pytest.raises(Conflict):
        await wait_for(shop, "bob")
    await shop.tap("ann")
    await shop.tap("bea")
    with pytest.raises(LimitReached):
        await wait_for(shop, "ann")
    with pytest.raises(NotFound):
        await desk.waitlist.join(shop.viewer("bob"), shop.show_id, HoldRequest(variant_id=VariantId("none")))
    await desk.set_sales(shop.show_id, open=False)
    with pytest.raises(SalesClosed):
        await wait_for(shop, "bob")
    assert await shop.pg.fetchval("SELECT count(*) FROM waitlist") == 0


async def test_a_line_has_an_end(shop, desk, monkeypatch):
    monkeypatch.setattr("checkout.waitlist.MOST", 2)
    await shop.item(stock=1)
    await shop.tap("ann")
    for who in ("bob", "cat"):
        await wait_for(shop, who)
    with pytest.raises(Unavailable):
        await wait_for(shop, "dan")


async def test_another_ones_place_is_nobodys_business(shop, desk):
    await shop.item(stock=1)
    await shop.tap("ann")
    place = await wait_for(shop, "bob")
    for ask in (desk.waitlist.entry, desk.waitlist.leave):
        with pytest.raises(NotFound):
            await ask(shop.viewer("eve"), place.entry_id)
    assert (await entry(shop, place)).state == "waiting"


async def test_leaving_twice_is_once_and_leaving_an_offer_releases_it(shop, desk):
    await shop.item(stock=1)
    hold = await shop.tap("ann")
    bob, cat = await wait_for(shop, "bob"), await wait_for(shop, "cat")
    for _ in range(2):
        await desk.waitlist.leave(shop.viewer("bob"), bob.entry_id)
    assert await shop.pg.fetchval("SELECT waiting FROM stock") == 1
    await desk.release(shop.viewer("ann"), hold.hold_id)
    await become(shop, cat, WaitlistState.OFFERED)
    for _ in range(2):
        await desk.waitlist.leave(shop.viewer("cat"), cat.entry_id)
    assert (await shop.tap("eve")).state == "held"


async def test_nothing_is_offered_while_sales_are_closed_and_everything_afterwards(shop, desk):
    await shop.item(stock=1)
    hold = await shop.tap("ann")
    bob = await wait_for(shop, "bob")
    await desk.set_sales(shop.show_id, open=False)
    await desk.release(shop.viewer("ann"), hold.hold_id)
    await desk.upkeep.reconcile()
    assert (await entry(shop, bob)).state == "waiting"
    await desk.set_sales(shop.show_id, open=True)
    await become(shop, bob, WaitlistState.OFFERED)


async def test_a_desk_that_died_between_a_return_and_its_offer_leaves_it_to_the_next(shop):
    first = await shop.open(pace=shop.idle)
    await shop.item(stock=1)
    hold = await shop.tap("ann")
    bob = await wait_for(shop, "bob")
    await shop.pg.execute("SELECT * FROM release_hold($1)", hold.hold_id)
    await first.abandon()
    await shop.open()
    await become(shop, bob, WaitlistState.OFFERED)
    await sound(shop)


async def test_a_flushed_gate_is_rebuilt_with_those_who_wait(shop, desk, redis):
    await shop.item(stock=1)
    hold = await shop.tap("ann")
    bob = await wait_for(shop, "bob", 2)
    await redis.flushdb()
    await desk.release(shop.viewer("ann"), hold.hold_id)
    assert await shop.outcome(shop.tap("eve")) == "sold_out"
    await desk.restock(shop.show_id, POT, 1)
    await become(shop, bob, WaitlistState.OFFERED)
    await sound(shop)


async def test_a_storm_of_returns_and_joins_offers_in_order_and_each_unit_once(shop, desk):
    await shop.item(stock=20, limit=1)
    holds = await asyncio.gather(*(shop.tap(f"a{i}") for i in range(20)))
    places = [await wait_for(shop, f"b{i}") for i in range(30)]
    await asyncio.gather(*(desk.release(shop.viewer(f"a{i}"), hold.hold_id) for i, hold in enumerate(holds)))
    await asyncio.gather(*(become(shop, place, WaitlistState.OFFERED) for place in places[:20]))
    assert {(await entry(shop, place)).state for place in places[20:]} == {"waiting"}
    assert (await shop.stock()).held == 20
    offered = await shop.pg.fetch("SELECT place FROM waitlist WHERE state = 'offered'")
    waiting = await shop.pg.fetch("SELECT place FROM waitlist WHERE state = 'waiting'")
    assert max(row["place"] for row in offered) < min(row["place"] for row in waiting)
    await sound(shop)


async def test_over_http_a_place_is_found_where_it_was_made_and_the_operator_sees_the_line(shop, desk):
    await shop.item(stock=1)
    await shop.tap("ann")
    keys = itertools.count()
    async with shop.client("viewer:bob") as bob, shop.client("operator:op") as op:
        made = await bob.post("/api/v1/shows/gala/waitlist", json={"variant_id": "pot"})
        assert (made.status_code, made.json()["ahead"]) == (201, 0)
        assert (await bob.get(made.headers["location"])).json() == made.json()
        assert (await bob.get("/api/v1/shows/gala/waitlist")).status_code == 403
        for who in ("cat", "dan"):
            async with shop.client(f"viewer:{who}") as other:
                await other.post("/api/v1/shows/gala/waitlist", json={"variant_id": "pot"})
        seen, cursor = [], ""
        while True:
            page = (await op.get(f"/api/v1/shows/gala/waitlist?limit=2&cursor={cursor}")).json()
            seen += [(item["buyer_id"], item["ahead"]) for item in page["items"]]
            cursor = page["next_cursor"]
            if not cursor:
                break
        assert seen == [("bob", 0), ("cat", 1), ("dan", 2)]
        assert (await bob.delete(made.headers["location"])).status_code == 204
        hold = await bob.post(
            "/api/v1/shows/gala/holds", json={"variant_id": "pot"}, headers={"Idempotency-Key": f"k{next(keys)}"}
        )
        assert hold.json()["code"] == "sold_out"


async def crowd(shop, count: int) -> list[str]:
    """So many who wait; their entries in order."""
    await shop.pg.execute(
        "INSERT INTO waitlist (entry_id, show_id, variant_id, buyer_id, buyer_name, quantity, created_at_ms)"
        " SELECT 'wait_' || lpad(i::text, 5, '0'), 'gala', 'pot', 'c' || i, 'C', 1, 1 FROM generate_series(1, $1) i"
        " ORDER BY i",
        count,
    )
    await shop.pg.execute("UPDATE stock SET waiting = $1", count)
    rows = await shop.pg.fetch("SELECT entry_id FROM waitlist WHERE state = 'waiting' ORDER BY place")
    return [row["entry_id"] for row in rows]


async def ask_all(shop, entries: list[str]) -> tuple[list[int], int]:
    """How many are ahead of each, and how often a whole line was read for that."""
    truth, reads = shop.desk.waitlist._truth, 0
    one = truth.one

    async def counting(query: str, *args: object):
        nonlocal reads
        reads += query == waitlist.sql("waitlist_line")
        return await one(query, *args)

    truth.one = counting
    try:
        asked = await asyncio.gather(*(shop.desk.waitlist.entry(shop.operator, each) for each in entries))
    finally:
        del truth.one
    return [each.ahead for each in asked], reads


async def test_in_a_long_line_everybody_learns_their_place_and_it_is_read_once_for_all(shop, monkeypatch):
    await shop.open(pace=shop.idle)
    await shop.item(stock=1)
    await shop.tap("ann")
    entries = await crowd(shop, 600)
    monkeypatch.setattr(waitlist, "LINE_FRESH_S", 3600.0)
    assert await ask_all(shop, entries) == (list(range(600)), 1)
    assert (await wait_for(shop, "last")).ahead == 600
    assert (await wait_for(shop, "last")).ahead == 600  # again: the place from before
    # Those near the head are told what is so now, the others what was so a moment ago.
    await shop.desk.waitlist.leave(shop.operator, entries[0])
    assert await ask_all(shop, [entries[200], entries[500]]) == ([199, 500], 0)
    monkeypatch.setattr(waitlist, "LINE_FRESH_S", 0.0)
    assert await ask_all(shop, entries[500:510]) == (list(range(499, 509)), 10)


async def test_whoever_is_offered_a_unit_is_told_at_once(shop):
    told = []

    class Buyers:
        def offered(self, hold) -> None:
            told.append(hold)

    await shop.open(buyers=Buyers())
    await shop.item(stock=1)
    hold = await shop.tap("ann")
    bob = await wait_for(shop, "bob")
    await shop.desk.release(shop.viewer("ann"), hold.hold_id)
    offered = await become(shop, bob, WaitlistState.OFFERED)

    async def is_told() -> bool:
        return bool(told)

    await shop.eventually(is_told)
    assert [(one.buyer_id, one.hold_id, one.quantity, one.state) for one in told] == [
        ("bob", offered.hold_id, 1, "held")
    ]
