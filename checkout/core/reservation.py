"""One viewer's claim on stock, from hold to order.

Owns: the life of a reservation. Reads no clock and does no I/O: `now_ms` comes in.
Invariant: EXPIRED, RELEASED and SOLD are never left (an order then has a life of its own).

Postgres holds the same moves in the trigger `guard_hold_move`; a test compares the two.
"""

from enum import StrEnum

from schema.errors import Conflict
from schema.hold import HoldState

HELD, PAYING, SOLD = HoldState.HELD, HoldState.PAYING, HoldState.SOLD
EXPIRED, RELEASED = HoldState.EXPIRED, HoldState.RELEASED


class HoldEvent(StrEnum):
    """What can happen to a hold."""

    PAY = "pay"
    RELEASE = "release"
    LAPSE = "lapse"
    AUTHORIZED = "authorized"
    DECLINED = "declined"
    DECLINED_LATE = "declined late"
    """Declined, or cancelled for sure, when the promised time is already over."""


TRANSITIONS: dict[tuple[HoldState, HoldEvent], HoldState] = {
    (HELD, HoldEvent.PAY): PAYING,
    (HELD, HoldEvent.RELEASE): RELEASED,
    (HELD, HoldEvent.LAPSE): EXPIRED,
    # No (PAYING, LAPSE) and no (PAYING, RELEASE): the provider may already have the viewer's money,
    # and a slow bank must not cost them the unit.
    (PAYING, HoldEvent.AUTHORIZED): SOLD,
    (PAYING, HoldEvent.DECLINED): HELD,
    (PAYING, HoldEvent.DECLINED_LATE): RELEASED,
}

# CONFIRMING comes before this table: such a hold is no row yet (confirming.py).
TERMINAL = frozenset(HoldState) - {state for state, _ in TRANSITIONS} - {HoldState.CONFIRMING}


def move(state: HoldState, event: HoldEvent) -> HoldState:
    """The state after `event`. Raises Conflict where the table has no such move."""
    try:
        return TRANSITIONS[state, event]
    except KeyError:
        raise Conflict(f"A hold that is {state} cannot be: {event}") from None


def keeps_units(state: HoldState, *, returned: bool) -> bool:
    """True while the hold's units are off the shelf."""
    return state in {HELD, PAYING} or (state is SOLD and not returned)
