"""Which stores: REDIS_URL and DATABASE_URL where set, embedded ones for the rest.

Owns: nothing. Invariant: an address that was given is taken as it is, and never started or stopped by us.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Protocol

from live.stores import postgres, valkey
from live.stores.embedded import EmbeddedStores, Stores, full_path, holder_of, sockets_dir
from live.stores.server import StoreError


class StoreSettings(Protocol):
    """What the choice depends on; `live.settings.Settings` has it."""

    @property
    def redis_url(self) -> str: ...
    @property
    def database_url(self) -> str: ...
    @property
    def data_dir(self) -> Path: ...


@asynccontextmanager
async def resolve_stores(settings: StoreSettings) -> AsyncIterator[Stores]:
    """The stores to use, open inside the context. StoreError says what is missing and what mends it."""
    if settings.redis_url and settings.database_url:
        yield Stores(redis_url=settings.redis_url, database_url=settings.database_url)
        return
    embedded = EmbeddedStores(settings.data_dir, redis=not settings.redis_url, postgres=not settings.database_url)
    async with embedded:
        yield Stores(
            redis_url=settings.redis_url or embedded.redis_url,
            database_url=settings.database_url or embedded.database_url,
            source=f"embedded in {embedded.data_dir}",
        )


async def find_running(data_dir: str | Path, *, redis: bool = True, database: bool = True) -> Stores | None:
    """The embedded stores that a program has open on `data_dir`; None if one of those asked for does not answer."""
    sockets = sockets_dir(full_path(data_dir))
    if redis and not await valkey.answers(sockets):
        return None
    if database and not await postgres.answers(sockets):
        return None
    return Stores(redis_url=valkey.url(sockets), database_url=postgres.url(sockets), source=f"running in {data_dir}")


@asynccontextmanager
async def running_or_started(settings: StoreSettings) -> AsyncIterator[Stores]:
    """The stores for a look inside: those that a running program has open, else started for the while."""
    if (settings.redis_url and settings.database_url) or not holder_of(full_path(settings.data_dir)):
        async with resolve_stores(settings) as stores:
            yield stores
        return
    wanted = {"redis": not settings.redis_url, "database": not settings.database_url}
    running = await find_running(settings.data_dir, **wanted)
    if running is None:
        raise StoreError(f"The program that holds {settings.data_dir} has no stores that answer. Ask again later.")
    yield Stores(
        redis_url=settings.redis_url or running.redis_url,
        database_url=settings.database_url or running.database_url,
        source=running.source,
    )
