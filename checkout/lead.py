"""Which of several desks on one database looks after what only one has to: lapsed holds, undecided payments, drift.

Each of these is safe in every desk at once, claimed row by row; one is enough, and N would only ask N times as often.

Owns: one connection, and an advisory lock of its session.
Invariant: at most one desk leads; one that is killed leads no more as soon as PostgreSQL sees its connection end.
"""

import asyncio
import time

import asyncpg
import structlog

from checkout.truth import FAILURES, sql

log = structlog.get_logger()

ASK_S = 2.0
AGAIN_S = 1.0
"""How long a desk that does not lead waits before it asks again."""


class Lead:
    """One desk's wish to lead."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool
        self._connection: asyncpg.pool.PoolConnectionProxy | None = None
        self._asking = asyncio.Lock()
        self._ask_at_s = 0.0

    async def is_mine(self) -> bool:
        """True while this desk leads; asks for the lead where it does not. False if PostgreSQL does not answer."""
        async with self._asking:
            if self._is_held():
                return True
            if time.monotonic() < self._ask_at_s:
                return False
            self._ask_at_s = time.monotonic() + AGAIN_S
            await self.let_go()
            return await self._ask()

    def _is_held(self) -> bool:
        try:
            return self._connection is not None and not self._connection.is_closed()
        except asyncpg.InterfaceError:  # it was lost, and the pool has taken it back
            return False

    async def _ask(self) -> bool:
        connection = None
        try:
            connection = await self._pool.acquire(timeout=ASK_S)
            if await connection.fetchval(sql("lead"), timeout=ASK_S):
                self._connection, connection = connection, None
                log.info("desk_leads")
                return True
        except FAILURES:
            return False
        finally:
            if connection is not None:
                await self._pool.release(connection)
        return False

    async def let_go(self) -> None:
        """Leave the lead to another: a connection that goes back to its pool lets go of its locks."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await self._pool.release(connection)
