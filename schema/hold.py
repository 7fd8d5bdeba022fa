"""Holds: a tap, and what is promised to it."""

from enum import StrEnum

from msgspec import Struct

from schema.ids import AccountId, HoldId, OrderId, ShowId, VariantId
from schema.money import MinorUnits, Money
from schema.show import Quantity


class HoldState(StrEnum):
    """The life of a hold; `checkout.core.reservation` holds the table of moves."""

    CONFIRMING = "confirming"
    """Admitted while the truth does not answer: promised to nobody, and no row yet. It becomes held, or expired."""
    HELD = "held"
    PAYING = "paying"
    SOLD = "sold"
    EXPIRED = "expired"
    RELEASED = "released"


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


class HoldPage(Struct, frozen=True, kw_only=True):
    """One page of a show's open holds, oldest first."""

    items: list[Hold]
    next_cursor: str | None = None
