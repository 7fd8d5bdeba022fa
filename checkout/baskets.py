"""Baskets: what several holds of one buyer cost together, before anything is paid.

Owns: nothing; a basket is the holds it names, and its price follows from them, the show's rates and a coupon.
Invariant: what is quoted is what is charged, or nothing is: the till refuses another total than the one shown.
"""

from collections.abc import Sequence

from msgspec import Struct

from checkout.charges import ChargesBook, rate_of, tax_bp, way_to
from checkout.core.pricing import Off, Priced, price
from checkout.rows import Row, amounts, line_of
from checkout.truth import Truth, sql
from schema.basket import Quote, QuoteRequest
from schema.errors import HoldLapsed, NotFound
from schema.hold import HoldState
from schema.ids import HoldId, ShowId


class Bill(Struct, frozen=True, kw_only=True):
    """A basket with its price: everything that a payment is made of."""

    holds: list[Row]
    """In the order of the lines."""
    priced: Priced
    tax_bp: int
    country: str | None
    shipping_method: str | None
    coupon: str | None
    coupon_refused: str | None

    @property
    def hold_ids(self) -> list[str]:
        return [hold["hold_id"] for hold in self.holds]

    @property
    def is_open(self) -> bool:
        """False once each of its holds is being paid for, or sold: its price is history."""
        return any(hold["state"] not in {HoldState.PAYING, HoldState.SOLD} for hold in self.holds)


class Baskets:
    """Prices baskets. Raises Unavailable while Postgres does not answer."""

    def __init__(self, truth: Truth, charges: ChargesBook) -> None:
        self._truth, self._charges = truth, charges

    async def quote(self, account_id: str, show_id: ShowId, request: QuoteRequest) -> Quote:
        """What these holds would cost now.

        Raises NotFound (not all are this buyer's, in this show), HoldLapsed, Invalid.
        """
        bill = await self.bill(account_id, show_id, request)
        if any(hold["state"] in {HoldState.EXPIRED, HoldState.RELEASED} for hold in bill.holds):
            raise HoldLapsed
        return Quote(
            show_id=show_id,
            lines=[line_of(hold, priced) for hold, priced in zip(bill.holds, bill.priced.lines, strict=True)],
            country=bill.country,
            shipping_method=bill.shipping_method,
            tax_rate_bp=bill.tax_bp,
            coupon=bill.coupon,
            coupon_refused=bill.coupon_refused,
            expires_at_ms=min(hold["expires_at_ms"] for hold in bill.holds),
            **amounts(bill.priced, bill.holds[0]["currency"]),
        )

    async def bill(self, account_id: str, show_id: ShowId, request: QuoteRequest) -> Bill:
        """The same, as the till wants it."""
        holds = await self.holds(account_id, request.hold_ids)
        if not set(request.hold_ids) <= {hold["hold_id"] for hold in holds}:
            raise NotFound("There is no such hold")
        if any(hold["show_id"] != show_id for hold in holds):
            raise NotFound("A hold is of another show")
        charges = await self._charges.get(show_id)
        way = way_to(charges, request.country, request.shipping_method)
        goods = [hold["goods_amount"] for hold in holds]
        off, refused = await self._off(account_id, show_id, request.coupon, sum(goods))
        rate_bp = tax_bp(charges, request.country)
        return Bill(
            holds=holds,
            priced=price(goods, off=off, rate=rate_of(way), tax_bp=rate_bp),
            tax_bp=rate_bp,
            country=request.country,
            shipping_method=way.method if way else None,
            coupon=request.coupon,
            coupon_refused=refused,
        )

    async def holds(self, account_id: str, hold_ids: Sequence[HoldId]) -> list[Row]:
        """The buyer's holds among these, each once, a bundle's together."""
        return await self._truth.fetch(sql("basket_holds"), list(hold_ids), account_id)

    async def _off(
        self, account_id: str, show_id: ShowId, coupon: str | None, goods: int
    ) -> tuple[Off | None, str | None]:
        if coupon is None:
            return None, None
        row = await self._truth.one(sql("coupon_for"), show_id, coupon, account_id, goods)
        if row["refusal"]:
            return None, row["refusal"]
        return Off(percent_bp=row["percent_bp"], amount=row["amount"]), None
