"""Brings every show back to its viewers, whatever was lost.

A write is stored, then told. A crash or an outage in between, or a Redis that comes back empty, leaves viewers with
less than is stored. So each show has a version in Postgres and the version last told in Redis, and whenever these
differ everything is told again: pins, prices, the state keys, and to checkout whether it sells.

Owns: the task that compares, and how long it leaves a show alone that could not be told.
Invariant: telling again happens under the show's turn, so it never overtakes a write; one show that cannot be told
keeps no other waiting, and is asked for ever more rarely.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import NamedTuple

import asyncpg
import msgspec
import structlog
from redis.exceptions import RedisError

from live.adapters import HubAnnouncer, StockTeller
from live.announcements import announced_in
from live.queries import sql
from live.shows import ShowService
from live.turns import Pool, Turns
from schema.errors import NotFound, ShowfloorError
from schema.ids import ShowId
from schema.wire import Chat, ChatPinned, ChatUnpinned, Event, Pinned, PriceChanged, Unpinned

log = structlog.get_logger()

EVERY_S = 2.0
SHOWS_MAX = 200
"""The latest shows are looked after; older ones are told again with their next write."""

REST_MIN_S, REST_MAX_S = 2.0, 60.0
"""How long a show that could not be told is left alone; doubled each time."""

_OUTAGES = (
    ShowfloorError, RedisError, OSError, asyncpg.PostgresError, asyncpg.InterfaceError,
)  # fmt: skip


class _Rest(NamedTuple):
    until_s: float
    pause_s: float


class Republisher:
    """One per process."""

    def __init__(
        self, pool: Pool, turns: Turns, shows: ShowService, announcer: HubAnnouncer, teller: StockTeller
    ) -> None:
        self._pool = pool
        self._turns = turns
        self._shows = shows
        self._announcer = announcer
        self._teller = teller
        self._owed_state: set[ShowId] | None = None
        self._resting: dict[ShowId, _Rest] = {}

    async def run(self) -> None:
        """Look after the shows for ever; its owner cancels it."""
        while True:
            await asyncio.sleep(EVERY_S)
            await self.look()

    async def look(self) -> None:
        """Once: at first the state of every show as stored, whatever was told before; then whatever is missing.

        Never raises: a store that is away is looked for again.
        """
        try:
            if self._owed_state is None:
                self._owed_state = set(await self._versions())
            for show in list(self._owed_state):
                if await self._attempt(show, self._tell_state):
                    self._owed_state.discard(show)
            await self.compare()
        except _OUTAGES as error:
            log.warning("not_republished", error=type(error).__name__)

    async def compare(self) -> None:
        """Tell again each show whose stored version was not told."""
        stored = await self._versions()
        told = await self._announcer.marks.all_told(list(stored))
        for (show, version), known in zip(stored.items(), told, strict=True):
            if known != version:
                await self._attempt(show, self._tell_again)
        self._resting = {show: rest for show, rest in self._resting.items() if show in stored}

    async def _attempt(self, show: ShowId, tell: Callable[[ShowId], Awaitable[None]]) -> bool:
        """False if the show rests, or could not be told and rests from now on."""
        rest = self._resting.get(show)
        if rest is not None and time.monotonic() < rest.until_s:
            return False
        try:
            await tell(show)
        except _OUTAGES as error:
            pause_s = min(rest.pause_s * 2, REST_MAX_S) if rest else REST_MIN_S
            self._resting[show] = _Rest(time.monotonic() + pause_s, pause_s)
            log.warning("show_not_told", show=show, error=type(error).__name__, again_in_s=pause_s)
            return False
        self._resting.pop(show, None)
        return True

    async def _versions(self) -> dict[ShowId, int]:
        rows = await self._pool.fetch(sql("versions"), SHOWS_MAX)
        return {ShowId(row["show_id"]): row["version"] for row in rows}

    async def _tell_again(self, show: ShowId) -> None:
        async with self._turns.of(show):
            full = await self._shows.get(show)
            told = await self._announcer.marks.told(show)
            if told == full.version:
                return  # a write was under way, and is told by now
            await self._shows.settle_sales(await self._shows.row(show))
            await self._tell_state(show)
            events: list[Event] = [PriceChanged(variant_id=item.variant_id, price=item.price) for item in full.items]
            if told is not None:  # else the hub's own keys are gone too, and with them every pin it kept
                shown = (*(item.variant_id for item in full.items), *(bundle.bundle_id for bundle in full.bundles))
                loose = (variant for variant in shown if variant not in full.pins)
                events += [Unpinned(variant_id=variant) for variant in loose]
            pins = await self._shows.pins(show)
            events += [Pinned(variant_id=pin.variant_id, at_ms=pin.pinned_at_ms) for pin in pins]
            row = await self._pool.fetchrow(sql("chat_pin"), show)
            events.append(ChatPinned(message=msgspec.json.decode(row["message"], type=Chat)) if row else ChatUnpinned())
            events.append(await announced_in(self._pool, show))
            await self._announcer.republish(show, full.version, events)
            log.info("show_republished", show=show, version=full.version)

    async def _tell_state(self, show: ShowId) -> None:
        try:
            row = await self._shows.row(show)
        except NotFound:
            return
        full = await self._shows.get(show)
        self._announcer.state(show, {**row.shown, "host": full.host_present})
        for item in full.items:
            self._teller.seed(show, item.variant_id, item.stock)
            self._announcer.state(show, {f"stock.{item.variant_id}": item.stock})
