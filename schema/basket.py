"""Several holds paid for as one: what they cost together."""

from typing import Annotated

from msgspec import Meta, Struct

from schema.hold import Hold, HoldState
from schema.ids import HoldId, ShowId, VariantId
from schema.money import MinorUnits, Money
from schema.offers import CouponCode
from schema.payment import Email
from schema.show import CountryCode


class Amounts(Struct, frozen=True, kw_only=True):
    """What something costs: total = subtotal - discount + shipping. The tax is contained in the total."""

    subtotal: Money
    discount: Money
    shipping: Money
    tax: Money
    total: Money


class Line(Amounts, frozen=True, kw_only=True):
    """One hold in a basket, with its share of everything: the lines' totals sum to the basket's, to the cent."""

    hold_id: HoldId
    variant_id: VariantId
    quantity: int
    unit_price: Money
    bundle_id: VariantId | None = None


HoldIds = Annotated[list[HoldId], Meta(min_length=1, max_length=20)]


ShippingMethod = Annotated[str, Meta(min_length=1, max_length=60)]


class QuoteRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What would these holds cost together? A component of a bundle brings the others."""

    hold_ids: HoldIds
    country: CountryCode | None = None
    """Where it goes to; without one there is no shipping, and the tax is the home country's."""
    shipping_method: ShippingMethod | None = None
    """One of that country's; without one its first."""
    coupon: CouponCode | None = None


class Quote(Amounts, frozen=True, kw_only=True):
    """What a basket costs, as it will be charged."""

    show_id: ShowId
    lines: list[Line]
    country: CountryCode | None = None
    shipping_method: ShippingMethod | None = None
    tax_rate_bp: int
    coupon: CouponCode | None = None
    coupon_refused: str | None = None
    """Why the coupon takes nothing off: `coupon_unknown`, `coupon_over`, `coupon_minimum`, `coupon_used_up` or
    `coupon_used`. Paying with it would be refused for the same reason."""
    expires_at_ms: int
    """When the first of the holds lapses."""


class BasketPayRequest(QuoteRequest, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Pay for a basket as it was quoted."""

    payment_method: Annotated[str, Meta(min_length=1, max_length=200)]
    email: Email = ""
    total: MinorUnits
    """The total the buyer was shown; another one is refused."""


class PayingBasket(Struct, frozen=True, kw_only=True):
    """A basket whose payment the provider has not decided yet."""

    state: HoldState
    holds: list[Hold]
