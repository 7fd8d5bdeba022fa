"""A connection that goes from one batch of taps to the next, past the pool.

A pool cleans each connection that it takes back, which is a round trip: as long as a small batch takes. What a batch
does leaves nothing in the session to be cleaned.

Owns: at most one idle connection of a pool's. Invariant: one that failed goes back to the pool, which looks at it.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from typing import Any

import asyncpg

CLOSE_S = 0.5


class Kept:
    """A place for one connection of `pool`. Who comes while it is in use gets another one of the pool's."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool
        self._idle: tuple[AbstractAsyncContextManager[Any], Any] | None = None
        self._is_closed = False

    @asynccontextmanager
    async def connection(self, timeout: float) -> AsyncIterator[Any]:  # noqa: ASYNC109 - as the pool's own
        """The kept one, or one of the pool's, which is kept from now on if it does not fail."""
        lease, connection = self._take() or await self._acquire(timeout)
        try:
            yield connection
        except BaseException:
            await lease.__aexit__(None, None, None)
            raise
        if self._idle is None and not self._is_closed:
            self._idle = lease, connection
        else:
            await lease.__aexit__(None, None, None)

    async def close(self) -> None:
        """Give it back, and keep none any more."""
        self._is_closed = True
        idle, self._idle = self._idle, None
        if idle:
            with suppress(asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
                async with asyncio.timeout(CLOSE_S):
                    await idle[0].__aexit__(None, None, None)

    def _take(self) -> tuple[AbstractAsyncContextManager[Any], Any] | None:
        idle, self._idle = self._idle, None
        try:
            return None if idle is None or idle[1].is_closed() else idle
        except asyncpg.InterfaceError:  # it was lost, and the pool has taken it back
            return None

    async def _acquire(self, timeout_s: float) -> tuple[AbstractAsyncContextManager[Any], Any]:
        lease = self._pool.acquire(timeout=timeout_s)
        return lease, await lease.__aenter__()
