"""What is sold together: a show's bundles, and how many of each there are.

Owns: the `bundles` and `bundle_parts` rows. How one is held and paid for is checkout's.
Invariant: a bundle never changes; its id is no item's in the same show.
"""

from collections.abc import Mapping

import asyncpg

from live.ports import Announcer, StockBook
from live.queries import sql
from live.turns import Pool, Turns
from schema.errors import Conflict, Invalid, NotFound
from schema.ids import ShowId, VariantId, new_id
from schema.money import Money
from schema.offers import Bundle, BundlePart, BundleRequest
from schema.show import Stock

BUNDLES_MAX = 50
"""Of one show."""


class BundleBook:
    """The bundles of all shows, in Postgres."""

    def __init__(self, pool: Pool, turns: Turns, stock: StockBook, announcer: Announcer) -> None:
        self._pool, self._turns, self._stock, self._announcer = pool, turns, stock, announcer

    async def of(self, show: ShowId, only: str | None = None) -> list[Bundle]:
        """A show's bundles, in their order."""
        rows = await self._pool.fetch(sql("bundles_of"), show, only)
        stocks = await self._stock.stocks(show) if rows else {}
        return [_bundle(row, stocks) for row in rows]

    async def create(self, show: ShowId, asked: BundleRequest) -> Bundle:
        """Put a bundle on sale.

        Raises NotFound, Conflict (its id is taken), Invalid (a part is not on sale there, or named twice).
        """
        if len({part.variant_id for part in asked.parts}) < len(asked.parts):
            raise Invalid("A variant is a part twice: give it more units", pointer="/parts")
        if asked.image and (not asked.image.startswith("/") or asked.image.startswith("//")):
            raise Invalid("An image is a path on this server, such as /media/pot.webp", pointer="/image")
        bundle = asked.bundle_id or new_id("bundle")
        async with self._turns.of(show) as pg:
            async with pg.transaction():
                if await pg.fetchrow(sql("show_get"), show) is None:
                    raise NotFound(f"There is no show {show}")
                if len(await pg.fetch(sql("bundles_of"), show, None)) >= BUNDLES_MAX:
                    raise Conflict(f"A show has at most {BUNDLES_MAX} bundles", limit=BUNDLES_MAX)
                if not await pg.fetchval(
                    sql("bundle_insert"), show, bundle, asked.title, asked.image, asked.price_amount
                ):
                    raise Conflict(f"{bundle} is on sale in {show} already")
                try:
                    variants = [part.variant_id for part in asked.parts]
                    await pg.execute(
                        sql("bundle_parts_insert"), show, bundle, variants, [part.units for part in asked.parts]
                    )
                except asyncpg.ForeignKeyViolationError:
                    raise Invalid("A part is not on sale in this show", pointer="/parts") from None
                version = await pg.fetchval(sql("show_touch"), show)
            await self._announcer.announce(show, version)
        return (await self.of(show, bundle))[0]

    async def copy(self, show: ShowId, rehearsal: ShowId) -> None:
        """The same bundles in a rehearsal that has the same items; once."""
        await self._pool.execute(sql("bundles_copy"), show, rehearsal)


def _bundle(row: asyncpg.Record, stocks: Mapping[VariantId, Stock]) -> Bundle:
    parts = [
        BundlePart(variant_id=variant, units=units)
        for variant, units in zip(row["variant_ids"], row["units"], strict=True)
    ]
    return Bundle(
        bundle_id=row["bundle_id"],
        title=row["title"],
        image=row["image"],
        price=Money(amount=row["price_amount"], currency=row["currency"]),
        instead_of=Money(amount=row["alone"], currency=row["currency"]),
        parts=parts,
        available=min(
            stocks[part.variant_id].available // part.units if part.variant_id in stocks else 0 for part in parts
        ),
    )


def _free(stocks: Mapping[VariantId, Stock], part: BundlePart) -> int:
    stock = stocks.get(part.variant_id)
    return stock.available // part.units if stock else 0
