"""Money: integer minor units and an ISO 4217 currency. Never a float."""

from decimal import Decimal
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


MINOR_DIGITS = dict.fromkeys(
    (
        "BIF",
        "CLP",
        "DJF",
        "GNF",
        "ISK",
        "JPY",
        "KMF",
        "KRW",
        "PYG",
        "RWF",
        "UGX",
        "UYI",
        "VND",
        "VUV",
        "XAF",
        "XOF",
        "XPF",
    ),
    0,
) | dict.fromkeys(("BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"), 3)
"""ISO 4217's currencies whose minor unit is not a hundredth."""


def decimal_of(amount: int, currency: str) -> Decimal:
    """Minor units as people write them: 2 decimals, unless ISO 4217 gives the currency another number."""
    return Decimal(amount).scaleb(-MINOR_DIGITS.get(currency, 2))
