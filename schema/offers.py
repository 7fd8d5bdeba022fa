"""What a show offers beside its items at their price: bundles, flash prices, coupons."""

from typing import Annotated

from msgspec import Meta, Struct

from schema.ids import ShowId, Slug, VariantId
from schema.money import MinorUnits, Money

Moment = Annotated[int, Meta(ge=0, le=10**14)]
Uses = Annotated[int, Meta(ge=1, le=1_000_000)]
CouponCode = Annotated[str, Meta(pattern="^[A-Za-z0-9_-]{1,40}$")]


class BundlePart(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """So many units of an item of the show."""

    variant_id: VariantId
    units: Annotated[int, Meta(ge=1, le=100)] = 1


class Bundle(Struct, frozen=True, kw_only=True):
    """Items sold together at a price of their own; it is held by its id as if it were a variant."""

    bundle_id: VariantId
    title: str
    image: str
    price: Money
    instead_of: Money
    """What the parts cost one by one."""
    parts: list[BundlePart]
    available: int
    """As many as the scarcest part allows."""


class BundleRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Put a bundle on sale in a show."""

    title: Annotated[str, Meta(min_length=1, max_length=200)]
    price_amount: MinorUnits
    parts: Annotated[list[BundlePart], Meta(min_length=2, max_length=10)]
    image: Annotated[str, Meta(max_length=500)] = ""
    bundle_id: Slug | None = None


class FlashPrice(Struct, frozen=True, kw_only=True):
    """Another price for so many units, until a moment. What was announced stands: it may end early, never late."""

    price: Money
    instead_of: Money
    quantity: int
    remaining: int
    """0: used up for now; a hold that ends without a sale brings its units back."""
    ends_at_ms: int
    limit_per_buyer: int | None = None


class FlashPriceRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Begin a flash price."""

    price_amount: MinorUnits
    quantity: Annotated[int, Meta(ge=1, le=1_000_000)]
    ends_at_ms: Moment
    limit_per_buyer: Annotated[int, Meta(ge=1, le=1000)] | None = None


class Coupon(Struct, frozen=True, kw_only=True):
    """A code that takes a share or an amount off a basket."""

    show_id: ShowId
    code: CouponCode
    percent_bp: int | None
    amount: MinorUnits | None
    minimum: MinorUnits
    from_ms: int
    until_ms: int | None
    uses: int | None
    uses_per_buyer: int | None
    used: int
    """Being paid with, or paid with."""
    pinned: bool


class CouponRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A new coupon: `percent_bp` or `amount`, not both."""

    code: CouponCode
    percent_bp: Annotated[int, Meta(ge=1, le=10_000, description="Basis points: 1000 is 10 %.")] | None = None
    amount: Annotated[int, Meta(ge=1, le=10**12)] | None = None
    minimum: MinorUnits = 0
    """Of goods, before anything is taken off."""
    from_ms: Moment = 0
    until_ms: Moment | None = None
    uses: Uses | None = None
    uses_per_buyer: Uses | None = None


class CouponPage(Struct, frozen=True, kw_only=True):
    """A show's coupons."""

    items: list[Coupon]


class CouponPinRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Offer this coupon to everybody who watches: pages apply it without typing."""

    code: CouponCode


class PinnedCoupon(Struct, frozen=True, kw_only=True):
    """The coupon that a show offers to everybody who watches."""

    code: CouponCode
    percent_bp: int | None = None
    amount: Money | None = None
    minimum: Money
    until_ms: int | None = None
