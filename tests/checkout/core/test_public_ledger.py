import hashlib

import pytest
from msgspec.structs import replace

from checkout.core.chain import GENESIS
from checkout.core.ledger import Entry
from checkout.core.public_ledger import (
    FORMAT,
    PublicItem,
    PublicLedger,
    Publisher,
    hash_of_heads,
    order_name,
    problems,
    signed_text,
)

STORY = (("opening", 10, 0), ("sold", 2, 1800), ("capture", 0, 1800), ("restocked", 5, 0), ("withdrawn", 1, 0))


def entry(seq, kind, units, amount):
    order = "ord_1" if kind in {"sold", "capture"} else None
    return Entry(
        show_id="gala", variant_id="pot", seq=seq, kind=kind, units=units, amount=amount, currency="EUR",
        order_id=order, hold_id="hold_1", refund_id=None, at_ms=1_000 + seq, prev_hash=GENESIS, hash=bytes([seq]) * 32,
    )  # fmt: skip


def file_of(story=STORY):
    publisher = Publisher("gala", "pot")
    entries = [publisher.publish(entry(seq, *what), "salt") for seq, what in enumerate(story, start=1)]
    item = PublicItem(
        variant_id="pot", title="Pot", currency="EUR", entries=entries, sums=publisher.sums, held=1, available=11,
        head=publisher.head,
    )  # fmt: skip
    heads = hash_of_heads([item.head])
    return PublicLedger(format=FORMAT, show_id="gala", made_at_ms=1, items=[item], hash=heads)


def changed(file, **fields):
    return replace(file, items=[replace(file.items[0], **fields)])


def test_a_whole_file_has_no_problem_and_names_no_buyer():
    file = file_of()
    assert list(problems(file)) == []
    sums = file.items[0].sums
    assert (sums.opening, sums.sold, sums.withdrawn, sums.restocked, sums.on_hand, sums.captured) == (
        10,
        2,
        1,
        5,
        12,
        1800,
    )
    assert "ord_1" not in repr(file)
    assert "hold_1" not in repr(file)


def test_its_buyer_finds_an_order_and_nobody_else_does():
    name = file_of().items[0].entries[1].order
    assert name == order_name("salt", "ord_1") == hashlib.sha256(b"saltord_1").hexdigest()
    assert name != order_name("another", "ord_1")


@pytest.mark.parametrize("field", ["kind", "units", "amount", "order", "at_ms", "entry"])
def test_a_change_of_any_field_of_an_entry_is_found(field):
    file = file_of()
    entries = list(file.items[0].entries)
    old = getattr(entries[1], field)
    entries[1] = replace(entries[1], **{field: old + 1 if isinstance(old, int) else "forged"})
    assert list(problems(changed(file, entries=entries))) == ["pot: entry 2 was changed"]


def test_an_entry_left_out_another_head_other_sums_and_oversold_units_are_found():
    file = file_of()
    item = file.items[0]
    assert "pot: entry 2 is missing: found 3" in problems(changed(file, entries=[item.entries[0], *item.entries[2:]]))
    assert "pot: the chain ends elsewhere than its head says" in problems(changed(file, entries=item.entries[:-1]))
    assert "pot: the sums are not those of the entries" in problems(changed(file, sums=replace(item.sums, sold=1)))
    assert any("= 12, available + held = 11" in what for what in problems(changed(file, available=10)))
    assert "pot: oversold: -1 available, 13 held" in problems(changed(file, available=-1, held=13))
    assert "the file's hash is not that of its items" in problems(replace(file, hash="00" * 32))
    assert any("format" in what for what in problems(replace(file, format="another")))


def test_what_is_signed_is_the_show_and_the_hash():
    assert signed_text("gala", "ff00") == b"gala\x1f\xff\x00"
