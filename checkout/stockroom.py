"""The stockroom: what an operator takes off the shelf, and at how few left they want to be told.

Owns: withdrawals and thresholds. Invariant: only what nobody holds is taken off; a retry takes off nothing more.
"""

from collections.abc import Callable

from checkout.core.audit import plain
from checkout.core.idempotency import derived_id
from checkout.gate import Product
from checkout.rows import Row, stock_of
from checkout.shelf import Shelf
from checkout.truth import Truth, sql
from schema.errors import Conflict, IdempotencyMismatch, NotFound
from schema.ids import ShowId, VariantId, new_id
from schema.show import LowStock, LowStocks, Stock


class Stockroom:
    """Raises Unavailable when Postgres does not answer."""

    def __init__(self, truth: Truth, shelf_of: Callable[[Product], Shelf]) -> None:
        self._truth, self._shelf_of = truth, shelf_of

    async def withdraw(
        self, show_id: ShowId, variant_id: VariantId, quantity: int, reason: str, *, account_id: str = "", key: str = ""
    ) -> Stock:
        """Take units off the shelf unsold. With a key, a retry of the same account takes them once.

        Raises Conflict with `available` where fewer are, NotFound, IdempotencyMismatch.
        """
        withdrawal = derived_id("wdr", account_id, key) if key else new_id("wdr")
        row = await self._truth.one(
            "SELECT * FROM withdraw($1, $2, $3, $4, $5)", show_id, variant_id, quantity, plain(reason), withdrawal
        )
        code, item = row["code"], row["item"]
        if code == "none":
            raise _not_on_sale()
        if code == "mismatch":
            raise IdempotencyMismatch
        if code == "short":
            left = item["stocked"] - item["taken"]
            raise Conflict(f"Only {left} can be withdrawn: the others are held or sold", available=left)
        if code == "ok":
            await self._shelf_of(Product(show_id, variant_id)).adjusted(item, units=-quantity)
        return stock_of(item)

    async def set_low(self, show_id: ShowId, variant_id: VariantId, low_at: int) -> LowStock:
        """Tell the operator when `low_at` or fewer are available; 0: never. Raises NotFound."""
        row = await self._truth.one(sql("set_low"), show_id, variant_id, low_at)
        if row is None:
            raise _not_on_sale()
        self._shelf_of(Product(show_id, variant_id)).tell(row)
        return low_of(row)

    async def copy_terms(self, show_id: ShowId, rehearsal_id: ShowId) -> None:
        """Charges and coupons of a show, for its rehearsal; once."""
        await self._truth.one(sql("rehearsal_terms"), show_id, rehearsal_id)

    async def low(self, show_id: ShowId) -> LowStocks:
        """The threshold of every item of a show, and since when it is below."""
        rows = await self._truth.fetch(sql("stock"), show_id, None)
        return LowStocks(items=[low_of(row) for row in rows])


def low_of(row: Row) -> LowStock:
    """The alert's part of a stock row."""
    return LowStock(
        variant_id=row["variant_id"],
        low_at=row["low_at"],
        low_since_ms=row["low_since_ms"],
        available=row["stocked"] - row["taken"],
    )


def _not_on_sale() -> NotFound:
    return NotFound("This variant is not on sale in this show")
