"""Money: integer minor units and an ISO 4217 currency. Never a float."""

from typing import Annotated

from msgspec import Meta, Struct

Currency = Annotated[str, Meta(pattern="^[A-Z]{3}$")]
MinorUnits = Annotated[int, Meta(ge=0, le=10**12, description="Minor units: 1800 is 18.00 euros.")]


class Money(Struct, frozen=True, kw_only=True):
    """An amount in minor units of one currency."""

    amount: int
    currency: Currency

    def times(self, quantity: int) -> "Money":
        """The price of `quantity` of these."""
        return Money(amount=self.amount * quantity, currency=self.currency)
