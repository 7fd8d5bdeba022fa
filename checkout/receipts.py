"""Receipts: made of what is written down for good, so that the same order has the same receipt for ever.

Owns: nothing; the rows are the order's, the ledger's and `order_marks`'.
Invariant: a receipt is its buyer's, or an operator's to see.
"""

from checkout.core.receipt import FORMAT, Signer
from checkout.truth import Truth, sql
from checkout.waitlist import owner
from schema.errors import NotFound
from schema.ids import OrderId
from schema.money import Money
from schema.people import Principal
from schema.receipt import Receipt, ReceiptLine


class Receipts:
    """Raises Unavailable when Postgres does not answer."""

    def __init__(self, truth: Truth, signer: Signer) -> None:
        self._truth, self.signer = truth, signer

    async def of(self, principal: Principal, order_id: OrderId) -> Receipt:
        """The signed receipt of an order of one's own; an operator sees all. Raises NotFound."""
        rows = await self._truth.fetch(sql("receipt"), order_id, *owner(principal))
        if not rows:
            raise NotFound("There is no such order")
        first = rows[0]
        tapped_ms: int = min(row["tapped_at_ms"] for row in rows)
        live_ms: int | None = first["live_at_ms"]
        begun = live_ms is not None and tapped_ms >= live_ms
        receipt = Receipt(
            format=FORMAT,
            show_id=first["show_id"],
            order_id=first["order_id"],
            number=first["number"],
            lines=[
                ReceiptLine(
                    variant_id=row["variant_id"],
                    title=f"{row['title']}, {row['option']}" if row["option"] else row["title"],
                    quantity=row["units"],
                    price_seen=Money(amount=row["unit_amount"], currency=row["currency"]),
                    total=Money(amount=row["amount"], currency=row["currency"]),
                    ledger_seq=row["seq"],
                    ledger_hash=row["hash"].hex(),
                )
                for row in rows
            ],
            total=Money(amount=first["total"], currency=first["currency"]),
            tapped_at_ms=tapped_ms,
            sold_at_ms=first["created_at_ms"],
            video_second=round((tapped_ms - live_ms) / 1000, 1) if begun and live_ms is not None else None,
            test=first["test"],
            salt=first["salt"],
        )
        return self.signer.signed(receipt)
