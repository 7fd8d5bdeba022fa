"""What a payment at the provider and the same payment here say of each other, and what mends it where they disagree.

Owns: the table of differences and their remedies. No clock, no store: whoever asks has made sure that both sides stand
still (nothing about the payment is on its way) and that what it compares is of one moment.
Invariant: money that is at the provider without an order here is let go of or given back; an order whose money is not
taken is asked for again; nothing is ever taken or sold because of a difference.
"""

from enum import StrEnum

from msgspec import Struct

from checkout.payments import Payment, PaymentState

_GONE = {None, PaymentState.DECLINED, PaymentState.CANCELLED}


class Ours(Struct, frozen=True, kw_only=True):
    """A payment as Postgres has it."""

    state: str | None
    """None: there is no such payment here."""
    is_owed: bool = False
    """There is an order that keeps its money, or did until it was refunded."""
    amount: int = 0
    refunded: int = 0
    """What the provider is known to have given back."""
    is_moving: bool = False
    """Something about it is still being said to the provider, or asked of it."""


class Remedy(StrEnum):
    """What is done about a difference."""

    LET_GO = "let_go"
    GIVE_BACK = "give_back"
    CAPTURE = "capture"
    """Say it again; what cannot be taken any more ends as a failed capture, and the units return."""
    OPERATOR = "operator"
    """Nothing by itself: a person has to look."""


class Difference(StrEnum):
    """Kinds of disagreement."""

    STRAY_AUTHORIZATION = "stray_authorization"
    """Authorized there, and unknown or ended here."""
    STRAY_CAPTURE = "stray_capture"
    """Taken there, and there is no order here."""
    NOT_CAPTURED = "not_captured"
    """An order here, and its money was not taken, or nobody here heard that it was."""
    CAPTURE_MISSING = "capture_missing"
    """Taken by our books, and let go of or unknown there: goods without money."""
    OTHER_AMOUNT = "other_amount"
    REFUND_UNKNOWN = "refund_unknown"
    """More was given back there than here, such as by hand in the provider's own pages."""
    REFUND_MISSING = "refund_missing"


REMEDIES: dict[Difference, Remedy] = {
    Difference.STRAY_AUTHORIZATION: Remedy.LET_GO,
    Difference.STRAY_CAPTURE: Remedy.GIVE_BACK,
    Difference.NOT_CAPTURED: Remedy.CAPTURE,
    Difference.CAPTURE_MISSING: Remedy.OPERATOR,
    Difference.OTHER_AMOUNT: Remedy.OPERATOR,
    Difference.REFUND_UNKNOWN: Remedy.OPERATOR,
    Difference.REFUND_MISSING: Remedy.OPERATOR,
}


def compare(ours: Ours, theirs: Payment | None) -> Difference | None:
    """The one thing that is wrong with a payment, or None. `theirs`: None where the provider has no such payment."""
    if ours.is_moving or ours.state == "authorizing":
        return None  # the outbox and the poll are at it
    there = theirs.state if theirs else None
    if not ours.is_owed:
        return _without_order(theirs)
    if there in _GONE:
        return Difference.NOT_CAPTURED if ours.state == "authorized" else Difference.CAPTURE_MISSING
    assert theirs is not None
    if theirs.amount != ours.amount or (there is PaymentState.CAPTURED and theirs.captured != ours.amount):
        return Difference.OTHER_AMOUNT
    if ours.state == "authorized" or there is PaymentState.AUTHORIZED:
        return Difference.NOT_CAPTURED
    return _refunds(ours.refunded, theirs.refunded)


def _without_order(theirs: Payment | None) -> Difference | None:
    if theirs is None:
        return None
    if theirs.state is PaymentState.CAPTURED and theirs.captured > theirs.refunded:
        return Difference.STRAY_CAPTURE
    # One that is pending there may be authorized any moment, and nobody here waits for it.
    open_there = {PaymentState.AUTHORIZED, PaymentState.PENDING}
    return Difference.STRAY_AUTHORIZATION if theirs.state in open_there else None


def _refunds(here: int, there: int) -> Difference | None:
    if there > here:
        return Difference.REFUND_UNKNOWN
    return Difference.REFUND_MISSING if there < here else None


def at_stake(kind: Difference, ours: Ours, theirs: Payment | None) -> int:
    """How much money is in the wrong place, or in doubt; minor units."""
    if kind is Difference.STRAY_CAPTURE:
        assert theirs is not None
        return theirs.captured - theirs.refunded
    if kind in {Difference.REFUND_UNKNOWN, Difference.REFUND_MISSING}:
        return abs(ours.refunded - (theirs.refunded if theirs else 0))
    return ours.amount or (theirs.amount if theirs else 0)
