"""A show's ledger for everybody, as a file that proves itself."""

import msgspec
import pytest

from checkout import open_books as module
from checkout.core.public_ledger import PublicLedger, order_name, problems, signed_text
from checkout.core.receipt import Signer, is_signed
from checkout.counts import Counts
from checkout.open_books import OpenBooks
from checkout.receipts import Receipts
from checkout.truth import Truth
from schema.errors import NotFound, Unavailable

SIGNER = Signer("a secret of the tests, long enough")


@pytest.fixture
def books(shop, desk):
    return OpenBooks(Truth(shop.pg, Counts()), SIGNER)


@pytest.fixture
async def sold(shop, desk):
    """Sales, a refund, a restock, a withdrawal, and a hold that is open."""
    await shop.item(stock=10, price=1000, limit=9)
    await shop.item("mug", stock=3)
    orders = [await shop.buy(who) for who in ("ann", "bob", "cat")]
    for order in orders:
        await shop.captured(order)
    await desk.refund(shop.operator, orders[1].order_id)
    await desk.restock(shop.show_id, "pot", 4)
    await desk.stockroom.withdraw(shop.show_id, "pot", 2, "broken")
    await shop.tap("dan", quantity=2)
    return orders


async def file_of(books, shop):
    return b"".join([piece async for piece in await books.file(shop.show_id)])


async def test_the_file_proves_itself_and_has_no_buyer_in_it(shop, desk, books, sold, monkeypatch):
    monkeypatch.setattr(module, "ENTRIES_AT_ONCE", 3)  # more pages than one
    text = await file_of(books, shop)
    ledger = msgspec.json.decode(text, type=PublicLedger)
    assert list(problems(ledger)) == []
    assert is_signed(signed_text("gala", ledger.hash), ledger.signature, SIGNER.public)
    pot = next(item for item in ledger.items if item.variant_id == "pot")
    sums = pot.sums
    assert (sums.opening, sums.restocked, sums.returned, sums.sold, sums.withdrawn) == (10, 4, 1, 3, 2)
    assert (sums.on_hand, pot.held, pot.available) == (10, 2, 8)
    assert (sums.captured, sums.refunded) == (3000, 1000)
    for secret in ("ann", "bob", "Ann", "ord_", "hold_", "ref_", "guest"):
        assert secret.encode() not in text


async def test_a_buyer_finds_their_order_with_their_receipt(shop, desk, books, sold):
    receipts = Receipts(Truth(shop.pg, Counts()), SIGNER)
    receipt = await receipts.of(shop.viewer("ann"), sold[0].order_id)
    ledger = msgspec.json.decode(await file_of(books, shop), type=PublicLedger)
    name = order_name(receipt.salt, receipt.order_id)
    mine = [entry for item in ledger.items for entry in item.entries if entry.order == name]
    assert [entry.kind for entry in mine] == ["sold", "capture"]
    assert (mine[0].seq, mine[0].entry) == (receipt.lines[0].ledger_seq, receipt.lines[0].ledger_hash)


async def test_the_summary_says_what_the_file_says(shop, desk, books, sold):
    book = await books.summary(shop.show_id)
    ledger = msgspec.json.decode(await file_of(books, shop), type=PublicLedger)
    assert book.balanced
    assert [(i.variant_id, i.sums, i.held, i.available, i.entries) for i in book.items] == [
        (i.variant_id, i.sums, i.held, i.available, len(i.entries)) for i in ledger.items
    ]
    assert (book.key, book.rehearsal) == (SIGNER.public, False)


async def test_a_unit_added_behind_the_ledgers_back_shows_in_both(shop, desk, books, sold):
    await shop.pg.execute("UPDATE stock SET stocked = stocked + 1 WHERE variant_id = 'pot'")
    assert not (await books.summary(shop.show_id)).balanced
    assert list(problems(msgspec.json.decode(await file_of(books, shop), type=PublicLedger)))


async def test_a_show_without_items_and_none_at_all(shop, desk, books):
    ledger = msgspec.json.decode(await file_of(books, shop), type=PublicLedger)
    assert (ledger.items, list(problems(ledger))) == ([], [])
    for ask in (books.summary, books.file):
        with pytest.raises(NotFound):
            await ask("nowhere")


async def test_at_most_so_many_files_are_written_at_once(shop, desk, books, sold):
    open_ones = [await books.file(shop.show_id) for _ in range(module.FILES_AT_ONCE)]
    for each in open_ones:
        await anext(each)
    with pytest.raises(Unavailable):
        await books.file(shop.show_id)
    for each in open_ones:
        await each.aclose()
    await file_of(books, shop)
