"""From tap to order: holds, orders, refunds."""

from enum import StrEnum
from typing import Annotated

from msgspec import Meta, Struct

from schema.ids import AccountId, HoldId, OrderId, RefundId, ShowId, VariantId, WaitlistEntryId
from schema.money import Money
from schema.show import Quantity


class HoldState(StrEnum):
    """The life of a hold; `checkout.core.reservation` holds the table of moves."""

    HELD = "held"
    PAYING = "paying"
    SOLD = "sold"
    EXPIRED = "expired"
    RELEASED = "released"


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


Email = Annotated[
    str, Meta(pattern=r"^([^@\s\x00-\x1f]{1,64}@[^@\s\x00-\x1f.]+(\.[^@\s\x00-\x1f.]+)+)?$", max_length=254)
]
"""An e-mail address, or nothing. Only its shape is looked at: whether it reaches anybody shows later."""


class HoldRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A viewer's tap."""

    variant_id: VariantId
    quantity: Quantity = 1


class Hold(Struct, frozen=True, kw_only=True):
    """Units promised to one buyer until `expires_at_ms`, at the price they saw."""

    hold_id: HoldId
    show_id: ShowId
    variant_id: VariantId
    buyer_id: AccountId
    quantity: int
    state: HoldState
    unit_price: Money
    total: Money
    created_at_ms: int
    expires_at_ms: int
    order_id: OrderId | None = None


class WaitlistState(StrEnum):
    """The life of a place on the waitlist."""

    WAITING = "waiting"
    OFFERED = "offered"
    """A hold was made for it: from here on that one tells the rest."""
    PASSED = "passed"
    """Its turn came when the buyer already had as many as one may have."""
    LEFT = "left"


class WaitlistEntry(Struct, frozen=True, kw_only=True):
    """A buyer's place in the line for a product that is sold out."""

    entry_id: WaitlistEntryId
    show_id: ShowId
    variant_id: VariantId
    buyer_id: AccountId
    quantity: int
    state: WaitlistState
    ahead: int
    """How many entries are before this one; 0 for the head, and for one that waits no more."""
    hold_id: HoldId | None = None
    """The hold that was made for it, once it is `offered`."""
    created_at_ms: int


class WaitlistPage(Struct, frozen=True, kw_only=True):
    """One page of a show's waitlists: products in order, and in each the head first."""

    items: list[WaitlistEntry]
    next_cursor: str | None = None


class PayRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Pay for a hold with a method of the payment provider's."""

    payment_method: Annotated[str, Meta(min_length=1, max_length=200)]
    email: Email = ""
    """Where a guest is reached; kept with the payment. The limit per buyer counts per mailbox too."""


class PaymentStep(Struct, frozen=True, kw_only=True):
    """Where the payment of a hold stands, and what the buyer's page has to do for it."""

    hold_id: HoldId
    hold_state: HoldState
    state: str
    """`pending`, `authorized`, `declined`, `captured` or `cancelled`, as the provider says now; empty: not begun."""
    client_secret: str = ""
    """Not empty: the bank wants to hear from the buyer; with it the provider's script in the page asks them."""
    code: str = ""
    """Why it was declined: `payment_declined` or `limit_reached`."""


class Order(Struct, frozen=True, kw_only=True):
    """A paid hold."""

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


class RefundRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Give money back; without an amount, all that is left. The refund that empties an order returns its units."""

    amount: Annotated[int, Meta(ge=1, le=10**12)] | None = None


class Refund(Struct, frozen=True, kw_only=True):
    """Money given back."""

    refund_id: RefundId
    order_id: OrderId
    amount: Money
    units_returned: int
    order_state: OrderState
    created_at_ms: int


class OutboxEntry(Struct, frozen=True, kw_only=True):
    """Something that the payment provider has to be told: a capture, a refund, or to let money go."""

    entry_id: int
    kind: str
    """`capture`, `refund` or `cancel`."""
    state: str
    """`pending`, or `parked`: it waits for an operator."""
    payment_id: str
    order_id: OrderId | None
    amount: Money
    attempts: int
    why: str
    """What the provider said last."""


class OutboxPage(Struct, frozen=True, kw_only=True):
    """One page of what waits for an operator, oldest first."""

    items: list[OutboxEntry]
    next_cursor: str | None = None


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


class OrderPage(Struct, frozen=True, kw_only=True):
    """One page of a show's orders, newest first."""

    items: list[Order]
    next_cursor: str | None = None


class HoldPage(Struct, frozen=True, kw_only=True):
    """One page of a show's open holds, oldest first."""

    items: list[Hold]
    next_cursor: str | None = None
