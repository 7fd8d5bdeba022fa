"""The hash chain and the sums of the ledger, alone and against what Postgres wrote."""

import msgspec
import pytest

from checkout.core.ledger import GENESIS, Entry, broken_links, entry_hash, sums

FIELDS = [field for field in Entry.__struct_fields__ if field not in {"prev_hash", "hash"}]


def chain(*kinds: tuple[str, int, int]) -> list[Entry]:
    """Entries (kind, units, amount), linked."""
    entries, prev = [], GENESIS
    for seq, (kind, units, amount) in enumerate(kinds, 1):
        loose = Entry(
            show_id="s", variant_id="v", seq=seq, kind=kind, units=units, amount=amount, currency="EUR",
            order_id="o", hold_id="h", refund_id=None, at_ms=seq, prev_hash=prev, hash=b"",
        )  # fmt: skip
        entries.append(msgspec.structs.replace(loose, hash=entry_hash(prev, loose)))
        prev = entries[-1].hash
    return entries


WHOLE = chain(("opening", 10, 0), ("sold", 2, 500), ("capture", 0, 500), ("restocked", 5, 0), ("returned", 2, 0))


def problems(entries: list[Entry], last: Entry = WHOLE[-1]) -> list[str]:
    return list(broken_links(entries, last_seq=last.seq, last_hash=last.hash))


def test_a_whole_chain_has_no_problem():
    assert problems(WHOLE) == []
    assert list(broken_links([], last_seq=0, last_hash=GENESIS)) == []


@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize("at", range(len(WHOLE)))
def test_a_change_to_any_field_of_any_entry_is_found(field, at):
    entries = list(WHOLE)
    value = getattr(entries[at], field)
    other = value + 1 if isinstance(value, int) else f"{value}x"
    entries[at] = msgspec.structs.replace(entries[at], **{field: other})
    assert problems(entries)


@pytest.mark.parametrize("at", range(len(WHOLE)))
def test_a_missing_entry_is_found_the_last_one_too(at):
    assert problems(WHOLE[:at] + WHOLE[at + 1 :])


def test_an_entry_forged_with_its_hash_breaks_the_next_link():
    entries = list(WHOLE)
    loose = msgspec.structs.replace(entries[1], units=1)
    entries[1] = msgspec.structs.replace(loose, hash=entry_hash(loose.prev_hash, loose))
    assert problems(entries) == ["entry 3 does not follow its predecessor"]


def test_the_sums_are_the_invariant():
    total = sums(WHOLE)
    assert (total.opening, total.restocked, total.sold, total.returned) == (10, 5, 2, 2)
    assert (total.on_hand, total.money) == (15, 500)


async def test_postgres_computes_the_same_hash(shop, desk):
    await shop.item(stock=3)
    order = await shop.buy("ann")
    await desk.refund(shop.operator, order.order_id, 100)
    await desk.restock(shop.show_id, "pot", 2)
    entries = [Entry(**dict(row)) for row in await shop.pg.fetch("SELECT * FROM ledger ORDER BY seq")]
    assert [entry.kind for entry in entries] == ["opening", "sold", "capture", "refund", "restocked"]
    assert [entry.hash for entry in entries] == [entry_hash(entry.prev_hash, entry) for entry in entries]


@pytest.mark.parametrize("change", ["UPDATE ledger SET units = 1", "DELETE FROM ledger", "TRUNCATE ledger"])
async def test_the_ledger_is_append_only(shop, desk, change):
    await shop.item(stock=3)
    with pytest.raises(Exception, match="append-only"):
        await shop.pg.execute(change)
    assert await shop.pg.fetchval("SELECT units FROM ledger") == 3
