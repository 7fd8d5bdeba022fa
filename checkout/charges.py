"""What a show adds to the price of its goods: shipping; and which part of it is tax.

Owns: the rates of each show (show_charges, tax_rates, shipping_rates). The arithmetic is `core/pricing.py`'s.
Invariant: a payment that is under way keeps what it was quoted, whatever is set meanwhile.
"""

import asyncpg
import msgspec

from checkout.core.pricing import Rate
from checkout.truth import Truth, sql
from schema.errors import Invalid, NotFound
from schema.ids import ShowId
from schema.show import Charges, ShippingRate, TaxRate

_taxes = msgspec.json.Decoder(list[TaxRate])
_rates = msgspec.json.Decoder(list[ShippingRate])


class ChargesBook:
    """The rates of all shows. Every method raises Unavailable while Postgres does not answer."""

    def __init__(self, truth: Truth) -> None:
        self._truth = truth

    async def get(self, show_id: ShowId) -> Charges:
        """The rates of a show; none at all where none were set."""
        row = await self._truth.one(sql("charges"), show_id)
        if row is None:
            return Charges()
        return Charges(
            home_country=row["home_country"],
            shipping_required=row["shipping_required"],
            tax=_taxes.decode(row["tax"]),
            shipping=_rates.decode(row["shipping"]),
        )

    async def put(self, show_id: ShowId, charges: Charges) -> Charges:
        """Replace a show's rates. Raises NotFound, Invalid (the same rate twice)."""
        if len({rate.country for rate in charges.tax}) < len(charges.tax):
            raise Invalid("A country has two tax rates", pointer="/tax")
        if len({(rate.country, rate.method) for rate in charges.shipping}) < len(charges.shipping):
            raise Invalid("A country has two shipping methods of one name", pointer="/shipping")
        if charges.shipping_required and not charges.shipping:
            raise Invalid("Shipping is required, and there is none", pointer="/shipping")
        try:
            await self._truth.fetch(
                "SELECT set_charges($1, $2, $3, $4, $5, $6, $7, $8, $9)",
                show_id,
                charges.home_country,
                charges.shipping_required,
                [rate.country for rate in charges.tax],
                [rate.rate_bp for rate in charges.tax],
                [rate.country for rate in charges.shipping],
                [rate.method for rate in charges.shipping],
                [rate.amount for rate in charges.shipping],
                [rate.free_from for rate in charges.shipping],
            )
        except asyncpg.ForeignKeyViolationError:
            raise NotFound(f"There is no show {show_id}") from None
        return await self.get(show_id)


def tax_bp(charges: Charges, country: str | None) -> int:
    """The rate contained in prices for a country (None: the home country); 0 where none was set."""
    where = country or charges.home_country
    return next((rate.rate_bp for rate in charges.tax if rate.country == where), 0)


def way_to(charges: Charges, country: str | None, method: str | None) -> ShippingRate | None:
    """How goods go to a country: by `method`, or without one by the first; None where shipping costs nothing.

    Raises Invalid for a country or method that the show does not ship to or by.
    """
    if country is None:
        if method is not None or charges.shipping_required:
            raise Invalid("Which country does it go to?", pointer="/country")
        return None
    if not charges.shipping and method is None:
        return None
    there = [rate for rate in charges.shipping if rate.country == country]
    if not there:
        raise Invalid(f"This show does not ship to {country}", pointer="/country")
    chosen = next((rate for rate in there if method in {None, rate.method}), None)
    if chosen is None:
        raise Invalid(f"There is no shipping method {method} to {country}", pointer="/shipping_method")
    return chosen


def rate_of(way: ShippingRate | None) -> Rate | None:
    """The way, as pricing wants it."""
    return Rate(amount=way.amount, free_from=way.free_from) if way else None
