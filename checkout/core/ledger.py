"""The ledger's arithmetic: the hash chain, and what must agree with it.

Owns: the canonical form of an entry (0002_checkout.sql computes the same in SQL) and the sums of a chain.
Invariant: opening + restocked + returned - sold - withdrawn = on_hand; money = captures - refunds.
"""

from collections import Counter
from collections.abc import Iterable, Iterator

from msgspec import Struct

from checkout.core.chain import GENESIS, link


class Entry(Struct, frozen=True, kw_only=True):
    """One row of the ledger."""

    show_id: str
    variant_id: str
    seq: int
    kind: str
    units: int
    amount: int
    currency: str | None
    order_id: str | None
    hold_id: str | None
    refund_id: str | None
    at_ms: int
    prev_hash: bytes
    hash: bytes


def entry_hash(prev_hash: bytes, entry: Entry) -> bytes:
    """sha256 over the predecessor's hash and the entry's fields, joined by 0x1f, None as the empty string."""
    fields = (
        entry.show_id,
        entry.variant_id,
        entry.seq,
        entry.kind,
        entry.units,
        entry.amount,
        entry.currency,
        entry.order_id,
        entry.hold_id,
        entry.refund_id,
        entry.at_ms,
    )
    return link(prev_hash, fields)


def broken_links(entries: Iterable[Entry], *, last_seq: int, last_hash: bytes) -> Iterator[str]:
    """What is wrong with one product's chain, in words; nothing if it is whole and ends where it should."""
    prev, expected = GENESIS, 1
    for entry in entries:
        if entry.seq != expected:
            yield f"entry {expected} is missing: found {entry.seq}"
            expected = entry.seq
        if entry.prev_hash != prev:
            yield f"entry {entry.seq} does not follow its predecessor"
        if entry.hash != entry_hash(entry.prev_hash, entry):
            yield f"entry {entry.seq} was changed after it was written"
        prev, expected = entry.hash, expected + 1
    if (expected - 1, prev) != (last_seq, last_hash):
        yield f"the chain ends at {expected - 1}, the stock row says {last_seq}"


class Sums(Struct, frozen=True, kw_only=True):
    """What one product's chain adds up to."""

    opening: int
    restocked: int
    sold: int
    returned: int
    withdrawn: int
    captured: int
    """Minor units."""
    refunded: int

    @property
    def on_hand(self) -> int:
        return self.opening + self.restocked + self.returned - self.sold - self.withdrawn

    @property
    def money(self) -> int:
        return self.captured - self.refunded


def sums(entries: Iterable[Entry]) -> Sums:
    """The totals of one product's chain."""
    units: Counter[str] = Counter()
    money: Counter[str] = Counter()
    for entry in entries:
        units[entry.kind] += entry.units
        money[entry.kind] += entry.amount
    return Sums(
        opening=units["opening"],
        restocked=units["restocked"],
        sold=units["sold"],
        returned=units["returned"],
        withdrawn=units["withdrawn"],
        captured=money["capture"],
        refunded=money["refund"],
    )
