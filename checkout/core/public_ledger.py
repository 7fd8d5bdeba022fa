"""The ledger for everybody: what was sold, without who bought it.

An order is named by a hash that only its buyer can compute, with the salt of the receipt; each entry carries the hash
of the ledger's own entry, and a chain of its own over what is public, so that a file can be checked with nothing else.

Owns: the public form of an entry, and the check of a file of them.
Invariant: no account, name, hold or refund is in it; opening + restocked + returned - sold - withdrawn = on hand
= available + held.
"""

import hashlib
from collections import Counter
from collections.abc import Iterator

from msgspec import Struct

from checkout.core.chain import GENESIS, link
from checkout.core.ledger import Entry

FORMAT = "showfloor-ledger-1"


class PublicEntry(Struct, frozen=True, kw_only=True):
    """One entry of one item's ledger."""

    seq: int
    kind: str
    units: int
    amount: int
    """Minor units; of sold, capture and refund."""
    order: str | None
    """sha256 of the receipt's salt and the order's id; hex."""
    at_ms: int
    entry: str
    """The hash of the ledger's own entry; a receipt names it too."""
    hash: str
    """Over the public hash before it and the fields above; hex."""


class PublicSums(Struct, frozen=True, kw_only=True):
    """What an item's entries add up to."""

    opening: int
    restocked: int
    returned: int
    sold: int
    withdrawn: int
    on_hand: int
    captured: int
    refunded: int


class PublicItem(Struct, frozen=True, kw_only=True):
    """One item's ledger, and where its stock stands."""

    variant_id: str
    title: str
    currency: str
    entries: list[PublicEntry]
    sums: PublicSums
    held: int
    available: int
    head: str
    """The last entry's public hash; hex, zeros where there is none."""


class PublicLedger(Struct, frozen=True, kw_only=True):
    """A show's ledger, as a file."""

    format: str
    show_id: str
    made_at_ms: int
    items: list[PublicItem]
    hash: str
    """sha256 over the heads, in order; hex."""
    key: str = ""
    """The shop's public key, Ed25519, base64url."""
    signature: str = ""
    """Of the hash's 32 bytes, the show's id before them; base64url."""


def order_name(salt: str, order_id: str) -> str:
    """How the public ledger calls an order."""
    return hashlib.sha256(f"{salt}{order_id}".encode()).hexdigest()


class Publisher:
    """Turns one item's entries into public ones, in order."""

    def __init__(self, show_id: str, variant_id: str) -> None:
        self._names, self._prev = (show_id, variant_id), GENESIS
        self._units: Counter[str] = Counter()
        self._money: Counter[str] = Counter()

    def publish(self, entry: Entry, salt: str | None) -> PublicEntry:
        """The public form of the next entry."""
        order = order_name(salt, entry.order_id) if salt and entry.order_id else None
        made = PublicEntry(
            seq=entry.seq, kind=entry.kind, units=entry.units, amount=entry.amount, order=order, at_ms=entry.at_ms,
            entry=entry.hash.hex(), hash="",
        )  # fmt: skip
        return self.follow(made)

    def follow(self, entry: PublicEntry) -> PublicEntry:
        """The same entry with the hash that it must have here."""
        self._prev = link(
            self._prev,
            (*self._names, entry.seq, entry.kind, entry.units, entry.amount, entry.order, entry.at_ms, entry.entry),
        )
        self._units[entry.kind] += entry.units
        self._money[entry.kind] += entry.amount
        return PublicEntry(
            seq=entry.seq, kind=entry.kind, units=entry.units, amount=entry.amount, order=entry.order,
            at_ms=entry.at_ms, entry=entry.entry, hash=self._prev.hex(),
        )  # fmt: skip

    @property
    def head(self) -> str:
        """The hash of the last entry."""
        return self._prev.hex()

    @property
    def sums(self) -> PublicSums:
        """Of the entries so far."""
        u = self._units
        return PublicSums(
            opening=u["opening"],
            restocked=u["restocked"],
            returned=u["returned"],
            sold=u["sold"],
            withdrawn=u["withdrawn"],
            on_hand=u["opening"] + u["restocked"] + u["returned"] - u["sold"] - u["withdrawn"],
            captured=self._money["capture"],
            refunded=self._money["refund"],
        )


def hash_of_heads(heads: list[str]) -> str:
    """The hash of a file."""
    return hashlib.sha256(b"".join(map(bytes.fromhex, heads))).hexdigest()


def signed_text(show_id: str, file_hash: str) -> bytes:
    """What the shop signs of a file."""
    return show_id.encode() + b"\x1f" + bytes.fromhex(file_hash)


def problems(ledger: PublicLedger) -> Iterator[str]:
    """What is wrong with a file, in words; nothing if it proves what it says. The signature is another's to check."""
    if ledger.format != FORMAT:
        yield f"the format is {ledger.format!r}, not {FORMAT!r}"
    for item in ledger.items:
        yield from (f"{item.variant_id}: {what}" for what in _item_problems(ledger.show_id, item))
    if ledger.hash != hash_of_heads([item.head for item in ledger.items]):
        yield "the file's hash is not that of its items"


def _item_problems(show_id: str, item: PublicItem) -> Iterator[str]:
    publisher = Publisher(show_id, item.variant_id)
    for at, entry in enumerate(item.entries, start=1):
        if entry.seq != at:
            yield f"entry {at} is missing: found {entry.seq}"
            return
        if publisher.follow(entry).hash != entry.hash:
            yield f"entry {at} was changed"
            return
    if publisher.head != item.head:
        yield "the chain ends elsewhere than its head says"
    if publisher.sums != item.sums:
        yield "the sums are not those of the entries"
    if publisher.sums.on_hand != item.available + item.held:
        yield (
            f"opening + restocked + returned - sold - withdrawn = {publisher.sums.on_hand}, "
            f"available + held = {item.available + item.held}"
        )
    if item.available < 0 or item.held < 0:
        yield f"oversold: {item.available} available, {item.held} held"
