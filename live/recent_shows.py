"""The rows of the shows people are in, as of at most a second ago.

Chat asks with every message whether its show exists, and so does a guest's arrival; neither may cost
Postgres a query each, nor stop when Postgres does.

Owns: a bounded cache of rows. Invariant: a row is at most `FRESH_S` old while Postgres answers; while it does not,
chat and joins go on with what was known for up to `STALE_S`. A show that does not exist is never cached.
"""

import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable

import asyncpg
import structlog

from live.shows import ShowRow
from schema.errors import NotFound
from schema.ids import ShowId

log = structlog.get_logger()

FRESH_S, STALE_S = 1.0, 600.0
ROWS_MAX = 1000


class RecentShows:
    """One per process."""

    def __init__(
        self, read: Callable[[ShowId], Awaitable[ShowRow]], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._read = read
        self._clock = clock
        self._rows: OrderedDict[ShowId, tuple[float, ShowRow]] = OrderedDict()

    async def row(self, show: ShowId) -> ShowRow:
        """The row of a show. Raises NotFound, or whatever the store raises when nothing recent is known."""
        now = self._clock()
        read_at, known = self._rows.get(show, (float("-inf"), None))
        if known is not None and now - read_at < FRESH_S:
            return known
        try:
            row = await self._read(show)
        except NotFound:
            self._rows.pop(show, None)
            raise
        except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            if known is None or now - read_at > STALE_S:
                raise
            log.warning("show_row_stale", show=show, error=type(error).__name__)
            return known
        self._rows[show] = (now, row)
        self._rows.move_to_end(show)
        while len(self._rows) > ROWS_MAX:
            self._rows.popitem(last=False)
        return row

    def known(self) -> list[ShowId]:
        """The shows people asked about lately."""
        return list(self._rows)

    async def exists(self, show_id: ShowId) -> bool:
        """True if there is such a show."""
        try:
            await self.row(show_id)
        except NotFound:
            return False
        return True
