"""Up to which version each show's viewers were told everything.

Owns: these marks. Invariant: they are kept beside the hub's own keys and lost with them, so that the republisher sees
both losses as one.
"""

from typing import Protocol

from redis.asyncio import Redis

from realtime.hub import Hub
from schema.ids import ShowId


class Marks(Protocol):
    """Raises RedisError or OSError where Redis keeps them."""

    async def told(self, show: ShowId) -> int | None:
        """The version up to which viewers were told everything; None: nothing is known."""

    async def all_told(self, shows: list[ShowId]) -> list[int | None]:
        """`told` of each."""

    async def mark(self, show: ShowId, version: int) -> None:
        """Viewers were told everything up to `version`."""


class RedisMarks:
    """Those of a hub whose broker is Redis."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def told(self, show: ShowId) -> int | None:
        """As `Marks`."""
        return _number(await self._redis.get(_key(show)))

    async def all_told(self, shows: list[ShowId]) -> list[int | None]:
        """As `Marks`."""
        async with self._redis.pipeline(transaction=False) as pipe:
            for show in shows:
                pipe.get(_key(show))
            return [_number(value) for value in await pipe.execute()]

    async def mark(self, show: ShowId, version: int) -> None:
        """As `Marks`."""
        await self._redis.set(_key(show), version)


class MemoryMarks:
    """Those of a hub without Redis: a show that turns out blank has none."""

    def __init__(self, hub: Hub) -> None:
        self._versions: dict[ShowId, int] = {}
        hub.on_blank.append(self._forget)

    def _forget(self, show: ShowId) -> None:
        self._versions.pop(show, None)

    async def told(self, show: ShowId) -> int | None:
        """As `Marks`."""
        return self._versions.get(show)

    async def all_told(self, shows: list[ShowId]) -> list[int | None]:
        """As `Marks`."""
        return [self._versions.get(show) for show in shows]

    async def mark(self, show: ShowId, version: int) -> None:
        """As `Marks`."""
        self._versions[show] = version


def _key(show: ShowId) -> str:
    return f"sf:{{{show}}}:told"


def _number(value: object) -> int | None:
    return int(value) if isinstance(value, bytes) else None
