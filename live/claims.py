"""Buying by comment: a chat message that names an item becomes a hold, and its author alone is told what became of it.

The chat must not wait for the till, so a claim is a task of its own; where too many are under way it is refused,
and its author told so.

Owns: the claims under way, and for a second what each show sells. The grammar is `checkout/core/claims.py`'s.
Invariant: a message is at most one hold, whoever carries it out how often: the Idempotency-Key comes from its id. Only
viewers buy so; the staff may say "sold 12" and mean it.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress

import asyncpg
import structlog

from checkout.core.claims import Claim, Named, Unclear, Unknown, read, wants
from checkout.desk import Desk
from live.ports import Limiter
from realtime.hub import Hub
from realtime.tasks import Tasks
from schema.errors import (
    LimitReached,
    NotFound,
    RateLimited,
    SalesClosed,
    ShowfloorError,
    SoldOutError,
    Unavailable,
)
from schema.hold import HoldRequest, HoldState
from schema.ids import ShowId, VariantId
from schema.people import Principal, Role
from schema.show import Show
from schema.wire import Chat, ClaimChoice, Claimed, ClaimOutcome

log = structlog.get_logger()

CLAIMS_MAX = 2000
DEADLINE_S = 10.0
SHELF_FRESH_S = 1.0
SHELVES_MAX = 500
QUANTITY_MAX = 1000

_REFUSALS: dict[type[ShowfloorError], ClaimOutcome] = {
    SoldOutError: "sold_out",
    LimitReached: "limit_reached",
    SalesClosed: "sales_closed",
    RateLimited: "rate_limited",
    NotFound: "not_in_show",
}
_OUTAGES = (ShowfloorError, OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError)


class Claims:
    """realtime's `Claims`, over the desk. `shows` reads a show with its items."""

    def __init__(self, desk: Desk, limiter: Limiter, hub: Hub, shows: Callable[[ShowId], Awaitable[Show]]) -> None:
        self._desk, self._limiter, self._hub, self._shows = desk, limiter, hub, shows
        self._shelves: dict[ShowId, tuple[float, tuple[Named, ...]]] = {}
        self._tasks = Tasks(limit=CLAIMS_MAX)
        self._refusals = Tasks(limit=CLAIMS_MAX)

    async def aclose(self) -> None:
        await self._tasks.aclose()
        await self._refusals.aclose()

    def said(self, principal: Principal, show_id: ShowId, message: Chat) -> None:
        """A message was accepted: carry it out if it buys."""
        if principal.role is not Role.VIEWER or not wants(message.text):
            return
        try:
            self._tasks.start(self.carry_out(principal, show_id, message), "claim")
        except Unavailable:
            self._refuse(principal, show_id, message)

    def _refuse(self, principal: Principal, show_id: ShowId, message: Chat) -> None:
        """Too many are under way. Only where as many wait to hear just that is one left without a word."""
        log.warning("claim_dropped", show=show_id, message=message.id)
        answer = Claimed(message_id=message.id, outcome="unavailable")
        with suppress(Unavailable):
            self._refusals.start(self._tell(principal, show_id, answer), "claim-refused")

    async def carry_out(self, principal: Principal, show_id: ShowId, message: Chat) -> None:
        """Hold what the message names, once, and tell its author."""
        try:
            async with asyncio.timeout(DEADLINE_S):
                answer = await self._decide(principal, show_id, message)
        except _OUTAGES as error:
            log.warning("claim_failed", show=show_id, message=message.id, error=type(error).__name__)
            answer = Claimed(message_id=message.id, outcome="unavailable")
        if answer is not None:
            await self._tell(principal, show_id, answer)

    async def _tell(self, principal: Principal, show_id: ShowId, answer: Claimed) -> None:
        try:
            await self._hub.whisper(show_id, principal.account_id, answer)
        except Unavailable:
            log.warning("claim_not_told", show=show_id, message=answer.message_id, outcome=answer.outcome)

    async def _decide(self, principal: Principal, show_id: ShowId, message: Chat) -> Claimed | None:
        match read(message.text, await self._shelf(show_id)):
            case Claim(item=item, quantity=quantity):
                return await self._take(principal, show_id, message, item.variant_id, quantity)
            case Unclear(choices=choices):
                named = [ClaimChoice(**one._asdict()) for one in choices]
                return Claimed(message_id=message.id, outcome="unclear", choices=named)
            case Unknown():
                return Claimed(message_id=message.id, outcome="not_in_show")
        return None

    async def _take(
        self, principal: Principal, show_id: ShowId, message: Chat, variant: VariantId, quantity: int
    ) -> Claimed:
        try:
            await self._limiter.check("buy", principal.account_id)
            if quantity > QUANTITY_MAX:
                raise LimitReached
            request = HoldRequest(variant_id=variant, quantity=quantity)
            hold = await self._desk.hold(principal, show_id, request, f"claim-{message.id}")
        except tuple(_REFUSALS) as error:
            outcome = _REFUSALS[type(error)]
            return Claimed(message_id=message.id, outcome=outcome, variant_id=variant, quantity=quantity)
        return Claimed(
            message_id=message.id,
            outcome="confirming" if hold.state is HoldState.CONFIRMING else "held",
            variant_id=variant,
            quantity=quantity,
            hold_id=hold.hold_id,
            expires_at_ms=hold.expires_at_ms,
        )

    async def _shelf(self, show_id: ShowId) -> tuple[Named, ...]:
        """What is on sale, as of at most a second ago: a rush of claims reads it once."""
        read_at_s, shelf = self._shelves.get(show_id, (float("-inf"), ()))
        now_s = time.monotonic()
        if now_s - read_at_s < SHELF_FRESH_S:
            return shelf
        shelf = names_of(await self._shows(show_id))
        self._shelves.pop(show_id, None)
        if len(self._shelves) >= SHELVES_MAX:
            del self._shelves[next(iter(self._shelves))]
        self._shelves[show_id] = now_s, shelf
        return shelf


def names_of(show: Show) -> tuple[Named, ...]:
    """The names of all that a show sells. An item's number is its place, from 1; bundles have none."""
    items = [Named(item.variant_id, item.title, item.option, item.position + 1) for item in show.items]
    return (*items, *(Named(bundle.bundle_id, bundle.title) for bundle in show.bundles))
