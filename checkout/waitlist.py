"""The line for what is sold out.

Owns: how one joins, looks and leaves. Offers are the shelf's: it knows first when something is free.
Invariant: strictly in order, and while somebody waits nobody taps the units away (0004_waitlist.sql).
"""

import asyncio
import time
from array import array
from bisect import bisect_left
from collections.abc import Awaitable, Callable, Sequence

import asyncpg

from checkout.books import bounded
from checkout.core.shares import share_of
from checkout.gate import Product
from checkout.rows import entry_of
from checkout.shelf import Shelf
from checkout.truth import Truth, sql
from schema.errors import Conflict, Invalid, LimitReached, NotFound, SalesClosed, ShowfloorError, Unavailable
from schema.hold import HoldRequest
from schema.ids import HoldId, ShowId, WaitlistEntryId, new_id
from schema.pages import from_cursor, to_cursor
from schema.people import Principal, Role
from schema.waitlist import WaitlistEntry, WaitlistPage

MOST = 10_000
"""So many wait for one product at most; guests of one network have a share of these places (core/shares.py)."""
COUNTED_MOST = 200
"""So many ahead are counted for each who asks (waitlist_entry.sql)."""
LINE_FRESH_S = 1.0
"""Whoever has more ahead is told how many there were up to so long ago: the line is read once for all who ask."""


class Waitlist:
    """Every method raises Unavailable while Postgres does not answer."""

    def __init__(
        self,
        truth: Truth,
        shelf_of: Callable[[Product], Shelf],
        release: Callable[[Principal, HoldId], Awaitable[None]],
    ) -> None:
        self._truth, self._shelf_of, self._release = truth, shelf_of, release
        self._lines: dict[Product, tuple[float, Sequence[int]]] = {}
        """Of a long line, when it was read, and the places in it, in order; one a product that has a stock row."""
        self._reading = asyncio.Lock()

    async def join(self, principal: Principal, show_id: ShowId, request: HoldRequest) -> WaitlistEntry:
        """A place at the end of the line; the place one has, if one waits already.

        Raises Conflict if there is stock to be had, LimitReached, SalesClosed, NotFound, Invalid for a bundle,
        Unavailable if it is full.
        """
        entry_id = WaitlistEntryId(new_id("wait"))
        try:
            row = await self._truth.one(
                "SELECT * FROM join_waitlist($1, $2, $3, $4, $5, $6, $7, $8, $9)",
                show_id,
                request.variant_id,
                principal.account_id,
                principal.name,
                request.quantity,
                entry_id,
                MOST,
                principal.network,
                share_of(MOST),
            )
        except asyncpg.UniqueViolationError:
            # The first answer was lost, and before the call was repeated it was this one's turn.
            return await self.entry(principal, entry_id)
        if row["code"] == "none" and await self._truth.one(sql("bundle"), show_id, request.variant_id):
            raise Invalid("A bundle has no waitlist: wait for what is in it", pointer="/variant_id")
        if row["code"] != "waiting":
            raise _no_place(row["code"])
        await self._shelf_of(Product(show_id, request.variant_id)).adjusted(row["item"], waiting=True)
        if row["entry"]["entry_id"] != entry_id:
            return await self.entry(principal, row["entry"]["entry_id"])
        return entry_of({**dict(row["entry"].items()), "ahead": row["item"]["waiting"] - 1})  # the last of the line

    async def entry(self, principal: Principal, entry_id: WaitlistEntryId) -> WaitlistEntry:
        """A place of one's own; an operator sees all. Raises NotFound."""
        row = await self._truth.one(sql("waitlist_entry"), entry_id, *owner(principal))
        if row is None:
            raise NotFound("There is no such place on a waitlist")
        if row["ahead"] < COUNTED_MOST:
            return entry_of(row)
        places = await self._line(Product(row["show_id"], row["variant_id"]))
        return entry_of({**dict(row.items()), "ahead": bisect_left(places, row["place"])})

    async def _line(self, product: Product) -> Sequence[int]:
        """The places in a line, as of a moment ago; read by one of those who ask at a time."""
        async with self._reading:
            read_at_s, places = self._lines.get(product, (float("-inf"), ()))
            if time.monotonic() - read_at_s >= LINE_FRESH_S:
                row = await self._truth.one(sql("waitlist_line"), product.show_id, product.variant_id)
                places = array("q", row["places"])
                self._lines[product] = time.monotonic(), places
            return places

    async def leave(self, principal: Principal, entry_id: WaitlistEntryId) -> None:
        """Give a place up, or the hold it has become; twice is once. Raises NotFound, and Conflict as release does."""
        entry = await self.entry(principal, entry_id)
        row = await self._truth.one("SELECT * FROM leave_waitlist($1)", entry_id)
        if row["code"] == "offered":
            await self._release(principal, HoldId(row["entry"]["hold_id"]))
        elif row["code"] == "left":
            shelf, item = self._shelf_of(Product(entry.show_id, entry.variant_id)), row["item"]
            await shelf.adjusted(item, waiting=item["waiting"] > 0)

    async def page(self, show_id: ShowId, *, cursor: str | None = None, limit: int = 50) -> WaitlistPage:
        """Who waits in a show, product by product, the head of each line first."""
        variant_id, place = from_cursor(cursor, tuple[str, int]) or ("", 0)
        limit = bounded(limit)
        rows = await self._truth.fetch(sql("waitlist"), show_id, variant_id, place, limit + 1)
        items = [entry_of(row) for row in rows[:limit]]
        if len(rows) <= limit:
            return WaitlistPage(items=items)
        last = rows[limit - 1]
        return WaitlistPage(items=items, next_cursor=to_cursor((last["variant_id"], last["place"])))


def owner(principal: Principal) -> tuple[str | None, str | None]:
    """Whose rows they may see, and of which show (null: anybody's, any)."""
    everybody = principal.role.covers(Role.OPERATOR)
    return None if everybody else principal.account_id, principal.show_id


def _no_place(code: str) -> ShowfloorError:
    match code:
        case "stock":
            return Conflict("There is stock: tap to buy")
        case "limit":
            return LimitReached()
        case "network":
            return LimitReached("Guests of your network have as many places in this line as they may", of="network")
        case "closed":
            return SalesClosed()
        case "full":
            return Unavailable("The waitlist is full", retry_after_ms=10_000)
    assert code == "none", code
    return NotFound("This variant is not on sale in this show")
