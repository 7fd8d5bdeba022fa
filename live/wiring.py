"""Plugs the rooms into each other: opens what each needs, in order, and fits what one declares to what another has.

Owns: the adapters, and the order of opening. Invariant: a room meets another only here.
"""

import asyncio
import ipaddress
from collections.abc import Coroutine, Mapping
from contextlib import AsyncExitStack
from typing import Any, Protocol, TypedDict
from urllib.parse import urlsplit

import asyncpg
import structlog
from msgspec.structs import replace
from prometheus_client import CollectorRegistry

from checkout.audit import Audit
from checkout.core.receipt import Signer
from checkout.counts import Counts
from checkout.desk import Desk
from checkout.exports import Exports
from checkout.lead import Lead
from checkout.open_books import OpenBooks
from checkout.payments import WebhookForged
from checkout.postman import Postman, Reach
from checkout.price_errors import PriceErrors
from checkout.receipts import Receipts
from checkout.truth import Truth
from checkout.webhooks import Webhooks
from live.adapters import ChatRoom, DeskBook, Gate, HostBoard, HubAnnouncer, PageReports, StockTeller
from live.announcements import Announcements
from live.audience import Audience
from live.auth import Tokens
from live.boards import Boards
from live.bundles import BundleBook
from live.catalog import Catalog
from live.claims import Claims
from live.cuts import Cuts
from live.flights import Flights
from live.guests import Guests
from live.health import Health
from live.limits import Limiter, Strangers
from live.link_metrics import LinkMetrics
from live.marks import MemoryMarks, RedisMarks
from live.metrics import Rooms, make_registry
from live.moderation import Moderation
from live.offers import Offers
from live.pins import Pins
from live.pipeline import Pipeline
from live.place import Place
from live.polls import Polls
from live.providers import open_provider
from live.questions import Questions
from live.recent_shows import RecentShows
from live.redis_clients import DEADLINE_S as STORE_DEADLINE_S
from live.redis_clients import open_redis
from live.rehearsals import Rehearsals
from live.republish import Republisher
from live.rulebook import Rulebook
from live.settings import RECEIPT_FILE, Settings, is_live, stored_secret
from live.shared_stock import SharedStockTeller
from live.shows import ShowService
from live.siblings import Others, session_suffix
from live.thumbnail import anyone_may_watch
from live.tickets import Tickets
from live.turns import Pool, Turns
from live.whispers import Whispers
from media.config import LinkConfig, RelayConfig
from media.core.ice_servers import IceServers
from media.links import Links
from media.relay import Relay
from media.reports import Reports
from media.stats import Statistics
from media.thumbnails import Thumbnails
from realtime.chat import ChatService
from realtime.hub import Hub
from realtime.reactions import Reactions
from schema.ids import ShowId
from schema.show import Show

log = structlog.get_logger()

READERS, WRITERS, DESK_CONNECTIONS = 8, 4, 12


class StoreAddresses(Protocol):
    """Where the stores are."""

    @property
    def redis_url(self) -> str:
        """A redis:// or unix:// address."""

    @property
    def database_url(self) -> str:
        """A postgresql:// address."""


def share(connections: int, workers: int) -> int:
    """How many of the connections that two processes may have each of more may: PostgreSQL has a fixed number."""
    return max(2, -(-connections * 2 // max(2, workers)))


class Services(TypedDict):
    """The lifespan state: what handlers of all rooms find in `request.state`."""

    shows: ShowService
    recent: RecentShows
    rehearsals: Rehearsals
    reads: Flights[ShowId, Show]
    catalog: Catalog
    pins: Pins
    bundles: BundleBook
    offers: Offers
    guests: Guests
    tokens: Tokens
    tickets: Tickets
    doorkeeper: Tickets
    limiter: Limiter
    strangers: Strangers
    announcer: HubAnnouncer
    republisher: Republisher
    health: Health
    hub: Hub
    desk: Desk
    audit: Audit
    webhooks: Webhooks
    exports: Exports
    price_errors: PriceErrors
    open_books: OpenBooks
    receipts: Receipts
    chat: ChatService
    claims: Claims
    moderation: Moderation
    polls: Polls
    questions: Questions
    announcements: Announcements
    boards: Boards
    audience: Audience
    relay: Relay
    media_gate: Gate
    thumbnails: Thumbnails
    statistics: Statistics
    reports: PageReports
    metrics: CollectorRegistry
    others: Others | None
    links: Links | None


async def open_services(
    stack: AsyncExitStack, settings: Settings, stores: StoreAddresses, tokens: Tokens, place: Place | None = None
) -> Services:
    """Open everything. What was opened closes with `stack`, the last first. `place`: among which other workers."""
    pool = await open_postgres(stack, stores.database_url, share(READERS, settings.workers))
    turns = Turns(await open_postgres(stack, stores.database_url, share(WRITERS, settings.workers)))
    redis = await open_redis(stack, stores.redis_url)
    shared = settings.broker == "redis"
    hub = await stack.enter_async_context(Hub(await open_redis(stack, stores.redis_url) if shared else None))
    pipeline = Pipeline(redis)
    stack.push_async_callback(pipeline.aclose)
    limiter, tickets = Limiter(pipeline, load=settings.load), Tickets(pipeline)
    teller = SharedStockTeller(hub, pipeline) if place else StockTeller(hub)
    announcer = HubAnnouncer(hub, RedisMarks(redis) if shared else MemoryMarks(hub))
    hosts = HostBoard(hub)

    whispers = Whispers(hub)
    desk = await open_desk(stack, settings, stores, (teller, whispers), place)
    books = Truth(pool, Counts())  # for what is read and written beside the sale
    audit = Audit(books)
    postman = await stack.enter_async_context(Postman(webhook_reach(settings)))
    signer = Signer(settings.receipt_key or stored_secret(settings.data_dir, RECEIPT_FILE))
    webhooks = Webhooks(books, postman, audit, leads=desk.upkeep.leads)
    book = DeskBook(desk)
    catalog, pins = Catalog(pool, turns, book, announcer), Pins(pool, turns, announcer)
    links = await open_links(stack, settings, hosts, place) if place else None
    presence = links or hosts
    bundles, offers = BundleBook(pool, turns, book, announcer), Offers(pool, catalog, announcer)
    cuts = Cuts(pool)
    shows = ShowService(
        pool,
        turns,
        catalog=catalog,
        pins=pins,
        bundles=bundles,
        offers=offers,
        stock=book,
        video=cuts,
        presence=presence,
        announcer=announcer,
    )
    recent, reads = RecentShows(shows.row), Flights(shows.get)
    stack.push_async_callback(reads.aclose)
    relay = await stack.enter_async_context(Relay(relay_config(settings, place), links or hosts, links))
    await cuts.follow(relay.cut)
    hub.on_dismissed.append(relay.end_watching)  # who is banned sees nothing more, either
    republisher = Republisher(pool, turns, shows, announcer, teller)
    await republisher.look()
    rulebook = Rulebook(pool, recent)
    claims = Claims(desk, limiter, hub, reads.get)
    stack.push_async_callback(claims.aclose)
    chat = ChatService(hub, limiter, rulebook, claims=claims)
    room = ChatRoom(hub, chat, rulebook)
    polls, questions = Polls(pool, limiter, room), Questions(pool, limiter, room)
    announcements = Announcements(pool, turns, announcer)
    boards = Boards(announcer, [polls.now, questions.now], due=[announcements.end_due])
    hub.on_blank.append(boards.forget)
    reactions = Reactions(redis, hub, rulebook)
    moderation = Moderation(pool, turns, announcer, room, questions)
    rulebook.on_taken_down = moderation.unpin
    thumbnails = Thumbnails(relay, anyone_may_watch(recent))
    reports = Reports()
    statistics = Statistics(relay, reports)
    jobs = {
        "republisher": republisher.run(),
        "cuts": cuts.run(),
        "offers": offers.run(),
        "boards": boards.run(),
        "poll-votes": polls.votes.run(),
        "question-votes": questions.votes.run(),
        "reactions": reactions.run(),
        "stock-teller": teller.run(),
        "whispers": whispers.run(),
        "webhooks": webhooks.run(),
        "thumbnails": thumbnails.run(),
        "media-statistics": statistics.run(),
    }
    await own(stack, jobs)
    return Services(
        shows=shows,
        recent=recent,
        rehearsals=Rehearsals(
            pool, turns, shows, catalog, book, bundles=bundles, play_money=not takes_real_money(settings)
        ),
        reads=reads,
        catalog=catalog,
        pins=pins,
        bundles=bundles,
        offers=offers,
        guests=Guests(tokens, tickets, load=settings.load),
        tokens=tokens,
        tickets=tickets,
        doorkeeper=tickets,
        limiter=limiter,
        strangers=Strangers(limiter),
        announcer=announcer,
        republisher=republisher,
        health=Health(pool, redis),
        hub=hub,
        desk=desk,
        audit=audit,
        webhooks=webhooks,
        exports=Exports(books),
        price_errors=PriceErrors(books, desk),
        open_books=OpenBooks(books, signer),
        receipts=Receipts(books, signer),
        chat=chat,
        claims=claims,
        moderation=moderation,
        polls=polls,
        questions=questions,
        announcements=announcements,
        boards=boards,
        audience=Audience(reactions, polls, questions),
        relay=relay,
        media_gate=Gate(tokens, recent, limiter, chat, cuts),
        thumbnails=thumbnails,
        statistics=statistics,
        reports=PageReports(reports),
        metrics=make_registry([Rooms(hub, desk, relay, recent, statistics), *([LinkMetrics(links)] if links else [])]),
        links=links,
        others=await stack.enter_async_context(Others(place)) if place else None,
    )


async def open_desk(
    stack: AsyncExitStack,
    settings: Settings,
    stores: StoreAddresses,
    listeners: tuple[StockTeller, Whispers],
    place: Place | None = None,
) -> Desk:
    """Checkout over stores of its own, with the payment provider of the settings behind it."""
    teller, whispers = listeners
    pool = await open_postgres(stack, stores.database_url, share(DESK_CONNECTIONS, settings.workers))
    redis = await open_redis(stack, stores.redis_url)
    desk: Desk | None = None

    async def deliver(body: bytes, headers: dict[str, str]) -> int:
        if desk is None:
            return 503
        try:
            await desk.webhook(body, headers)
        except WebhookForged:
            return 401
        return 200

    provider = await open_provider(stack, settings, pool, deliver)
    lead = Lead(pool) if settings.workers > 1 else None
    hold_ms = settings.hold_seconds * 1000
    journal = settings.data_dir / f"confirming-{place.worker if place else 0}.jsonl"
    desk = await stack.enter_async_context(
        Desk(pool, redis, provider, teller, hold_ms=hold_ms, lead=lead, journal=journal, buyers=whispers)
    )
    return desk


async def open_links(stack: AsyncExitStack, settings: Settings, hosts: HostBoard, place: Place) -> Links:
    """The links to the other workers, and what they have on air."""
    config = LinkConfig(worker=place.worker, others=tuple(place.others), folder=place.folder)
    return await stack.enter_async_context(Links(config, hosts, gop_packets=relay_config(settings).gop_packets))


def webhook_reach(settings: Settings) -> Reach:
    """Where webhooks may go. A service that browsers reach on loopback alone is a developer's."""
    if settings.webhook_addresses == "auto":
        return "loopback" if is_loopback(settings.base_url) else "public"
    return settings.webhook_addresses


def takes_real_money(settings: Settings) -> bool:
    """True if a payment here costs somebody something."""
    return settings.payment_provider != "fake" and is_live(settings.stripe_secret_key)


def is_loopback(url: str) -> bool:
    """True if `url` leads to the machine that asks."""
    host = urlsplit(url).hostname or ""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def relay_config(settings: Settings, place: Place | None = None) -> RelayConfig:
    """Media's settings out of ours."""
    config = RelayConfig(
        bind_host=settings.media_host,
        port=settings.media_udp_port,
        tcp_port=settings.media_tcp_port if settings.media_tcp else None,
        ice_servers=IceServers(
            urls=settings.ice_urls,
            username=settings.turn_username,
            credential=settings.turn_credential,
            secret=settings.turn_secret,
            ttl_s=settings.turn_ttl_seconds,
        ),
        addresses=tuple(settings.media_addresses),
        max_bitrate_bps=settings.media_max_bitrate_bps,
        native={"auto": None, "on": True, "off": False}[settings.media_native],
        session_suffix=session_suffix(place),
    )
    return replace(config, max_per_account=config.max_sessions) if settings.load else config


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
