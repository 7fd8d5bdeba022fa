"""Orders: what was paid for, what was given back, and what a buyer or a show has in all."""

from enum import StrEnum
from typing import Annotated

from msgspec import Meta, Struct

from schema.basket import Amounts, Line, ShippingMethod
from schema.hold import Hold
from schema.ids import AccountId, HoldId, OrderId, RefundId, ShowId, VariantId
from schema.money import Money
from schema.offers import CouponCode
from schema.show import CountryCode


class OrderState(StrEnum):
    """The life of an order; `checkout.core.order` holds the table of moves."""

    PAID = "paid"
    """Authorized and committed; the capture is on its way."""
    CAPTURED = "captured"
    CAPTURE_FAILED = "capture_failed"
    CANCELLED = "cancelled"
    """Undone before the capture: no money was taken, and the units went back."""
    PARTIALLY_REFUNDED = "partially_refunded"
    REFUNDED = "refunded"


class OrderLine(Line, frozen=True, kw_only=True):
    """One line of an order."""

    refunded: Money
    returned: bool
    """Its units came back."""


class Order(Struct, frozen=True, kw_only=True):
    """A paid hold, or a paid basket: then `hold_id`, `variant_id`, `quantity` and `unit_price` are its first line's."""

    order_id: OrderId
    hold_id: HoldId
    show_id: ShowId
    buyer_id: AccountId
    buyer_name: str
    variant_id: VariantId
    quantity: int
    state: OrderState
    unit_price: Money
    total: Money
    refunded: Money
    created_at_ms: int
    lines: list[OrderLine] = []
    amounts: Amounts | None = None
    """What the total is made of."""
    coupon: CouponCode | None = None
    country: CountryCode | None = None
    shipping_method: ShippingMethod | None = None


class OrderPage(Struct, frozen=True, kw_only=True):
    """One page of a show's orders, newest first."""

    items: list[Order]
    next_cursor: str | None = None


class RefundLine(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Give money of one line back; without an amount, all that is left of it, and its units return."""

    hold_id: HoldId
    amount: Annotated[int, Meta(ge=1, le=10**12)] | None = None


class RefundRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Give money back; without an amount, all that is left. The refund that empties an order returns its units.

    With `lines`, and no `amount`, of these lines only: one that is emptied by name returns its units.
    """

    amount: Annotated[int, Meta(ge=1, le=10**12)] | None = None
    lines: Annotated[list[RefundLine], Meta(min_length=1, max_length=20)] | None = None


class Refund(Struct, frozen=True, kw_only=True):
    """Money given back."""

    refund_id: RefundId
    order_id: OrderId
    amount: Money
    units_returned: int
    order_state: OrderState
    created_at_ms: int


class ShowTotals(Struct, frozen=True, kw_only=True):
    """What a show has sold, over all its orders but those whose capture failed."""

    orders: int
    units_sold: int
    """Gross: a refund takes none of them back."""
    paid: Money
    """Authorized or captured."""
    refunded: Money
    net: Money
    """`paid` less `refunded`."""


class Purchases(Struct, frozen=True, kw_only=True):
    """What one account has in a show: its open holds, the oldest first, and one page of its orders, newest first."""

    holds: list[Hold]
    """A bundle is one of them, with its `bundle`. Only the first page has any."""
    orders: list[Order]
    next_cursor: str | None = None
    """Of the orders."""
