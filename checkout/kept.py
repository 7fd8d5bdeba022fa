"""A connection that goes from one batch of taps to the next, past the pool.

A pool cleans each connection that it takes back, which is a round trip: as long as a small batch takes. What a batch
does leaves nothing in the session to be cleaned.

Owns: at most one idle connection of a pool's, for as long as taps keep coming, and the timer that gives it back then.
Invariant: one that failed goes back to the pool at once, which looks at it.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from typing import Any

import asyncpg

IDLE_S = 0.5
"""Without a batch for so long, it is the pool's again: who closes that one waits for all that are lent."""
CLOSE_S = 0.5

Lease = AbstractAsyncContextManager[Any]


class Kept:
    """A place for one connection of `pool`. Who comes while it is in use gets another one of the pool's."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool
        self._idle: tuple[Lease, Any] | None = None
        self._uses = 0
        self._timer: asyncio.TimerHandle | None = None
        self._returning: asyncio.Task[None] | None = None
        self._is_closed = False

    @asynccontextmanager
    async def connection(self, timeout: float) -> AsyncIterator[Any]:  # noqa: ASYNC109 - as the pool's own
        """The kept one, or one of the pool's, which is kept from now on if it does not fail."""
        lease, connection = self._take() or await self._acquire(timeout)
        try:
            yield connection
        except BaseException:
            await _give_back(lease)
            raise
        if self._idle is not None or self._is_closed:
            await _give_back(lease)
            return
        self._idle = lease, connection
        self._uses += 1
        self._watch()

    async def close(self) -> None:
        """Give it back, and keep none any more."""
        self._is_closed = True
        if self._timer:
            self._timer.cancel()
        idle, self._idle = self._idle, None
        with suppress(asyncpg.PostgresError, asyncpg.InterfaceError, OSError):  # a silent server is no reason to wait
            async with asyncio.timeout(CLOSE_S):
                if idle:
                    await _give_back(idle[0])
                if self._returning:
                    await self._returning

    def _take(self) -> tuple[Lease, Any] | None:
        idle, self._idle = self._idle, None
        try:
            return None if idle is None or idle[1].is_closed() else idle
        except asyncpg.InterfaceError:  # it was lost, and the pool has taken it back
            return None

    async def _acquire(self, timeout_s: float) -> tuple[Lease, Any]:
        lease: Lease = self._pool.acquire(timeout=timeout_s)
        return lease, await lease.__aenter__()

    def _watch(self) -> None:
        if self._timer is None and not self._is_closed:
            self._timer = asyncio.get_running_loop().call_later(IDLE_S, self._look, self._uses)

    def _look(self, uses: int) -> None:
        """One timer for any number of batches: it looks whether there was one since it began."""
        self._timer = None
        if self._idle is None:
            return  # in use: who brings it back begins anew
        if uses != self._uses:
            self._watch()
            return
        (lease, _), self._idle = self._idle, None
        self._returning = asyncio.create_task(_guarded(lease))


async def _give_back(lease: Lease) -> None:
    await lease.__aexit__(None, None, None)


async def _guarded(lease: Lease) -> None:
    with suppress(asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
        await _give_back(lease)
