"""Pins: which items stand beside the video.

Owns: each show's board, in Postgres. The rules are `live/core/pinboard.py`'s.
Invariant: what viewers were told last is what is stored; the show's turn is held across both.
"""

import time

import asyncpg

from live.core import pinboard
from live.ports import Announcer
from live.queries import sql
from live.turns import Connection, Pool, Turns
from schema.errors import NotFound
from schema.ids import ShowId, VariantId
from schema.show import Pin
from schema.wire import Pinned, Unpinned


class Pins:
    """The boards of all shows."""

    def __init__(self, pool: Pool, turns: Turns, announcer: Announcer) -> None:
        self._pool = pool
        self._turns = turns
        self._announcer = announcer

    async def board(self, show: ShowId) -> list[Pin]:
        """What is pinned, the oldest first."""
        return _board(await self._pool.fetch(sql("pins_of"), show))

    async def pin(self, show: ShowId, variant: VariantId, captured_at_ms: int | None = None) -> Pin:
        """Pin an item; pinning it again answers the pin that is there.

        `captured_at_ms` is the capture time of the picture it belongs to. It is told and not kept: who comes later
        has passed that picture.

        Raises NotFound if it is not on sale in the show, Conflict if the board is full.
        """
        async with self._turns.of(show) as pg:
            async with pg.transaction():
                await _must_be_on_sale(pg, show, variant)
                before = _board(await pg.fetch(sql("pins_of"), show))
                after, pin = pinboard.pin(before, variant, time.time_ns() // 1_000_000)
                if after is not before:
                    await pg.execute(sql("pin_insert"), show, variant, pin.pinned_at_ms)
                    version = await pg.fetchval(sql("show_touch"), show)
            if after is not before:
                event = Pinned(variant_id=variant, at_ms=pin.pinned_at_ms, captured_at_ms=captured_at_ms)
                await self._announcer.announce(show, version, event)
        return pin

    async def unpin(self, show: ShowId, variant: VariantId) -> None:
        """Unpin an item; one that is not pinned is no mistake."""
        async with self._turns.of(show) as pg:
            async with pg.transaction():
                was_pinned = await pg.fetchval(sql("pin_delete"), show, variant) is not None
                if was_pinned:
                    version = await pg.fetchval(sql("show_touch"), show)
            if was_pinned:
                await self._announcer.announce(show, version, Unpinned(variant_id=variant))


async def _must_be_on_sale(pg: Connection, show: ShowId, variant: VariantId) -> None:
    if not await pg.fetchval(sql("on_sale_in"), show, variant):
        raise NotFound(f"{variant} is not on sale in {show}")


def _board(rows: list[asyncpg.Record]) -> list[Pin]:
    return [Pin(variant_id=row["variant_id"], pinned_at_ms=row["pinned_at_ms"]) for row in rows]
