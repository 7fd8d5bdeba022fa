"""Places in the line for what is sold out."""

from enum import StrEnum

from msgspec import Struct

from schema.ids import AccountId, HoldId, ShowId, VariantId, WaitlistEntryId


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
