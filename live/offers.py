"""What a show offers beside its prices, as those who watch are told: flash prices and the pinned coupon.

Owns: what this process told last, under the state keys `flash.<variant>` and `coupon`.
Invariant: it follows what is stored within half a second, whichever process wrote it, and whatever was lost; the end of
a flash price is published once, over all processes.
"""

import asyncio

import asyncpg
import structlog

from live.catalog import Catalog, flash_of
from live.ports import Announcer
from live.queries import sql
from live.turns import Pool
from schema.errors import ShowfloorError
from schema.ids import ShowId, VariantId
from schema.money import Money
from schema.offers import PinnedCoupon

log = structlog.get_logger()

EVERY_S = 0.5


class Offers:
    """One per process."""

    def __init__(self, pool: Pool, catalog: Catalog, announcer: Announcer) -> None:
        self._pool, self._catalog, self._announcer = pool, catalog, announcer
        self._told: dict[tuple[ShowId, str], object] = {}

    async def run(self) -> None:
        """Follow the stored offers for ever; its owner cancels it."""
        while True:
            try:
                await self.look()
            except (ShowfloorError, OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
                log.warning("offers_not_told", error=type(error).__name__)
            await asyncio.sleep(EVERY_S)

    async def look(self) -> None:
        """Once: tell what is new, and what is over."""
        now: dict[tuple[ShowId, str], object] = {}
        for row in await self._pool.fetch(sql("flashes_now")):
            now[ShowId(row["show_id"]), f"flash.{row['variant_id']}"] = flash_of(row)
        for row in await self._pool.fetch(sql("coupons_pinned"), None):
            now[ShowId(row["show_id"]), "coupon"] = _coupon(row)
        for one in {**self._told, **now}:
            if self._told.get(one) != now.get(one):
                show, key = one
                self._announcer.state(show, {key: now.get(one)})
        self._told = now
        for row in await self._pool.fetch(sql("flashes_over")):
            await self._catalog.tell_price(ShowId(row["show_id"]), VariantId(row["variant_id"]))

    async def coupon(self, show: ShowId) -> PinnedCoupon | None:
        """The coupon a show offers to everybody who watches."""
        row = await self._pool.fetchrow(sql("coupons_pinned"), show)
        return _coupon(row) if row else None


def _coupon(row: asyncpg.Record) -> PinnedCoupon:
    currency, amount = row["currency"], row["amount"]
    return PinnedCoupon(
        code=row["code"],
        percent_bp=row["percent_bp"],
        amount=None if amount is None else Money(amount=amount, currency=currency),
        minimum=Money(amount=row["minimum"], currency=currency),
        until_ms=row["until_ms"],
    )
