"""Exports: a show's orders as CSV, read in pages, so that a show of any size takes no memory.

Owns: the columns. Invariant: a line an item of an order; `paid` and `refunded` add up to the dashboard's totals.
"""

from collections.abc import AsyncIterator
from datetime import UTC, datetime

from checkout.core.csv_lines import line
from checkout.rows import Row
from checkout.truth import Truth, sql
from schema.errors import Conflict, NotFound
from schema.ids import ShowId
from schema.money import decimal_of

ORDERS_AT_ONCE = 500
COLUMNS = (
    "number", "order_id", "sold_at", "state", "buyer", "product", "option", "variant_id", "sku", "quantity",
    "unit_price", "total", "paid", "refunded", "net", "currency",
)  # fmt: skip
"""`total` is what of the order is the line's; `paid` is the same, or nothing where the money could not be taken."""
UNPAID = frozenset({"capture_failed", "cancelled"})


class Exports:
    """Raises Unavailable when Postgres does not answer."""

    def __init__(self, truth: Truth) -> None:
        self._truth = truth

    async def orders(self, show_id: ShowId) -> AsyncIterator[bytes]:
        """The orders, oldest first, in pieces. Raises NotFound, Conflict for a rehearsal, before the first of them."""
        show = await self._truth.one(sql("open_show"), show_id)
        if show is None:
            raise NotFound("There is no such show")
        if show["rehearsal"]:
            raise Conflict("A rehearsal sells nothing: it is not exported")
        return self._pieces(show_id)

    async def _pieces(self, show_id: ShowId) -> AsyncIterator[bytes]:
        yield line(COLUMNS).encode()
        last = ""
        while rows := await self._truth.fetch(sql("orders_export"), show_id, last, ORDERS_AT_ONCE):
            last = rows[-1]["order_id"]
            yield "".join(_line(row) for row in rows).encode()


def _line(row: Row) -> str:
    currency, total, refunded = row["currency"], row["amount"], row["refunded"]
    paid = 0 if row["state"] in UNPAID else total
    sold_at = datetime.fromtimestamp(row["created_at_ms"] / 1000, tz=UTC).isoformat(timespec="seconds")
    return line(
        (
            row["number"],
            row["order_id"],
            sold_at.replace("+00:00", "Z"),
            row["state"],
            row["buyer_name"],
            row["title"],
            row["option"],
            row["variant_id"],
            row["sku"],
            row["units"],
            decimal_of(row["unit_amount"], currency),
            decimal_of(total, currency),
            decimal_of(paid, currency),
            decimal_of(refunded, currency),
            decimal_of(paid - refunded, currency),
            currency,
        )
    )
