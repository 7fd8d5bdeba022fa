"""From tap to order: holds, orders, refunds."""

from enum import StrEnum
from typing import Annotated

from msgspec import Meta, Struct

from schema.ids import AccountId, HoldId, OrderId, RefundId, ShowId, VariantId, WaitlistEntryId
from schema.money import MinorUnits, Money
from schema.offers import CouponCode
from schema.show import CountryCode, Quantity


class HoldState(StrEnum):
    """The life of a hold; `checkout.core.reservation` holds the table of moves."""

    CONFIRMING = "confirming"
    """Admitted while the truth does not answer: promised to nobody, and no row yet. It becomes held, or expired."""
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
    """Or a bundle's id."""
    quantity: Quantity = 1
    unit_price_amount: MinorUnits | None = None
    """The price the buyer saw: at another one nothing is held (409 `price_changed`)."""


class HeldBundle(Struct, frozen=True, kw_only=True):
    """A bundle that was taken: its parts' holds are paid for, released and refused as one."""

    bundle_id: VariantId
    hold_ids: list[HoldId]
    total: Money


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
    bundle_id: VariantId | None = None
    """The bundle whose component this is; it is paid for and released with the others."""
    bundle_hold_id: HoldId | None = None
    """The first hold of that bundle."""
    bundle: HeldBundle | None = None
    """All of that bundle, where the hold is asked for by itself."""


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


class OrderLine(Line, frozen=True, kw_only=True):
    """One line of an order."""

    refunded: Money
    returned: bool
    """Its units came back."""


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


class PaymentDifference(Struct, frozen=True, kw_only=True):
    """A payment of which the provider's record and ours disagree."""

    payment_id: str
    kind: str
    """`stray_authorization`, `stray_capture`, `not_captured`, `capture_missing`, `other_amount`, `refund_unknown` or
    `refund_missing`; docs/payments.md says what each means."""
    remedy: str
    """What is being done: `let_go`, `give_back`, `capture`; or `operator`: a person has to look."""
    provider: str
    order_id: OrderId | None
    here: str
    """The payment's state in our books; empty: unknown here."""
    there: str
    """At the provider; empty: unknown there."""
    amount: Money
    """In the wrong place, or in doubt."""
    found_at_ms: int
    seen_at_ms: int


class PaymentDifferencePage(Struct, frozen=True, kw_only=True):
    """One page of open differences, oldest first."""

    items: list[PaymentDifference]
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


class Purchases(Struct, frozen=True, kw_only=True):
    """What one account has in a show: its open holds, the oldest first, and one page of its orders, newest first."""

    holds: list[Hold]
    """A bundle is one of them, with its `bundle`. Only the first page has any."""
    orders: list[Order]
    next_cursor: str | None = None
    """Of the orders."""
