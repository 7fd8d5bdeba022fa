"""Many small writes as few large ones: a thousand votes at once are a handful of statements.

Owns: what waits to be written, and who waits for it. Full: refused.
Invariant: a key stands once in a write, with its latest value; whoever put one hears whether that was written.
"""

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Mapping
from typing import Generic, TypeVar

import asyncpg

from schema.errors import Unavailable

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

BATCH_MAX = 500
WAITING_MAX = 20_000
DEADLINE_S = 10.0

_OUTAGES = (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError)


class Batch(Generic[K, V]):
    """`write` answers the keys that it wrote. One per process; its owner runs `run`."""

    def __init__(self, write: Callable[[Mapping[K, V]], Awaitable[set[K]]]) -> None:
        self._write = write
        self._waiting: dict[K, tuple[V, asyncio.Future[bool]]] = {}
        self._work = asyncio.Event()

    async def put(self, key: K, value: V) -> bool:
        """True once it is written, false if the truth does not take it. Raises Unavailable: it may have been."""
        _, written = self._waiting.get(key, (None, None))
        if written is None:
            if len(self._waiting) >= WAITING_MAX:
                raise Unavailable("Too many at once", retry_after_ms=1000)
            written = asyncio.get_running_loop().create_future()
        self._waiting[key] = value, written
        self._work.set()
        try:
            async with asyncio.timeout(DEADLINE_S):
                return await asyncio.shield(written)
        except TimeoutError:
            raise Unavailable("It could not be written in time", retry_after_ms=1000) from None

    async def run(self) -> None:
        """Write for ever; its owner cancels it."""
        while True:
            await self._work.wait()
            self._work.clear()
            while self._waiting:
                await self._write_some()

    async def _write_some(self) -> None:
        keys = list(self._waiting)[:BATCH_MAX]
        batch = {key: self._waiting.pop(key) for key in keys}
        try:
            written = await self._write({key: value for key, (value, _) in batch.items()})
        except _OUTAGES:
            for _, future in batch.values():
                _settle(future, Unavailable("A store does not answer", retry_after_ms=1000))
            return
        for key, (_, future) in batch.items():
            _settle(future, key in written)


def _settle(future: "asyncio.Future[bool]", outcome: "bool | Unavailable") -> None:
    if future.done():
        return
    if isinstance(outcome, Unavailable):
        future.set_exception(outcome)
        future.exception()  # whoever hung up does not ask
    else:
        future.set_result(outcome)
