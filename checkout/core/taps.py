"""What becomes of one tap: the codes that the gate and the truth share.

Owns: the codes of lua/reserve_many.lua and of reserve_many() in 0002_checkout.sql.
Invariant: every code is either a promise to look up, or one error of the family.
"""

from enum import IntEnum

from msgspec import Struct

from schema.errors import (
    IdempotencyMismatch,
    LimitReached,
    PriceWasChanged,
    SalesClosed,
    ShowfloorError,
    SoldOutError,
    Unavailable,
)


class Tap(Struct, frozen=True, kw_only=True):
    """One buyer's wish for units of one product. The hold's id is decided before anything else."""

    hold_id: str
    buyer_id: str
    buyer_name: str
    quantity: int
    price_seen: int | None = None
    """What the buyer thinks one unit costs; None: whatever it does."""
    refused_before: bool = False
    """This process has refused it by itself (soldout.py): it is a hold by now, or stays refused."""


class Code(IntEnum):
    """What the gate or the truth says of one tap."""

    HELD = 1
    KNOWN = 2
    """This hold id was decided before; the truth has it."""
    OFF_SHELF = 3
    """Known to the truth, and its units are not off the shelf any more. Only told to the gate."""
    CONFIRMING = 4
    """Admitted by the gate, and written down for a truth that does not answer. Only told to the buyer."""
    AGAIN = 0
    """Not decided: from this tap on the price was another one than for those before it. Only said by the truth."""
    SOLD_OUT = -1
    OVER_LIMIT = -2
    CLOSED = -3
    MISMATCH = -4
    FENCED = -5
    """The id was given up after a failure; take the next one."""
    UNDECIDED = -7
    """The truth does not answer, and may know it already. Only told to the buyer."""
    OTHER_PRICE = -6
    """It costs another amount than the buyer saw."""


BY_NUMBER = {int(code): code for code in Code}
"""Cheaper than the enum's own constructor, and asked for each tap."""

_REFUSALS: dict[Code, type[ShowfloorError]] = {
    Code.SOLD_OUT: SoldOutError,
    Code.OVER_LIMIT: LimitReached,
    Code.CLOSED: SalesClosed,
    Code.MISMATCH: IdempotencyMismatch,
    Code.UNDECIDED: Unavailable,
    Code.OTHER_PRICE: PriceWasChanged,
}


def refusal(code: Code) -> ShowfloorError | None:
    """The error a buyer gets for `code`; None where the tap goes on."""
    kind = _REFUSALS.get(code)
    if kind is Unavailable:
        return Unavailable("Stock cannot be confirmed right now", retry_after_ms=1000)
    return kind() if kind else None
