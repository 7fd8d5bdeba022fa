"""Rehearsals: a scheduled show tried out, from the camera to the paid order, while nothing of it counts.

A rehearsal is a show of its own, copied from the scheduled one with its items, prices, stock and terms, so that what is
tried is the real thing, and the show's own stock and statistics cannot be touched by construction. It stands in no list
and no export, its webhooks and receipts say `test`, and where payments are real there is none.

Owns: which rehearsal belongs to which show. Invariant: at most one of a show is under way; one that has ended never
sells again, and its rows stay, for the ledger forgets nothing.
"""

from live.bundles import BundleBook
from live.catalog import Catalog
from live.ports import StockBook
from live.queries import sql
from live.shows import ShowRow, ShowService
from live.turns import Pool, Turns
from schema.errors import Conflict
from schema.ids import ShowId
from schema.show import AllocationRequest, ShowState

NAME_CHARS = 48
"""Of the show's id; the rest of 64 is the suffix."""
NUMBERS = 1_000


class Rehearsals:
    """The rehearsals of all shows."""

    def __init__(
        self,
        pool: Pool,
        turns: Turns,
        shows: ShowService,
        catalog: Catalog,
        stock: StockBook,
        *,
        bundles: BundleBook,
        play_money: bool,
    ) -> None:
        """`play_money`: no payment here moves real money."""
        self._pool, self._turns, self._shows, self._catalog, self._stock = pool, turns, shows, catalog, stock
        self._bundles, self._play_money = bundles, play_money

    async def begin(self, show: ShowId) -> ShowId:
        """The rehearsal under way, made if there is none; asked again, it completes one that was made by half.

        Raises NotFound, Conflict for a show that is no longer to come.
        """
        if not self._play_money:
            raise Conflict(
                "This shop takes real money: rehearse where SHOWFLOOR_PAYMENT_PROVIDER is fake, or a test key"
            )
        row = await self._shows.row(show)
        if row.rehearsal_of is not None:
            raise Conflict("This is a rehearsal already")
        if row.state is not ShowState.SCHEDULED:
            raise Conflict(f"A show that is {row.state} is not rehearsed any more", state=row.state)
        async with self._turns.of(show):
            rehearsal = await self.under_way(show) or await self._make(row)
            await self._stock.copy_terms(show, rehearsal)
            await self._copy_items(show, rehearsal)
            await self._bundles.copy(show, rehearsal)
        return rehearsal

    async def end(self, show: ShowId) -> ShowId:
        """End the rehearsal of a show, or the one that `show` is; the show that is rehearsed. Raises NotFound."""
        row = await self._shows.row(show)
        original = row.rehearsal_of or show
        rehearsal = await self.under_way(original)
        if rehearsal is not None:
            await self._shows.set_sales(rehearsal, open=False)
            await self._shows.set_state(rehearsal, ShowState.ENDED)
        return original

    async def under_way(self, show: ShowId) -> ShowId | None:
        """The rehearsal of a show that has not ended."""
        found: str | None = await self._pool.fetchval(sql("rehearsal_of"), show)
        return None if found is None else ShowId(found)

    async def _make(self, row: ShowRow) -> ShowId:
        for number in range(1, NUMBERS):
            rehearsal = ShowId(row.show_id[:NAME_CHARS] + "-rehearsal" + (f"-{number}" if number > 1 else ""))
            if await self._pool.fetchval(sql("rehearsal_insert"), rehearsal, row.show_id) is not None:
                await self._shows.introduce(rehearsal)
                return rehearsal
        raise Conflict("This show was rehearsed too often")

    async def _copy_items(self, show: ShowId, rehearsal: ShowId) -> None:
        there = {item.variant_id for item in await self._catalog.items(rehearsal)}
        for item in await self._catalog.items(show):
            if item.variant_id not in there:
                asked = AllocationRequest(
                    variant_id=item.variant_id,
                    opening_stock=item.stock.on_hand,
                    price_amount=item.price.amount,
                    limit_per_buyer=item.limit_per_buyer,
                )
                await self._catalog.allocate(rehearsal, asked)
