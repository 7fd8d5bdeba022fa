"""Rows of Postgres as the structs of the schema.

Owns: the mapping, in one place.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from checkout.core.pricing import Priced, PricedLine
from checkout.core.reservation import keeps_units
from checkout.core.taps import Code, Tap
from schema.basket import Amounts, Line
from schema.hold import HeldBundle, Hold, HoldState
from schema.ids import HoldId, VariantId
from schema.money import Money
from schema.order import Order, OrderLine, OrderState, Refund, ShowTotals
from schema.show import Stock
from schema.waitlist import WaitlistEntry, WaitlistState

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
        total=price.times(row["quantity"])
        if row["goods"] is None
        else Money(amount=row["goods"], currency=row["currency"]),
        created_at_ms=row["created_at_ms"],
        expires_at_ms=row["expires_at_ms"],
        order_id=row["order_id"],
        bundle_id=row["bundle_id"],
        bundle_hold_id=row["bundle_hold_id"],
    )


def bundle_hold_of(holds: list[Hold], *, shown: Hold | None = None) -> Hold:
    """One of a bundle's holds (the first, or `shown`), with the bundle they are parts of."""
    first = holds[0]
    assert first.bundle_id is not None
    total = Money(amount=sum(hold.total.amount for hold in holds), currency=first.total.currency)
    bundle = HeldBundle(bundle_id=first.bundle_id, hold_ids=[hold.hold_id for hold in holds], total=total)
    chosen = shown or next(hold for hold in holds if hold.hold_id == first.bundle_hold_id)
    return msgspec.structs.replace(chosen, bundle=bundle)


def promised(row: Row) -> Hold:
    """A hold as it was promised at the tap: what a retry of the tap is answered with."""
    fresh = {"state": HoldState.HELD, "expires_at_ms": row["held_until_ms"], "order_id": None}
    return hold_of({**dict(row.items()), **fresh})


def tap_of(row: Row) -> Tap:
    """The tap that would have led to this hold."""
    return Tap(hold_id=row["hold_id"], buyer_id=row["buyer_id"], buyer_name=row["buyer_name"], quantity=row["quantity"])


def gate_code_of(row: Row) -> Code:
    """What the gate is to know of a hold: its units are off the shelf, or were."""
    out = keeps_units(HoldState(row["state"]), returned=row["returned"])
    return Code.HELD if out else Code.OFF_SHELF


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


def amounts(of: Priced | PricedLine, currency: str) -> dict[str, Money]:
    """The members of an `Amounts`."""
    return {
        "subtotal": Money(amount=of.goods, currency=currency),
        "discount": Money(amount=of.discount, currency=currency),
        "shipping": Money(amount=of.shipping, currency=currency),
        "tax": Money(amount=of.tax, currency=currency),
        "total": Money(amount=of.total, currency=currency),
    }


def line_of(hold: Row, priced: PricedLine) -> Line:
    """A hold as a line of a quote."""
    currency = hold["currency"]
    return Line(
        hold_id=hold["hold_id"],
        variant_id=hold["variant_id"],
        quantity=hold["quantity"],
        unit_price=Money(amount=hold["unit_amount"], currency=currency),
        bundle_id=hold["bundle_id"],
        **amounts(priced, currency),
    )


class _LineRow(PricedLine, frozen=True, kw_only=True):
    """What lines_of() in 0005_baskets.sql answers with."""

    hold_id: str
    variant_id: str
    quantity: int
    unit_amount: int
    refunded: int
    returned: bool
    bundle_id: str | None


_line_rows = msgspec.json.Decoder(list[_LineRow])


def _order_line(line: _LineRow, currency: str) -> OrderLine:
    return OrderLine(
        hold_id=HoldId(line.hold_id),
        variant_id=VariantId(line.variant_id),
        quantity=line.quantity,
        unit_price=Money(amount=line.unit_amount, currency=currency),
        bundle_id=VariantId(line.bundle_id) if line.bundle_id else None,
        refunded=Money(amount=line.refunded, currency=currency),
        returned=line.returned,
        **amounts(line, currency),
    )


def _sum(lines: list[_LineRow], currency: str) -> Amounts:
    whole = Priced(
        lines=[],
        goods=sum(line.goods for line in lines),
        discount=sum(line.discount for line in lines),
        shipping=sum(line.shipping for line in lines),
        tax=sum(line.tax for line in lines),
    )
    return Amounts(**amounts(whole, currency))


def order_of(row: Row) -> Order:
    """An order as it is now: a row of sql/order.sql."""
    currency = row["currency"]
    lines = _line_rows.decode(row["lines"])
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
        lines=[_order_line(line, currency) for line in lines],
        amounts=_sum(lines, currency),
        coupon=row["coupon"],
        country=row["country"],
        shipping_method=row["shipping_method"],
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
