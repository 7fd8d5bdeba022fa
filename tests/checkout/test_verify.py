"""`verify` passes on a shop that sold, and finds each thing that somebody changed behind its back."""

import pytest

from checkout.verify import verify


@pytest.fixture
async def sold(shop, desk):
    """A shop with a captured, a refunded and an unpaid hold."""
    await shop.item(stock=10, price=1000)
    await shop.item("mug", stock=1)
    kept, back = await shop.buy("ann"), await shop.buy("bob")
    await shop.captured(kept)
    await desk.refund(shop.operator, back.order_id)
    await shop.tap("cat", quantity=2)
    await desk.restock(shop.show_id, "pot", 3)
    return shop


async def test_a_shop_that_sold_passes_and_its_sums_are_told(sold):
    report = await sold.verify()
    assert report.ok
    assert report.problems == []
    mug, pot = report.lines
    assert (pot.opening, pot.restocked, pot.sold, pot.returned) == (10, 3, 2, 1)
    assert (pot.on_hand, pot.held, pot.available) == (12, 2, 10)
    assert (pot.captured, pot.refunded, pot.currency) == (2000, 1000, "EUR")
    assert (mug.on_hand, mug.entries) == (1, 1)
    assert report.pending_captures == 0


async def test_it_can_look_at_one_show(sold):
    assert [line.show_id for line in (await verify(sold.database_url, "gala")).lines] == ["gala", "gala"]
    assert (await verify(sold.database_url, "elsewhere")).lines == []


async def test_the_ledgers_hash_moves_with_each_entry_and_with_nothing_else(sold, desk):
    before = (await sold.verify()).ledger_hash
    await sold.tap("dan")
    assert (await sold.verify()).ledger_hash == before
    await desk.restock(sold.show_id, "pot", 1)
    assert (await sold.verify()).ledger_hash != before


TAMPERED = {
    "a unit taken from the stock row": "UPDATE stock SET taken = taken - 1 WHERE variant_id = 'pot'",
    "a unit added to the stock row": "UPDATE stock SET stocked = stocked + 1 WHERE variant_id = 'mug'",
    "a sale denied": "UPDATE stock SET sold = sold - 1 WHERE variant_id = 'pot'",
    "a ledger entry changed": "UPDATE ledger SET units = 11 WHERE kind = 'opening' AND variant_id = 'pot'",
    "a ledger entry's time changed": "UPDATE ledger SET at_ms = at_ms + 1 WHERE seq = 2",
    "the last ledger entry removed": "DELETE FROM ledger WHERE kind = 'restocked'",
    "a hold removed": "DELETE FROM holds WHERE state = 'held'",
    "a hold grown": "UPDATE holds SET quantity = 3 WHERE state = 'held'",
    "an order's price changed": "UPDATE orders SET unit_amount = 900, total = 900 WHERE state = 'captured'",
    "a refund denied": "UPDATE refunds SET amount = 1",
    "an order un-refunded": "UPDATE orders SET state = 'captured', refunded = 0 WHERE state = 'refunded'",
    "a payment forgotten": "UPDATE payments SET state = 'declined'",
    "a buyer over the limit": "UPDATE show_items SET limit_per_buyer = 1",
    "an order's state forged": "UPDATE orders SET state = 'capture_failed' WHERE state = 'captured'",
}


@pytest.mark.parametrize("what", TAMPERED)
async def test_what_somebody_changed_is_found(sold, what):
    async with sold.pg.acquire() as connection:
        await connection.execute("SET session_replication_role = replica")  # past every trigger
        assert (await connection.execute(TAMPERED[what])).split()[-1] != "0"
        await connection.execute("RESET session_replication_role")
    report = await sold.verify()
    assert not report.ok
    assert report.problems
