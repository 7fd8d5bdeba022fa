"""What the staff announce to everybody: one thing at a time, for a while or until it is taken away.

Owns: the table announcements.
Invariant: what is announced is stored before it is told, under the show's turn; whoever comes while it holds sees it.
"""

import asyncpg

from live.ports import Announcer
from live.queries import sql
from live.turns import Pool, Turns
from schema.audience import Announcement, AnnouncementRequest
from schema.errors import NotFound
from schema.ids import AnnouncementId, ShowId, new_id
from schema.people import Principal
from schema.wire import Announced, AnnouncementOver, Event


class Announcements:
    """The announcements of all shows."""

    def __init__(self, pool: Pool, turns: Turns, announcer: Announcer) -> None:
        self._pool, self._turns, self._announcer = pool, turns, announcer

    async def announce(self, who: Principal, show: ShowId, asked: AnnouncementRequest) -> Announcement:
        """Tell everybody, in the place of what was announced before. Raises NotFound."""
        lasts_ms = None if asked.duration_s is None else asked.duration_s * 1000
        values = (new_id("ann"), show, asked.text.strip(), who.account_id, lasts_ms)
        only_if_over = False
        async with self._turns.of(show) as pg:
            try:
                async with pg.transaction():
                    await pg.fetchval(sql("announcement_end"), show, only_if_over)
                    made = _announcement(await pg.fetchrow(sql("announcement_set"), *values))
                    version = await pg.fetchval(sql("show_touch"), show)
            except asyncpg.ForeignKeyViolationError:
                raise NotFound(f"There is no show {show}") from None
            await self._announcer.announce(show, version, Announced(announcement=made))
        return made

    async def end(self, show: ShowId, *, if_over: bool = False) -> None:
        """Announce nothing any more; nothing announced is no mistake."""
        async with self._turns.of(show) as pg:
            async with pg.transaction():
                ended = await pg.fetchval(sql("announcement_end"), show, if_over)
                if ended is not None:
                    version = await pg.fetchval(sql("show_touch"), show)
            if ended is not None:
                await self._announcer.announce(show, version, AnnouncementOver(announcement_id=ended))

    async def end_due(self) -> None:
        """End those whose time is over; each is told once, over all processes."""
        for row in await self._pool.fetch(sql("announcements_over")):
            await self.end(ShowId(row["show_id"]), if_over=True)


async def announced_in(pg: Pool, show: ShowId) -> Event:
    """What a show that is told everything again is to say of its announcement."""
    row = await pg.fetchrow(sql("announcement_now"), show)
    return Announced(announcement=_announcement(row)) if row else AnnouncementOver(announcement_id=AnnouncementId(""))


def _announcement(row: asyncpg.Record | None) -> Announcement:
    assert row is not None, "the statement answers one row"
    return Announcement(
        announcement_id=row["announcement_id"], text=row["text"], at_ms=row["at_ms"], until_ms=row["until_ms"]
    )
