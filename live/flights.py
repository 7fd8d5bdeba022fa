"""Many readers, one read: a crowd that asks for the same show at once costs one query at a time.

A cache would be simpler and wrong: whoever has just bought must see it. So a reader never gets a read that began
before they asked; whoever asks while one is under way waits for the next.

    read      [---- 1 ----][---- 2 ----]
    asks      a     b   c              b and c share read 2; a had read 1 to itself

Owns: the reads under way. Invariant: at most one read a key is running and one is waiting.
"""

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Flights(Generic[K, V]):
    """Shares calls of `read`. Whatever it raises, all who share it get."""

    def __init__(self, read: Callable[[K], Awaitable[V]]) -> None:
        self._read = read
        self._flying: dict[K, asyncio.Task[V]] = {}
        self._boarding: dict[K, asyncio.Task[V]] = {}

    async def get(self, key: K) -> V:
        """What `read(key)` says, read after this call."""
        flight = self._boarding.get(key)
        if flight is None:
            flight = asyncio.create_task(self._fly(key, self._flying.get(key)))
            flight.add_done_callback(_landed)
            self._boarding[key] = flight
        # One reader who hangs up must not take the others' answer along.
        return await asyncio.shield(flight)

    async def _fly(self, key: K, before: "asyncio.Task[V] | None") -> V:
        if before is not None:
            await asyncio.wait({before})
        flight = self._flying[key] = self._boarding.pop(key)
        try:
            return await self._read(key)
        finally:
            if self._flying[key] is flight:
                del self._flying[key]

    async def aclose(self) -> None:
        """End what is under way."""
        tasks = [*self._flying.values(), *self._boarding.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _landed(flight: "asyncio.Task[V]") -> None:
    """Look at the outcome: nobody else may, if every reader has hung up."""
    if not flight.cancelled():
        flight.exception()
