"""What a provider has to remember of our payments: its own name for each, and which installation they are of.

Owns: that column of the payments. Invariant: a name, once noted, never changes.
"""

from msgspec import Struct

from checkout.truth import Truth, sql
from schema.money import Money


class Reference(Struct, frozen=True, kw_only=True):
    """A payment of ours, as far as its provider has to know it."""

    provider_id: str
    """Empty: the provider has not told it yet, or its answer was lost."""
    amount: Money
    created_at_ms: int


class PaymentBook:
    """Over Postgres. Raises Unavailable when it does not answer."""

    def __init__(self, truth: Truth) -> None:
        self._truth = truth

    async def about(self, payment_id: str) -> Reference | None:
        """None: a payment that we know nothing of."""
        row = await self._truth.one(sql("payment_reference"), payment_id)
        if row is None:
            return None
        return Reference(
            provider_id=row["provider_id"] or "",
            amount=Money(amount=row["amount"], currency=row["currency"]),
            created_at_ms=row["created_at_ms"],
        )

    async def note(self, payment_id: str, provider_id: str) -> None:
        """Remember the provider's name for a payment."""
        await self._truth.fetch(sql("payment_named"), payment_id, provider_id)

    async def installation(self) -> str:
        """A text that no other database has."""
        return str((await self._truth.one(sql("installation")))["id"])
