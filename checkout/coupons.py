"""Coupons: entering, listing, pinning.

What one takes off is `core/pricing.py`'s; whether it may be used is decided in Postgres, when paying begins.
Owns: the `coupons` rows but their count of uses. Invariant: a coupon never changes; at most one of a show is pinned.
"""

import asyncpg

from checkout.rows import Row
from checkout.truth import Truth, sql
from schema.errors import Conflict, Invalid, NotFound
from schema.ids import ShowId
from schema.offers import Coupon, CouponPage, CouponRequest


class Coupons:
    """The coupons of all shows. Every method raises Unavailable while Postgres does not answer."""

    def __init__(self, truth: Truth) -> None:
        self._truth = truth

    async def create(self, show_id: ShowId, asked: CouponRequest) -> Coupon:
        """Enter a coupon. Raises NotFound, Conflict (the code is taken), Invalid."""
        if (asked.percent_bp is None) == (asked.amount is None):
            raise Invalid("A coupon takes off percent_bp or amount, one of them", pointer="/percent_bp")
        columns = (asked.percent_bp, asked.amount, asked.minimum, asked.from_ms, asked.until_ms)
        try:
            row = await self._truth.one(
                sql("coupon_insert"), show_id, asked.code, *columns, asked.uses, asked.uses_per_buyer
            )
        except asyncpg.ForeignKeyViolationError:
            raise NotFound(f"There is no show {show_id}") from None
        if row is None:
            raise Conflict(f"There is a coupon {asked.code} already")
        return _coupon(row)

    async def all(self, show_id: ShowId) -> CouponPage:
        """A show's coupons, the newest first; at most 500."""
        return CouponPage(items=[_coupon(row) for row in await self._truth.fetch(sql("coupons"), show_id)])

    async def pin(self, show_id: ShowId, code: str | None) -> Coupon | None:
        """Offer a coupon to everybody who watches, or none. Raises NotFound."""
        row = await self._truth.one("SELECT * FROM pin_coupon($1, $2)", show_id, code)
        if row is None and code is not None:
            raise NotFound(f"There is no coupon {code}")
        return _coupon(row) if row else None


def _coupon(row: Row) -> Coupon:
    return Coupon(
        show_id=row["show_id"],
        code=row["code"],
        percent_bp=row["percent_bp"],
        amount=row["amount"],
        minimum=row["minimum"],
        from_ms=row["from_ms"],
        until_ms=row["until_ms"],
        uses=row["uses"],
        uses_per_buyer=row["uses_per_buyer"],
        used=row["used"],
        pinned=row["pinned"],
    )
