"""Which shows' video the operator has stopped, as this process knows it.

Owns: the list, and the task that reads it. The rows are `live/shows.py`'s.
Invariant: what this process changed holds at once, what another one did within `EVERY_S` and a query; while Postgres
is away what was known holds on, so that an outage shows nobody what was stopped.
"""

import asyncio
from collections.abc import Callable

import asyncpg
import structlog

from live.queries import sql
from live.turns import Pool
from schema.errors import VideoStopped
from schema.ids import ShowId

log = structlog.get_logger()

EVERY_S = 0.4
SHOWS_MAX = 10_000
"""Read at once; beyond that none is let through again by a reading, and a new process may miss some."""

_OUTAGES = (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError)


class Cuts:
    """One per process."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._reasons: dict[ShowId, str] = {}
        self._changes = 0
        self._tell: Callable[[frozenset[ShowId]], None] | None = None

    async def follow(self, tell: Callable[[frozenset[ShowId]], None]) -> None:
        """Look; from then on `tell` is called with all shows that are cut, whenever these change."""
        self._tell = tell
        await self.look()

    async def run(self) -> None:
        """Follow what is stored for ever; its owner cancels it."""
        while True:
            await asyncio.sleep(EVERY_S)
            await self.look()

    async def look(self) -> None:
        """Once. Never raises: a store that is away is asked again."""
        changes = self._changes
        try:
            rows = await self._pool.fetch(sql("videos_cut"), SHOWS_MAX)
        except _OUTAGES as error:
            log.warning("cuts_unknown", error=type(error).__name__)
            return
        if changes != self._changes:  # this reading may be older than what was said here meanwhile
            return
        found = {ShowId(row["show_id"]): row["video_reason"] for row in rows}
        if len(rows) == SHOWS_MAX:  # there may be more: who is missing is not let through for that
            log.error("cuts_too_many", most=SHOWS_MAX)
            found = self._reasons | found
        self._set(found)

    def set_video(self, show: ShowId, *, open: bool, reason: str) -> None:  # noqa: A002 - the field's word
        """What was just stored of a show."""
        self._changes += 1
        rest = {one: why for one, why in self._reasons.items() if one != show}
        self._set(rest if open else rest | {show: reason})

    def check(self, show: ShowId) -> None:
        """Raises VideoStopped, with the reason."""
        if show in self._reasons:
            reason = self._reasons[show]
            raise VideoStopped(reason or VideoStopped.title, reason=reason)

    def _set(self, reasons: dict[ShowId, str]) -> None:
        is_new = reasons.keys() != self._reasons.keys()
        self._reasons = reasons
        if is_new and self._tell is not None:
            self._tell(frozenset(reasons))
