"""Rows of Postgres as the structs of the schema.

Owns: the mapping, in one place.
"""

from collections.abc import Mapping
from typing import Any

from checkout.core.taps import Tap
from schema.money import Money
from schema.order import (
    Hold,
    HoldState,
    Order,
    OrderState,
    Refund,
    ShowTotals,
    WaitlistEntry,
    WaitlistState,
)
from schema.show import Stock

Row = Mapping[str, Any]


def stock_of(row: Row) -> Stock:
    """The four columns of a stock row (0002_checkout.sql draws the sums)."""
    return Stock(
        on_hand=row["stocked"] - row["sold"],
        held=row["taken"] - row["sold"],
        sold=row["sold"],
        available=row["stocked"] - row["taken"],
        returned=row["returned"],
    )


def hold_of(row: Row) -> Hold:
    """A hold as it is now."""
    price = Money(amount=row["unit_amount"], currency=row["currency"])
    return Hold(
        hold_id=row["hold_id"],
        show_id=row["show_id"],
        variant_id=row["variant_id"],
        buyer_id=row["buyer_id"],
        quantity=row["quantity"],
        state=HoldState(row["state"]),
        unit_price=price,
        total=price.times(row["quantity"]),
        created_at_ms=row["created_at_ms"],
        expires_at_ms=row["expires_at_ms"],
        order_id=row["order_id"],
    )


def promised(row: Row) -> Hold:
    """A hold as it was promised at the tap: what a retry of the tap is answered with."""
    fresh = {"state": HoldState.HELD, "expires_at_ms": row["held_until_ms"], "order_id": None}
    return hold_of({**dict(row.items()), **fresh})


def tap_of(row: Row) -> Tap:
    """The tap that would have led to this hold."""
    return Tap(hold_id=row["hold_id"], buyer_id=row["buyer_id"], buyer_name=row["buyer_name"], quantity=row["quantity"])


def entry_of(row: Row) -> WaitlistEntry:
    """A place on the waitlist, with how many stand before it, and the hold it has become."""
    return WaitlistEntry(
        entry_id=row["entry_id"],
        show_id=row["show_id"],
        variant_id=row["variant_id"],
        buyer_id=row["buyer_id"],
        quantity=row["quantity"],
        state=WaitlistState(row["state"]),
        ahead=row["ahead"],
        hold_id=row["hold_id"],
        created_at_ms=row["created_at_ms"],
    )


def order_of(row: Row) -> Order:
    """An order as it is now."""
    currency = row["currency"]
    return Order(
        order_id=row["order_id"],
        hold_id=row["hold_id"],
        show_id=row["show_id"],
        buyer_id=row["buyer_id"],
        buyer_name=row["buyer_name"],
        variant_id=row["variant_id"],
        quantity=row["quantity"],
        state=OrderState(row["state"]),
        unit_price=Money(amount=row["unit_amount"], currency=currency),
        total=Money(amount=row["total"], currency=currency),
        refunded=Money(amount=row["refunded"], currency=currency),
        created_at_ms=row["created_at_ms"],
    )


def totals_of(row: Row) -> ShowTotals:
    """What a show has sold."""
    currency, paid, refunded = row["currency"], row["paid"], row["refunded"]
    return ShowTotals(
        orders=row["orders"],
        units_sold=row["units_sold"],
        paid=Money(amount=paid, currency=currency),
        refunded=Money(amount=refunded, currency=currency),
        net=Money(amount=paid - refunded, currency=currency),
    )


def refund_of(row: Row) -> Refund:
    """A refund, with the order's state right after it."""
    return Refund(
        refund_id=row["refund_id"],
        order_id=row["order_id"],
        amount=Money(amount=row["amount"], currency=row["currency"]),
        units_returned=row["units_returned"],
        order_state=OrderState(row["order_state"]),
        created_at_ms=row["created_at_ms"],
    )
