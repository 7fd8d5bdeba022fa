"""The open books of a show: its ledger without the buyers, for whoever wants to check it.

Owns: how the file is written, entry by entry, so that a show of any size takes no memory.
Invariant: a file is one snapshot, and holds no connection while its reader takes it; at most FILES_AT_ONCE are being
written.
"""

import time
from collections.abc import AsyncIterator
from typing import Any

import msgspec
from msgspec import Struct

from checkout.core.ledger import Entry
from checkout.core.public_ledger import FORMAT, PublicSums, Publisher, hash_of_heads, signed_text
from checkout.core.receipt import Signer
from checkout.rows import Row
from checkout.truth import Truth, sql
from schema.errors import NotFound, Unavailable
from schema.ids import ShowId

FILES_AT_ONCE = 4
ENTRIES_AT_ONCE = 500

_encode = msgspec.json.Encoder().encode


class OpenItem(Struct, frozen=True, kw_only=True):
    """One item's sums."""

    variant_id: str
    title: str
    currency: str
    sums: PublicSums
    held: int
    available: int
    entries: int
    ledger_hash: str
    """The hash of the ledger's last entry."""


class OpenBook(Struct, frozen=True, kw_only=True):
    """What a show's ledger adds up to."""

    show_id: ShowId
    title: str
    rehearsal: bool
    made_at_ms: int
    items: list[OpenItem]
    balanced: bool
    """opening + restocked + returned - sold - withdrawn = available + held, of each."""
    key: str
    """The shop's public key, which signs the file and the receipts."""


class OpenBooks:
    """Raises Unavailable when Postgres does not answer, or too many files are being written."""

    def __init__(self, truth: Truth, signer: Signer) -> None:
        self._truth, self._signer = truth, signer
        self._writing = 0

    async def summary(self, show_id: ShowId) -> OpenBook:
        """The sums. Raises NotFound."""
        show = await self._show(show_id)
        items = [_item(row) for row in await self._truth.fetch(sql("open_book"), show_id)]
        return OpenBook(
            show_id=show_id,
            title=show["title"],
            rehearsal=show["rehearsal"],
            made_at_ms=_now_ms(),
            items=items,
            balanced=all(item.sums.on_hand == item.held + item.available for item in items),
            key=self._signer.public,
        )

    async def file(self, show_id: ShowId) -> AsyncIterator[bytes]:
        """The file, in pieces. Raises NotFound and Unavailable before the first of them."""
        await self._show(show_id)
        if self._writing >= FILES_AT_ONCE:
            raise Unavailable("The ledger is being written for others", retry_after_ms=2000)
        return self._file(show_id)

    async def _show(self, show_id: ShowId) -> Any:
        row = await self._truth.one(sql("open_show"), show_id)
        if row is None:
            raise NotFound("There is no such show")
        return row

    async def _file(self, show_id: ShowId) -> AsyncIterator[bytes]:
        self._writing += 1
        try:
            async for piece in self._pieces(show_id):
                yield piece
        finally:
            self._writing -= 1

    async def _pieces(self, show_id: ShowId) -> AsyncIterator[bytes]:
        """One look at the stock says how far each ledger goes; what is before that never changes."""
        head = {"format": FORMAT, "show_id": show_id, "made_at_ms": _now_ms()}
        opening, heads = _encode(head)[:-1] + b',"items":[', list[str]()
        for row in await self._truth.fetch(sql("open_stock"), show_id):
            publisher = Publisher(show_id, row["variant_id"])
            about = {"variant_id": row["variant_id"], "title": row["title"], "currency": row["currency"]}
            yield opening + _encode(about)[:-1] + b',"entries":['
            async for entries in self._entries(publisher, row):
                yield entries
            heads.append(publisher.head)
            ends = {
                "sums": publisher.sums,
                "held": row["taken"] - row["sold"],
                "available": row["stocked"] - row["taken"],
                "head": publisher.head,
            }
            yield b"]," + _encode(ends)[1:]
            opening = b","
        total = hash_of_heads(heads)
        signature = self._signer.sign(signed_text(show_id, total))
        seal = {"hash": total, "key": self._signer.public, "signature": signature}
        yield (b"" if heads else opening) + b"]," + _encode(seal)[1:] + b"\n"

    async def _entries(self, publisher: Publisher, item: Row) -> AsyncIterator[bytes]:
        comma, seen, names = b"", 0, (item["show_id"], item["variant_id"])
        while seen < item["ledger_seq"]:
            rows = await self._truth.fetch(sql("open_entries"), *names, seen, item["ledger_seq"], ENTRIES_AT_ONCE)
            if not rows:
                return  # somebody has cut it off: the file then says so to whoever checks it
            made = b",".join(_encode(publisher.publish(_entry(row), row["salt"])) for row in rows)
            yield comma + made
            comma, seen = b",", rows[-1]["seq"]


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _entry(row: Row) -> Entry:
    return Entry(**{name: row[name] for name in Entry.__struct_fields__})


def _item(row: Row) -> OpenItem:
    sums = PublicSums(
        opening=row["opening"],
        restocked=row["restocked"],
        returned=row["returned"],
        sold=row["sold"],
        withdrawn=row["withdrawn"],
        on_hand=row["opening"] + row["restocked"] + row["returned"] - row["sold"] - row["withdrawn"],
        captured=row["captured"],
        refunded=row["refunded"],
    )
    return OpenItem(
        variant_id=row["variant_id"],
        title=row["title"],
        currency=row["currency"],
        sums=sums,
        held=row["held"],
        available=row["available"],
        entries=row["ledger_seq"],
        ledger_hash=row["ledger_hash"].hex(),
    )
