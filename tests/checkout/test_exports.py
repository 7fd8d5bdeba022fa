"""The orders as CSV, which add up to the dashboard."""

import csv
import io
from decimal import Decimal

import pytest

from checkout import exports as module
from checkout.counts import Counts
from checkout.exports import COLUMNS, Exports
from checkout.truth import Truth
from schema.errors import Conflict, NotFound


@pytest.fixture
def exports(shop, desk):
    return Exports(Truth(shop.pg, Counts()))


async def rows(exports, shop):
    text = b"".join([piece async for piece in await exports.orders(shop.show_id)]).decode()
    return list(csv.DictReader(io.StringIO(text, newline="")))


async def test_the_lines_add_up_to_the_totals(shop, desk, exports, monkeypatch):
    monkeypatch.setattr(module, "ORDERS_AT_ONCE", 2)
    await shop.item(stock=10, price=1050, limit=9)
    whole, part, kept = [await shop.buy(who, quantity=2) for who in ("ann", "bob", "cat")]
    failed = await shop.pay_for("dan", await shop.tap("dan"), "fake_capture_fails")
    for order in (whole, part, kept, failed):
        await shop.captured(order)
    await desk.refund(shop.operator, whole.order_id)
    await desk.refund(shop.operator, part.order_id, 333)
    lines = await rows(exports, shop)
    totals = await desk.books.totals(shop.show_id)

    def cents(name):
        return sum(Decimal(line[name]) for line in lines) * 100

    assert (cents("paid"), cents("refunded"), cents("net")) == (
        totals.paid.amount, totals.refunded.amount, totals.net.amount,
    )  # fmt: skip
    assert [line["number"] for line in lines] == ["1", "2", "3", "4"]
    assert [line["state"] for line in lines] == ["refunded", "partially_refunded", "captured", "capture_failed"]
    assert (lines[0]["unit_price"], lines[0]["total"], lines[0]["quantity"], lines[0]["currency"]) == (
        "10.50", "21.00", "2", "EUR",
    )  # fmt: skip


async def test_what_a_buyer_calls_themselves_is_no_formula(shop, desk, exports):
    await shop.item(stock=5)
    order = await shop.buy("ann")
    await shop.pg.execute("UPDATE orders SET buyer_name = $1", '=HYPERLINK("http://x","y")')
    (line,) = await rows(exports, shop)
    assert line["buyer"] == '\'=HYPERLINK("http://x","y")'
    assert line["order_id"] == order.order_id


async def test_yen_have_no_decimals(shop, desk, exports):
    await shop.item(stock=5, price=1500)
    await shop.buy("ann")
    for table in ("orders", "shows", "show_items", "variants"):
        await shop.pg.execute(f"UPDATE {table} SET currency = 'JPY'")
    (line,) = await rows(exports, shop)
    assert (line["unit_price"], line["currency"]) == ("1500", "JPY")


async def test_an_empty_show_is_a_head_a_rehearsal_and_none_are_refused(shop, desk, exports):
    assert await rows(exports, shop) == []
    assert (
        b"".join([piece async for piece in await exports.orders(shop.show_id)]).decode() == ",".join(COLUMNS) + "\r\n"
    )
    with pytest.raises(NotFound):
        await exports.orders("nowhere")
    await shop.pg.execute("UPDATE shows SET rehearsal_of = show_id")
    with pytest.raises(Conflict):
        await exports.orders(shop.show_id)
