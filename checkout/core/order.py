"""A paid hold's life: the capture of its money, and what of it is given back.

Owns: the moves of an order and the arithmetic of refunds.
Invariant: 0 <= refunded <= total; the units come back once, with the refund that empties the order
or with the capture that failed, or with the cancellation.

Postgres holds the same moves in the trigger `guard_order_move`; a test compares the two.
"""

from enum import StrEnum

from msgspec import Struct

from schema.errors import Conflict
from schema.order import OrderState

PAID, CAPTURED, CAPTURE_FAILED = OrderState.PAID, OrderState.CAPTURED, OrderState.CAPTURE_FAILED
PARTIALLY_REFUNDED, REFUNDED = OrderState.PARTIALLY_REFUNDED, OrderState.REFUNDED
CANCELLED = OrderState.CANCELLED


class OrderEvent(StrEnum):
    """What can happen to an order."""

    CAPTURE = "capture"
    CAPTURE_REFUSED = "capture refused"
    CANCEL = "cancel"
    """By its buyer or an operator, before the money is taken."""
    REFUND_PART = "refund part"
    REFUND_REST = "refund rest"


TRANSITIONS: dict[tuple[OrderState, OrderEvent], OrderState] = {
    (PAID, OrderEvent.CAPTURE): CAPTURED,
    (PAID, OrderEvent.CAPTURE_REFUSED): CAPTURE_FAILED,
    # No (CAPTURED, CANCEL): that is a refund, and the shop's to decide.
    (PAID, OrderEvent.CANCEL): CANCELLED,
    (CAPTURED, OrderEvent.REFUND_PART): PARTIALLY_REFUNDED,
    (CAPTURED, OrderEvent.REFUND_REST): REFUNDED,
    (PARTIALLY_REFUNDED, OrderEvent.REFUND_PART): PARTIALLY_REFUNDED,
    (PARTIALLY_REFUNDED, OrderEvent.REFUND_REST): REFUNDED,
}

TERMINAL = frozenset(OrderState) - {state for state, _ in TRANSITIONS}


def cancel(state: OrderState) -> OrderState:
    """The state after a cancellation. Raises Conflict where the money was taken, or the order has ended already."""
    try:
        return TRANSITIONS[state, OrderEvent.CANCEL]
    except KeyError:
        raise Conflict(f"An order that is {state} cannot be cancelled", order_state=state) from None


class Settlement(Struct, frozen=True, kw_only=True):
    """What one refund does."""

    amount: int
    state: OrderState
    units_returned: int


def refund(state: OrderState, *, total: int, refunded: int, quantity: int, amount: int | None) -> Settlement:
    """What a refund of `amount` (None: all that is left) does, in minor units.

    Raises Conflict where the order has no money to give back, or less than asked for.
    """
    left = total - refunded
    given = left if amount is None else amount
    if (state, OrderEvent.REFUND_REST) not in TRANSITIONS:
        raise Conflict(f"An order that is {state} cannot be refunded")
    if given > left:
        raise Conflict(f"Only {left} is left to refund", left=left)
    event = OrderEvent.REFUND_REST if given == left else OrderEvent.REFUND_PART
    units = quantity if event is OrderEvent.REFUND_REST else 0
    return Settlement(amount=given, state=TRANSITIONS[state, event], units_returned=units)
