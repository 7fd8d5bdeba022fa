"""A buyer's receipt, made of what is written down for good."""

import msgspec
import pytest

from checkout.core.receipt import Forged, Signer, read
from checkout.counts import Counts
from checkout.receipts import Receipts
from checkout.truth import Truth
from schema.errors import NotFound


@pytest.fixture
def receipts(shop, desk):
    return Receipts(Truth(shop.pg, Counts()), Signer("a secret of the tests, long enough"))


async def test_a_receipt_says_what_was_bought_when_and_where_the_ledger_has_it(shop, desk, receipts):
    await shop.item(stock=5, price=4900, limit=5)
    await shop.pg.execute("UPDATE shows SET live_at_ms = clock_ms() - 61000")
    hold = await shop.tap("ann", quantity=2)
    await shop.pg.execute("UPDATE show_items SET price_amount = 9900")
    order = await shop.pay_for("ann", hold)
    receipt = await receipts.of(shop.viewer("ann"), order.order_id)
    (line,) = receipt.lines
    entry = await shop.pg.fetchrow("SELECT * FROM ledger WHERE kind = 'sold'")
    assert (receipt.number, receipt.order_id, receipt.total.amount) == (1, order.order_id, 9800)
    assert (line.quantity, line.price_seen.amount, line.total.amount) == (2, 4900, 9800)
    assert (line.ledger_seq, line.ledger_hash) == (entry["seq"], entry["hash"].hex())
    assert 61 <= receipt.video_second < 120
    assert (receipt.tapped_at_ms, receipt.test) == (hold.created_at_ms, False)
    assert read(msgspec.json.encode(receipt)) == receipt


async def test_it_stays_the_same_through_capture_and_refund(shop, desk, receipts):
    await shop.item(stock=5)
    order = await shop.buy("ann")
    first = await receipts.of(shop.viewer("ann"), order.order_id)
    await shop.captured(order)
    await desk.refund(shop.operator, order.order_id)
    assert await receipts.of(shop.operator, order.order_id) == first


async def test_orders_are_numbered_without_gaps_in_their_show(shop, desk, receipts):
    await shop.item(stock=5)
    orders = [await shop.buy(who) for who in ("ann", "bob", "cat")]
    numbers = [(await receipts.of(shop.operator, order.order_id)).number for order in orders]
    assert numbers == [1, 2, 3]


async def test_it_is_its_buyers_alone_and_a_show_that_never_began_has_no_second(shop, desk, receipts):
    await shop.item(stock=5)
    order = await shop.buy("ann")
    with pytest.raises(NotFound):
        await receipts.of(shop.viewer("bob"), order.order_id)
    assert (await receipts.of(shop.viewer("ann"), order.order_id)).video_second is None


async def test_a_price_talked_down_in_the_rows_shows_in_a_receipt_that_was_kept(shop, desk, receipts):
    await shop.item(stock=5, price=4900)
    order = await shop.buy("ann")
    kept = msgspec.json.encode(await receipts.of(shop.viewer("ann"), order.order_id))
    with pytest.raises(Forged):
        read(kept.replace(b"4900", b"2900"))
