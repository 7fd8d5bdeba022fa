"""The shop's books as pages: what is held, what was sold, and what a payment provider did not take.

Owns: the pages; it only reads. Who may see which is the operation's to say.
"""

from collections.abc import Sequence

from checkout.outbox import Outbox
from checkout.reconciler import Reconciler
from checkout.rows import Row, bundle_hold_of, hold_of, order_of, totals_of
from checkout.truth import Truth, sql
from schema.errors import NotFound
from schema.hold import Hold, HoldPage
from schema.ids import AccountId, ShowId
from schema.order import Order, OrderPage, Purchases, ShowTotals
from schema.pages import from_cursor, to_cursor
from schema.payment import OutboxPage, PaymentDifferencePage

PAGE_MOST = 200


class Books:
    """Every method raises Unavailable while Postgres does not answer, and Invalid for a cursor that is none."""

    def __init__(self, truth: Truth, outbox: Outbox, reconciler: Reconciler) -> None:
        self._truth, self._outbox, self._reconciler = truth, outbox, reconciler

    async def holds(self, show_id: ShowId, *, cursor: str | None = None, limit: int = 50) -> HoldPage:
        """A show's open holds, oldest first."""
        at_ms, hold_id = from_cursor(cursor, tuple[int, str]) or (0, "")
        limit = bounded(limit)
        rows = await self._truth.fetch(sql("open_holds"), show_id, at_ms, hold_id, limit + 1)
        items = [hold_of(row) for row in rows[:limit]]
        more = len(rows) > limit
        return HoldPage(
            items=items, next_cursor=to_cursor((items[-1].created_at_ms, items[-1].hold_id)) if more else None
        )

    async def orders(self, show_id: ShowId, cursor: str | None = None, limit: int = 50) -> OrderPage:
        """A show's orders, newest first."""
        (last,) = from_cursor(cursor, tuple[str]) or ("",)
        limit = bounded(limit)
        rows = await self._truth.fetch(sql("orders"), show_id, last, limit + 1)
        items = [order_of(row) for row in rows[:limit]]
        return OrderPage(items=items, next_cursor=to_cursor((items[-1].order_id,)) if len(rows) > limit else None)

    async def purchases(
        self, buyer_id: AccountId, show_id: ShowId, cursor: str | None = None, limit: int = 50
    ) -> Purchases:
        """What a buyer has in a show: open holds, and a page of orders, the newest first."""
        (last,) = from_cursor(cursor, tuple[str]) or ("",)
        limit = bounded(limit)
        # In this order: what is sold in between is in both answers, and never in none.
        held = [] if last else await self._truth.fetch(sql("holds_of_buyer"), show_id, buyer_id, PAGE_MOST)
        rows = await self._truth.fetch(sql("orders_of_buyer"), show_id, buyer_id, last, limit + 1)
        orders = [order_of(row) for row in rows[:limit]]
        more = to_cursor((orders[-1].order_id,)) if len(rows) > limit else None
        return Purchases(holds=_open_holds(held, orders), orders=orders, next_cursor=more)

    async def totals(self, show_id: ShowId) -> ShowTotals:
        """What a show has sold, over all its orders. Raises NotFound."""
        row = await self._truth.one(sql("totals"), show_id)
        if row is None:
            raise NotFound("There is no such show")
        return totals_of(row)

    async def parked(self, show_id: ShowId, cursor: str | None = None, limit: int = 50) -> OutboxPage:
        """What could not be said to the payment provider and waits for an operator, oldest first."""
        (after,) = from_cursor(cursor, tuple[int]) or (0,)
        limit = bounded(limit)
        entries = await self._outbox.parked(show_id, after=after, limit=limit + 1)
        items = entries[:limit]
        return OutboxPage(items=items, next_cursor=to_cursor((items[-1].entry_id,)) if len(entries) > limit else None)

    async def differences(self, show_id: ShowId, cursor: str | None = None, limit: int = 50) -> PaymentDifferencePage:
        """Payments of which the provider's record and ours disagree at the moment, oldest first."""
        after = from_cursor(cursor, tuple[int, str]) or (0, "")
        limit = bounded(limit)
        found = await self._reconciler.open(show_id, after=after, limit=limit + 1)
        items = found[:limit]
        more = len(found) > limit
        next_cursor = to_cursor((items[-1].found_at_ms, items[-1].payment_id)) if more else None
        return PaymentDifferencePage(items=items, next_cursor=next_cursor)


def _open_holds(rows: Sequence[Row], orders: list[Order]) -> list[Hold]:
    """The holds of these rows that are in none of the orders; a bundle's are one."""
    sold = {line.hold_id for order in orders for line in order.lines}
    groups: dict[str, list[Hold]] = {}
    for hold in (hold_of(row) for row in rows if row["hold_id"] not in sold):
        groups.setdefault(hold.bundle_hold_id or hold.hold_id, []).append(hold)
    return [bundle_hold_of(group) if group[0].bundle_id else group[0] for group in groups.values()]


def bounded(limit: int) -> int:
    """A page has at least one row and at most PAGE_MOST."""
    return min(max(limit, 1), PAGE_MOST)
