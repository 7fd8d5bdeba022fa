"""What a buyer has in a show: their own, all of it, and each thing once."""

import pytest

from checkout.truth import sql
from schema.errors import Invalid
from schema.ids import ShowId


async def have(shop, who, *page):
    return await shop.desk.books.purchases(shop.viewer(who).account_id, shop.show_id, *page)


@pytest.fixture
async def pots(shop, desk):
    """Twenty pots, three a buyer."""
    await shop.item(stock=20, limit=3)
    return shop


async def test_open_holds_come_oldest_first_and_go_when_they_end(pots, desk):
    await pots.tap("bob")
    first, second, third = [await pots.tap("ann") for _ in range(3)]
    assert (await have(pots, "ann")).holds == [first, second, third]
    await desk.release(pots.viewer("ann"), second.hold_id)
    await pots.pg.execute("UPDATE holds SET expires_at_ms = created_at_ms WHERE hold_id = $1", first.hold_id)
    await desk.upkeep.sweep()
    assert (await have(pots, "ann")).holds == [third]


async def test_what_is_being_paid_for_is_open_and_what_is_paid_is_an_order(pots, desk):
    undecided = await pots.pay_for("ann", await pots.tap("ann"), "fake_slow")
    order = await pots.buy("ann", quantity=2)
    await pots.captured(order)
    await pots.eventually(lambda: _all_sold(pots, "ann"))
    mine = await have(pots, "ann")
    assert (mine.holds, mine.next_cursor) == ([], None)
    assert {one.hold_id for one in mine.orders} == {undecided.hold_id, order.hold_id}
    assert await have(pots, "bob") == await have(pots, "nobody")


async def _all_sold(shop, who) -> bool:
    return not (await have(shop, who)).holds


async def test_an_order_says_what_became_of_it(pots, desk):
    order = await pots.buy("ann")
    await pots.captured(order)
    await desk.refund(pots.operator, order.order_id)
    (mine,) = (await have(pots, "ann")).orders
    assert (mine.order_id, mine.state, mine.refunded) == (order.order_id, "refunded", order.total)


async def test_another_show_has_others(pots, desk):
    await pots.tap("ann")
    await pots.buy("ann")
    elsewhere = await desk.books.purchases(pots.viewer("ann").account_id, ShowId("elsewhere"))
    assert (elsewhere.holds, elsewhere.orders) == ([], [])


async def test_a_bundle_is_one(pots, desk):
    await pots.item("apron", stock=3, price=2400)
    await pots.pg.execute("INSERT INTO bundles VALUES ('gala', 'set', 'Set', '', 6500, 'EUR', 0)")
    for part in ("pot", "apron"):
        await pots.pg.execute("INSERT INTO bundle_parts VALUES ('gala', 'set', $1, 1)", part)
    single, bundle = await pots.tap("ann"), await pots.tap("ann", variant="set")
    mine = (await have(pots, "ann")).holds
    assert mine[0] == single
    assert (mine[1].hold_id, mine[1].bundle.total) == (bundle.hold_id, bundle.bundle.total)
    assert set(mine[1].bundle.hold_ids) == set(bundle.bundle.hold_ids)
    assert len(mine) == 2


async def test_orders_come_in_pages_and_holds_with_the_first(pots):
    orders = [(await pots.buy("ann")).order_id for _ in range(2)]
    hold = await pots.tap("ann")
    first = await have(pots, "ann", None, 1)
    second = await have(pots, "ann", first.next_cursor, 1)
    assert ([one.order_id for one in first.orders], first.holds) == ([orders[1]], [hold])
    assert ([one.order_id for one in second.orders], second.holds, second.next_cursor) == ([orders[0]], [], None)
    with pytest.raises(Invalid):
        await have(pots, "ann", "!!")


async def test_what_is_sold_between_the_two_looks_is_there_once(pots, desk, monkeypatch):
    hold, fetch = await pots.tap("ann"), desk._truth.fetch

    async def fetch_and_pay(query, *values, **options):
        rows = await fetch(query, *values, **options)
        if query == sql("holds_of_buyer"):
            assert len(rows) == 1
            await pots.pay_for("ann", hold)
        return rows

    monkeypatch.setattr(desk._truth, "fetch", fetch_and_pay)
    mine = await have(pots, "ann")
    assert (mine.holds, [order.hold_id for order in mine.orders]) == ([], [hold.hold_id])


@pytest.mark.parametrize(
    ("query", "index", "values"),
    [
        ("holds_of_buyer", "holds_off_shelf", ("gala", "ann", 200)),
        ("orders_of_buyer", "orders_of_buyer", ("gala", "ann", "", 51)),
    ],
)
async def test_one_buyers_are_found_without_reading_everybodys(pots, query, index, values):
    async with pots.pg.acquire() as connection, connection.transaction():
        await connection.execute("SET LOCAL enable_seqscan = off")
        await connection.execute("SET LOCAL enable_bitmapscan = off")
        plan = "\n".join(row[0] for row in await connection.fetch("EXPLAIN " + sql(query), *values))
    line = plan[plan.index(f"using {index}") :]
    assert "buyer_id" in line.partition("Index Cond")[2].partition("\n")[0], plan


async def test_over_http_one_sees_ones_own_alone(pots):
    hold = await pots.tap("ann")
    order = await pots.buy("ann")
    path = "/api/v1/shows/gala/purchases"
    async with pots.client("viewer:ann") as ann, pots.client("operator:op") as operator, pots.client() as stranger:
        mine = (await ann.get(path)).json()
        assert [one["hold_id"] for one in mine["holds"]] == [hold.hold_id]
        assert [one["order_id"] for one in mine["orders"]] == [order.order_id]
        assert (await operator.get(path)).json() == {"holds": [], "orders": [], "next_cursor": None}
        assert (await ann.get(f"{path}?limit=0")).status_code == 422
        assert (await stranger.get(path)).status_code == 401
