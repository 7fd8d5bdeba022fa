"""A price that was wrong for a while: what it led to, and taking that back in one action."""

from enum import StrEnum
from typing import Annotated

from msgspec import Meta, Struct

from schema.hold import HoldState
from schema.ids import HoldId, OrderId, VariantId
from schema.money import MinorUnits, Money
from schema.order import OrderState

Moment = Annotated[int, Meta(ge=0, le=2**53)]


class PriceErrorRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything that was tapped at this price in this time."""

    variant_id: VariantId
    amount: MinorUnits
    """The wrong price of one unit, in minor units."""
    from_ms: Moment = 0
    to_ms: Moment = 2**53
    """The moment itself no longer counts."""
    reason: Annotated[str, Meta(min_length=1, max_length=500)] = "price error"
    limit: Annotated[int, Meta(ge=1, le=100)] = 50
    """At most so many in this call; `left` says whether to call again."""


class AffectedKind(StrEnum):
    """What was affected."""

    ORDER = "order"
    HOLD = "hold"


class Affected(Struct, frozen=True, kw_only=True):
    """One hold at the wrong price: open, or sold in an order."""

    kind: AffectedKind
    hold_id: HoldId
    order_id: OrderId | None
    buyer_name: str
    quantity: int
    unit_price: Money
    to_refund: Money
    """What of the order is this line's and not given back yet; nothing for a hold."""
    hold_state: HoldState
    order_state: OrderState | None
    tapped_at_ms: int


class AffectedPage(Struct, frozen=True, kw_only=True):
    """One page, oldest tap first."""

    items: list[Affected]
    orders: int
    """In all, of those that have something to give back."""
    holds: int
    """In all, of those that are open."""
    amount: Money
    """To be given back in all."""
    next_cursor: str | None = None


class RollbackOutcome(StrEnum):
    """What became of one of them."""

    REFUNDED = "refunded"
    RELEASED = "released"
    ALREADY = "already"
    """Somebody else was faster."""
    LATER = "later"
    """It is being paid for, or its capture is on its way: call again."""
    FAILED = "failed"


class RollbackResult(Struct, frozen=True, kw_only=True):
    """What became of one of them."""

    kind: AffectedKind
    hold_id: HoldId
    order_id: OrderId | None
    outcome: RollbackOutcome
    amount: Money | None = None
    """Given back."""
    why: str = ""


class Rollback(Struct, frozen=True, kw_only=True):
    """What one call did."""

    results: list[RollbackResult]
    left: int
    """How many are left, orders and holds; 0: it is done."""
