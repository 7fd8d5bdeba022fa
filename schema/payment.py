"""Payments: how a hold is paid for, where that stands, and what the provider still has to hear or disagrees about."""

from typing import Annotated

from msgspec import Meta, Struct

from schema.hold import HoldState
from schema.ids import HoldId, OrderId
from schema.money import Money

Email = Annotated[
    str, Meta(pattern=r"^([^@\s\x00-\x1f]{1,64}@[^@\s\x00-\x1f.]+(\.[^@\s\x00-\x1f.]+)+)?$", max_length=254)
]
"""An e-mail address, or nothing. Only its shape is looked at: whether it reaches anybody shows later."""


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
