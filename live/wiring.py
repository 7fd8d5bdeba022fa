"""Plugs the rooms into each other: opens what each needs, in order, and fits what one declares to what another has.

Owns: the adapters, and the order of opening. Invariant: a room meets another only here.
"""

from collections.abc import Mapping
from contextlib import AsyncExitStack
from typing import Protocol, TypedDict

import asyncpg
import structlog
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialBackoff

from live.auth import Tokens
from live.catalog import Catalog
from live.guests import Guests
from live.health import Health
from live.limits import Limiter
from live.pins import Pins
from live.recent_shows import RecentShows
from live.settings import Settings
from live.shows import ShowService
from live.tickets import Tickets
from live.turns import Pool, Turns
from schema.ids import ShowId, VariantId
from schema.show import Stock
from schema.wire import Event

log = structlog.get_logger()

READERS, WRITERS = 8, 4
REDIS_CONNECTIONS = 32
STORE_DEADLINE_S = 5.0


class StoreAddresses(Protocol):
    """Where the stores are."""

    @property
    def redis_url(self) -> str:
        """A redis:// or unix:// address."""

    @property
    def database_url(self) -> str:
        """A postgresql:// address."""


class Services(TypedDict):
    """The lifespan state: what handlers of all rooms find in `request.state`."""

    shows: ShowService
    recent: RecentShows
    catalog: Catalog
    pins: Pins
    guests: Guests
    tokens: Tokens
    tickets: Tickets
    limiter: Limiter
    health: Health


class Interim:
    """No rooms yet."""

    def __init__(self) -> None:
        self._stocks: dict[ShowId, dict[VariantId, Stock]] = {}

    async def tell(self, show: ShowId, event: Event) -> None:
        log.debug("told", show=show, kind=type(event).__name__)

    async def state(self, show: ShowId, values: Mapping[str, object]) -> None:
        log.debug("state", show=show, keys=list(values))

    async def stocks(self, show: ShowId) -> Mapping[VariantId, Stock]:
        return self._stocks.get(show, {})

    async def open(self, show: ShowId, variant: VariantId, units: int) -> None:
        self._stocks.setdefault(show, {})[variant] = Stock(on_hand=units, held=0, sold=0, available=units)

    async def restock(self, show: ShowId, variant: VariantId, units: int) -> Stock:
        before = self._stocks[show][variant]
        after = Stock(on_hand=before.on_hand + units, held=0, sold=0, available=before.available + units)
        self._stocks[show][variant] = after
        return after

    async def set_sales(self, show: ShowId, *, open: bool) -> None:  # noqa: A002
        log.debug("sales", show=show, open=open)

    def host_present(self, show: ShowId) -> bool:
        return not show


async def open_services(stack: AsyncExitStack, settings: Settings, stores: StoreAddresses, tokens: Tokens) -> Services:
    """Open everything. What was opened closes with `stack`."""
    pool = await open_postgres(stack, stores.database_url, READERS)
    turns = Turns(await open_postgres(stack, stores.database_url, WRITERS))
    redis = await open_redis(stack, stores.redis_url)
    limiter = Limiter(redis, load=settings.load)
    tickets = Tickets(redis)
    interim = Interim()
    catalog = Catalog(pool, turns, interim, interim)
    pins = Pins(pool, turns, interim)
    shows = ShowService(pool, turns, catalog=catalog, pins=pins, stock=interim, presence=interim, announcer=interim)
    return Services(
        shows=shows,
        recent=RecentShows(shows.row),
        catalog=catalog,
        pins=pins,
        guests=Guests(tokens, tickets),
        tokens=tokens,
        tickets=tickets,
        limiter=limiter,
        health=Health(pool, redis),
    )


async def open_postgres(stack: AsyncExitStack, url: str, connections: int) -> Pool:
    """A pool of the show's own: checkout's queue must not stand before a host's pin."""
    return await stack.enter_async_context(
        asyncpg.create_pool(
            url, min_size=1, max_size=connections, command_timeout=STORE_DEADLINE_S, timeout=STORE_DEADLINE_S
        )
    )


async def open_redis(stack: AsyncExitStack, url: str) -> Redis:
    """A client whose callers wait for one of a bounded number of connections, and give up after a deadline."""
    connections = BlockingConnectionPool.from_url(
        url,
        max_connections=REDIS_CONNECTIONS,
        timeout=STORE_DEADLINE_S,
        socket_timeout=STORE_DEADLINE_S,
        socket_connect_timeout=1.0,
        retry=Retry(ExponentialBackoff(cap=0.1, base=0.01), 1),
    )
    return await stack.enter_async_context(Redis.from_pool(connections))
