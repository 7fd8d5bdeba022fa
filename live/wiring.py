"""Plugs the rooms into each other: opens what each needs, in order, and fits what one declares to what another has.

Owns: the adapters, and the order of opening. Invariant: a room meets another only here.
"""

import asyncio
from collections.abc import Coroutine, Mapping
from contextlib import AsyncExitStack
from typing import Any, Protocol, TypedDict

import asyncpg
import structlog
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialBackoff

from live.adapters import Gate, HostBoard, HubAnnouncer, StockTeller
from live.auth import Tokens
from live.catalog import Catalog
from live.guests import Guests
from live.health import Health
from live.limits import Limiter
from live.pins import Pins
from live.recent_shows import RecentShows
from live.republish import Republisher
from live.settings import Settings
from live.shows import ShowService
from live.tickets import Tickets
from live.turns import Pool, Turns
from media.config import RelayConfig
from media.relay import Relay
from realtime.chat import ChatService
from realtime.hub import Hub
from schema.ids import ShowId, VariantId
from schema.show import Stock

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


class Interim:
    """Stands for checkout until it is there."""

    def __init__(self) -> None:
        self._stocks: dict[ShowId, dict[VariantId, Stock]] = {}

    async def stocks(self, show: ShowId) -> Mapping[VariantId, Stock]:
        return self._stocks.get(show, {})

    async def open(self, show: ShowId, variant: VariantId, units: int) -> None:
        self._stocks.setdefault(show, {})[variant] = Stock(on_hand=units, held=0, sold=0, available=units)

    async def restock(self, show: ShowId, variant: VariantId, units: int) -> None:
        before = self._stocks[show][variant]
        after = Stock(on_hand=before.on_hand + units, held=0, sold=0, available=before.available + units)
        self._stocks[show][variant] = after

    async def set_sales(self, show: ShowId, *, open: bool) -> None:  # noqa: A002
        log.debug("sales", show=show, open=open)


class Services(TypedDict):
    """The lifespan state: what handlers of all rooms find in `request.state`."""

    shows: ShowService
    recent: RecentShows
    catalog: Catalog
    pins: Pins
    guests: Guests
    tokens: Tokens
    tickets: Tickets
    doorkeeper: Tickets
    limiter: Limiter
    health: Health
    hub: Hub
    chat: ChatService
    relay: Relay
    media_gate: Gate


async def open_services(stack: AsyncExitStack, settings: Settings, stores: StoreAddresses, tokens: Tokens) -> Services:
    """Open everything. What was opened closes with `stack`, the last first."""
    pool = await open_postgres(stack, stores.database_url, READERS)
    turns = Turns(await open_postgres(stack, stores.database_url, WRITERS))
    redis = await open_redis(stack, stores.redis_url)
    hub = await stack.enter_async_context(Hub(await open_redis(stack, stores.redis_url)))
    limiter, tickets = Limiter(redis, load=settings.load), Tickets(redis)
    announcer, teller, hosts = HubAnnouncer(hub, redis), StockTeller(hub), HostBoard(hub)

    book = Interim()
    catalog, pins = Catalog(pool, turns, book, announcer), Pins(pool, turns, announcer)
    shows = ShowService(pool, turns, catalog=catalog, pins=pins, stock=book, presence=hosts, announcer=announcer)
    recent = RecentShows(shows.row)
    relay = await stack.enter_async_context(Relay(relay_config(settings), hosts))
    republisher = Republisher(pool, turns, shows, announcer, teller)
    await republisher.begin()
    await own(stack, {"republisher": republisher.run(), "stock-teller": teller.run()})
    return Services(
        shows=shows,
        recent=recent,
        catalog=catalog,
        pins=pins,
        guests=Guests(tokens, tickets),
        tokens=tokens,
        tickets=tickets,
        doorkeeper=tickets,
        limiter=limiter,
        health=Health(pool, redis),
        hub=hub,
        chat=ChatService(hub, limiter, recent),
        relay=relay,
        media_gate=Gate(tokens, recent, limiter),
    )


def relay_config(settings: Settings) -> RelayConfig:
    """Media's settings out of ours."""
    return RelayConfig(
        bind_host=settings.media_host, port=settings.media_udp_port, addresses=tuple(settings.media_addresses)
    )


async def own(stack: AsyncExitStack, jobs: Mapping[str, Coroutine[Any, Any, None]]) -> None:
    """Run `jobs` until the stack closes. One that fails says so in the log; the others go on."""
    tasks = [asyncio.create_task(_logged(name, job), name=name) for name, job in jobs.items()]

    async def end() -> None:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    stack.push_async_callback(end)


async def _logged(name: str, job: Coroutine[Any, Any, None]) -> None:
    try:
        await job
    except Exception:
        log.exception("job_failed", job=name)


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
