"""realtime's `ChatRules`: what the staff decided about each show's chat, as of at most half a second ago.

It is asked with every message, which may not cost Postgres a query each nor stop when Postgres does.

Owns: a bounded cache. Invariant: what this process changed holds at once, what another one did within `FRESH_S`;
while Postgres is away what was known holds on, for up to `STALE_S`, and then the usual: a show goes on without its
moderators' lists.
"""

import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import NamedTuple

import asyncpg
import structlog

from live.queries import sql
from live.recent_shows import RecentShows
from live.turns import Pool
from realtime.core.chat import Rules, Ruling
from schema.errors import NotFound
from schema.ids import AccountId, MessageId, ShowId
from schema.moderation import ChatRules, SanctionKind
from schema.people import Role

log = structlog.get_logger()

FRESH_S, STALE_S = 0.5, 600.0
BOOKS_MAX = 1000
SANCTIONS_MAX = 20_000
"""The latest ones of a show."""

_USUAL = ChatRules()
UNKNOWN = Rules(links_from=_USUAL.links_from, languages=tuple(_USUAL.languages))
_OUTAGES = (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError)


class _Known(NamedTuple):
    read_at_s: float
    rules: Rules


class Rulebook:
    """One per process."""

    def __init__(self, pool: Pool, shows: RecentShows, clock: Callable[[], float] = time.monotonic) -> None:
        self._pool = pool
        self._shows = shows
        self._clock = clock
        self.on_taken_down: Callable[[ShowId, MessageId], Awaitable[None]] | None = None
        """Called for every message that is taken down."""
        self._books: OrderedDict[ShowId, _Known] = OrderedDict()

    async def exists(self, show_id: ShowId) -> bool:
        """True if there is such a show."""
        return await self._shows.exists(show_id)

    async def forget(self, show_id: ShowId, message_id: MessageId) -> None:
        """A message is taken down: it stands on top of the chat no longer either."""
        if self.on_taken_down is not None:
            await self.on_taken_down(show_id, message_id)

    async def rules(self, show_id: ShowId) -> Rules:
        """What holds now; while Postgres is away and nothing recent is known, the usual. Raises NotFound."""
        now_s = self._clock()
        known = self._books.get(show_id)
        if known is not None and now_s - known.read_at_s < FRESH_S:
            return known.rules
        try:
            rules = await self._read(show_id)
        except _OUTAGES as error:
            log.warning("chat_rules_stale", show=show_id, error=type(error).__name__)
            return known.rules if known is not None and now_s - known.read_at_s <= STALE_S else UNKNOWN
        self._books[show_id] = _Known(now_s, rules)
        self._books.move_to_end(show_id)
        while len(self._books) > BOOKS_MAX:
            self._books.popitem(last=False)
        return rules

    def changed(self, show_id: ShowId) -> None:
        """Read it anew with the next message; what was known still stands in for a store that is away."""
        if known := self._books.get(show_id):
            self._books[show_id] = _Known(known.read_at_s - FRESH_S, known.rules)

    async def _read(self, show_id: ShowId) -> Rules:
        async with self._pool.acquire() as pg:
            row = await pg.fetchrow(sql("chat_rules"), show_id)
            if row is None:
                raise NotFound(f"There is no show {show_id}")
            found = await pg.fetch(sql("sanctions_now"), show_id, time.time_ns() // 1_000_000, SANCTIONS_MAX)
        return Rules(
            is_open=row["chat_open"],
            slow_mode_ms=row["slow_mode_ms"],
            links_from=Role(row["links_from"] or _USUAL.links_from),
            languages=tuple(_USUAL.languages if row["languages"] is None else row["languages"]),
            blocked=tuple(row["blocked"] or ()),
            allowed=(*(row["allowed"] or ()), *row["titles"]),
            sanctions={
                AccountId(one["account_id"]): Ruling(SanctionKind(one["kind"]), one["until_ms"]) for one in found
            },
        )
