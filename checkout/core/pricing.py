"""What a basket costs: goods, less a coupon, plus shipping; and how much of it is tax.

Owns: the arithmetic and its rounding. All amounts are minor units of one currency, all rates basis points.
Invariant: sum of the lines' totals = goods - discount + shipping = the total, to the cent; nothing is below zero.

Prices contain the tax of the country the goods go to (what the European Union asks of a price shown to a consumer), so
tax is never added: it is the part of the total that is the tax authority's. Halves are rounded up, once for each amount
of the whole basket; the lines' shares are then apportioned, so that nothing is rounded twice.
"""

from collections.abc import Sequence

from msgspec import Struct

WHOLE_BP = 10_000


class PricedLine(Struct, frozen=True, kw_only=True):
    """One hold's share of everything that its basket costs."""

    goods: int
    discount: int
    shipping: int
    tax: int
    """Contained in the total."""

    @property
    def total(self) -> int:
        return self.goods - self.discount + self.shipping


class Priced(Struct, frozen=True, kw_only=True):
    """A basket with its lines, in the order they were asked for."""

    lines: list[PricedLine]
    goods: int
    discount: int
    shipping: int
    tax: int

    @property
    def total(self) -> int:
        return self.goods - self.discount + self.shipping


class Off(Struct, frozen=True, kw_only=True):
    """What a coupon takes off: so many basis points, or an amount."""

    percent_bp: int | None = None
    amount: int | None = None


class Rate(Struct, frozen=True, kw_only=True):
    """What shipping costs."""

    amount: int
    free_from: int | None = None
    """Goods less discount of so much ship free."""


def half_up(numerator: int, denominator: int) -> int:
    """The quotient of two natural numbers, rounded to the nearest; a half goes up."""
    return (2 * numerator + denominator) // (2 * denominator)


def discount(goods: int, off: Off | None) -> int:
    """What a coupon takes off goods of so much: never more than they cost."""
    if off is None:
        return 0
    if off.amount is not None:
        return min(off.amount, goods)
    return half_up(goods * (off.percent_bp or 0), WHOLE_BP)


def shipping(paid_for_goods: int, rate: Rate | None) -> int:
    """What shipping costs when so much is paid for the goods."""
    if rate is None or (rate.free_from is not None and paid_for_goods >= rate.free_from):
        return 0
    return rate.amount


def contained_tax(total: int, rate_bp: int) -> int:
    """The tax in a total that contains it."""
    return half_up(total * rate_bp, WHOLE_BP + rate_bp)


def apportion(amount: int, weights: Sequence[int]) -> list[int]:
    """`amount` in parts that follow `weights`, and sum to it exactly; all weights zero: the first takes everything.

    One after the other takes its share of what is left, rounded half up, so no part exceeds its weight where the amount
    does not exceed their sum. refund_order() in 0005_baskets.sql does the same in SQL.
    """
    left, parts = sum(weights), []
    if left == 0:
        return [amount if i == 0 else 0 for i in range(len(weights))]
    for weight in weights:
        part = half_up(amount * weight, left) if left else 0
        parts.append(part)
        amount -= part
        left -= weight
    return parts


def price(goods: Sequence[int], *, off: Off | None = None, rate: Rate | None = None, tax_bp: int = 0) -> Priced:
    """What holds whose units cost `goods` come to, line by line."""
    whole = sum(goods)
    less = discount(whole, off)
    freight = shipping(whole - less, rate)
    taxed = contained_tax(whole - less + freight, tax_bp)
    discounts = apportion(less, goods)
    paid = [each - minus for each, minus in zip(goods, discounts, strict=True)]
    shippings = apportion(freight, paid)
    taxes = apportion(taxed, [each + plus for each, plus in zip(paid, shippings, strict=True)])
    lines = [
        PricedLine(goods=each, discount=minus, shipping=plus, tax=tax)
        for each, minus, plus, tax in zip(goods, discounts, shippings, taxes, strict=True)
    ]
    return Priced(lines=lines, goods=whole, discount=less, shipping=freight, tax=taxed)
