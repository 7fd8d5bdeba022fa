"""One writer at a time for each show, in every process.

What is announced must come in the order in which it was committed: pin then unpin, announced the other way round,
would leave the pin on every screen. A row lock ends with its transaction, before the announcement; so the turn is an
advisory lock of the session, held across both.

Invariant: whoever is inside has the only turn of that show; it ends with the block, also when the connection breaks
(asyncpg's pool resets a session on release with `pg_advisory_unlock_all`).
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TypeAlias

import asyncpg
from asyncpg.pool import PoolConnectionProxy

from live.queries import sql
from schema.ids import ShowId

TURN_DEADLINE_S = 5.0

Pool: TypeAlias = "asyncpg.Pool[asyncpg.Record]"
Connection: TypeAlias = "PoolConnectionProxy[asyncpg.Record]"


class Turns:
    """Hands out the turns, over a pool of its own.

    Whoever waits for a turn holds a connection, and whoever has one reads through the other pool: with one pool for
    both, eight writers of one show would wait for each other until their deadline.
    """

    def __init__(self, writers: Pool) -> None:
        self._writers = writers

    @asynccontextmanager
    async def of(self, show: ShowId) -> AsyncIterator[Connection]:
        """A connection that holds this show's turn. Raises TimeoutError after 5 s of waiting for either."""
        async with self._writers.acquire(timeout=TURN_DEADLINE_S) as pg:
            await pg.execute(sql("show_turn"), show, timeout=TURN_DEADLINE_S)
            yield pg
