"""What one room declares, made of what another has.

Owns: which event is kept under which key, who is host right now, and which variants were last said to be sold out.
Invariant: an adapter that is called back from a hot path (stock, host) never waits and never raises.
"""

import asyncio
import time
from collections.abc import Mapping

import structlog
from redis.exceptions import RedisError

from checkout.desk import Desk
from live.auth import Tokens
from live.cuts import Cuts
from live.limits import Limiter
from live.marks import Marks
from live.recent_shows import RecentShows
from live.rulebook import Rulebook
from media.reports import Reports
from realtime.chat import ChatService
from realtime.core.chat import Rules
from realtime.hub import Hub
from schema.errors import Forbidden, NotFound, ShowfloorError, Unauthenticated, Unavailable
from schema.ids import AccountId, ShowId, VariantId
from schema.people import Principal, Role
from schema.show import Stock
from schema.wire import (
    Announced,
    AnnouncementOver,
    BackInStock,
    Chat,
    ChatPinned,
    ChatUnpinned,
    Event,
    Pinned,
    PriceChanged,
    SoldOut,
    Unpinned,
    Watched,
)

log = structlog.get_logger()

RETRY_S = 1.0


class HubAnnouncer:
    """live's `Announcer`, over the hub; `marks` say what was told."""

    def __init__(self, hub: Hub, marks: Marks) -> None:
        self._hub = hub
        self.marks = marks

    async def announce(self, show: ShowId, version: int, *events: Event) -> None:
        """Publish, then mark the version, if none before it is missing. What fails is left to the republisher."""
        try:
            for event in events:
                await self._publish(show, event)
            if version == 1 or await self.marks.told(show) == version - 1:
                await self.marks.mark(show, version)
        except (ShowfloorError, RedisError, OSError) as error:  # it is stored: whoever asked must hear that
            log.warning("not_announced", show=show, version=version, error=type(error).__name__)

    async def republish(self, show: ShowId, version: int, events: list[Event]) -> None:
        """Publish everything there is to know, then mark the version. Raises Unavailable or RedisError."""
        for event in events:
            await self._publish(show, event)
        await self.marks.mark(show, version)

    async def _publish(self, show: ShowId, event: Event) -> None:
        match event:
            case Pinned(variant_id=variant):
                await self._hub.publish(show, event, key=f"pin.{variant}")
            case Unpinned(variant_id=variant):
                await self._hub.publish(show, event, key=f"pin.{variant}", drop=True)
            case PriceChanged(variant_id=variant):
                await self._hub.publish(show, event, key=f"price.{variant}")
            case ChatPinned():
                await self._hub.publish(show, event, key="chat_pin")
            case ChatUnpinned():
                await self._hub.publish(show, event, key="chat_pin", drop=True)
            case Announced():
                await self._hub.publish(show, event, key="announcement")
            case AnnouncementOver():
                await self._hub.publish(show, event, key="announcement", drop=True)
            case _:
                await self._hub.publish(show, event)

    def state(self, show: ShowId, values: Mapping[str, object]) -> None:
        """The hub keeps what cannot be written now."""
        for key, value in values.items():
            self._hub.set_state(show, key, value)


class HostBoard:
    """media's `HostListener` and live's `Presence`: whose video is arriving in this process."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._present: set[ShowId] = set()

    def host_changed(self, show_id: ShowId, present: bool) -> None:  # noqa: FBT001 - media's signature
        """Called by the relay, once per change."""
        if present is not self.host_present(show_id):
            log.info("host_changed", show=show_id, present=present)
        (self._present.add if present else self._present.discard)(show_id)
        self._hub.set_state(show_id, "host", present)

    def host_present(self, show: ShowId) -> bool:
        """True while video arrives."""
        return show in self._present


class StockTeller:
    """checkout's `StockListener`: counts go to the state lane, a crossing of zero to the must lane.

    Only the latest count of a variant waits to be told, so the queue is bounded by the number of variants, and a
    unit that came back within the same moment makes no noise.
    """

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._out: dict[tuple[ShowId, VariantId], bool] = {}
        self._waiting: dict[tuple[ShowId, VariantId], int] = {}
        self._work = asyncio.Event()

    def seed(self, show: ShowId, variant: VariantId, stock: Stock) -> None:
        """What everybody who comes sees anyway: no crossing."""
        self._out.setdefault((show, variant), stock.available == 0)

    def stock_changed(self, show_id: ShowId, variant_id: VariantId, stock: Stock, version: int = 0) -> None:  # noqa: ARG002
        """Called after each commit that changed the stock, newest last."""
        self._hub.set_state(show_id, f"stock.{variant_id}", stock)
        one = (show_id, variant_id)
        if self._out.setdefault(one, stock.available == 0) != (stock.available == 0) or one in self._waiting:
            self._waiting[one] = stock.available
            self._work.set()

    def stock_low(self, show_id: ShowId, variant_id: VariantId, since_ms: int | None, version: int = 0) -> None:
        """For the operator's page. Whoever watches could count as well: there is no secret in it."""
        self._hub.set_state(show_id, f"low.{variant_id}", since_ms, version=version)

    async def run(self) -> None:
        """Publish crossings for ever; its owner cancels it."""
        while True:
            await self._work.wait()
            self._work.clear()
            for one in list(self._waiting):
                if not await self._cross(one):
                    await asyncio.sleep(RETRY_S)
                    self._work.set()
                    break

    async def _cross(self, one: tuple[ShowId, VariantId]) -> bool:
        """False if the hub could not take it: it waits on, with whatever count is the latest by then."""
        show, variant = one
        available = self._waiting.pop(one)
        if self._out[one] == (available == 0):
            return True
        event = BackInStock(variant_id=variant, available=available) if available else SoldOut(variant_id=variant)
        try:
            await self._hub.publish(show, event)
        except Unavailable:
            self._waiting.setdefault(one, available)
            return False
        self._out[one] = available == 0
        return True


class ChatRoom:
    """live's `Room`, over the hub and its chat."""

    def __init__(self, hub: Hub, chat: ChatService, rulebook: Rulebook) -> None:
        self._hub = hub
        self._chat = chat
        self._rulebook = rulebook

    def rules_changed(self, show: ShowId) -> None:
        """The next message meets the rules as they are now."""
        self._rulebook.changed(show)

    async def dismiss(self, show: ShowId, account: AccountId) -> None:
        """Send an account's sockets away. Raises Unavailable."""
        await self._hub.dismiss(show, account)

    async def take_down(self, show: ShowId, account: AccountId) -> None:
        """Take down what an account said lately. Raises Unavailable."""
        await self._chat.take_down(show, account)

    async def rules(self, show: ShowId) -> Rules:
        """What may be said, and by whom. Raises NotFound, Unavailable."""
        return await self._rulebook.rules(show)

    async def admit(self, who: Principal, show: ShowId) -> None:
        """Let somebody take part. Raises Banned."""
        await self._chat.admit(who, show)

    async def history(self, show: ShowId) -> list[Chat]:
        """The last messages still up, oldest first. Raises NotFound, Unavailable."""
        return await self._chat.history(show)


class PageReports:
    """realtime's `Reports`, over media's."""

    def __init__(self, reports: Reports) -> None:
        self._reports = reports

    def heard(self, principal: Principal, show_id: ShowId, watched: Watched) -> None:
        """Count it. Raises RateLimited."""
        self._reports.heard(principal.account_id, show_id, watched, time.time_ns() // 1_000_000)


class DeskBook:
    """live's `StockBook`, over checkout's desk."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def stocks(self, show: ShowId) -> Mapping[VariantId, Stock]:
        """The four columns of each variant of a show."""
        return await self._desk.stock(show)

    async def open(self, show: ShowId, variant: VariantId, units: int) -> None:
        """Put the opening stock on the shelf."""
        await self._desk.allocate(show, variant, units)

    async def restock(self, show: ShowId, variant: VariantId, units: int, *, by: AccountId, key: str) -> None:
        """Units that arrived."""
        await self._desk.restock(show, variant, units, account_id=by, key=key)

    async def withdraw(
        self, show: ShowId, variant: VariantId, units: int, reason: str, *, by: AccountId, key: str
    ) -> None:
        """Units that are not for sale after all."""
        await self._desk.stockroom.withdraw(show, variant, units, reason, account_id=by, key=key)

    async def copy_terms(self, show: ShowId, rehearsal: ShowId) -> None:
        """What a show adds to its prices, and its coupons."""
        await self._desk.stockroom.copy_terms(show, rehearsal)

    async def set_sales(self, show: ShowId, *, open: bool) -> None:  # noqa: A002
        """The kill switch."""
        await self._desk.set_sales(show, open=open)


class Gate:
    """media's `MediaGate`: the same tokens as everywhere; a viewer's joins are limited."""

    def __init__(self, tokens: Tokens, shows: RecentShows, limiter: Limiter, chat: ChatService, cuts: Cuts) -> None:
        self._tokens = tokens
        self._shows = shows
        self._limiter = limiter
        self._chat = chat
        self._cuts = cuts

    async def publisher(self, token: str | None, show: str) -> Principal:
        """The host behind a token. Raises Unauthenticated, Forbidden or NotFound."""
        return await self._admit(token, ShowId(show), Role.HOST)

    async def subscriber(self, token: str | None, show: str, *, joining: bool) -> Principal:
        """The viewer behind a token. Raises Unauthenticated, Forbidden, Banned, NotFound, VideoStopped, RateLimited."""
        principal = await self._admit(token, ShowId(show), Role.VIEWER, Role.ANALYST)
        if joining:
            await self._chat.admit(principal, ShowId(show))
            self._cuts.check(ShowId(show))  # costs none of the viewer's joins: the next one is to succeed at once
            await self._limiter.check("whep", principal.account_id)
        return principal

    async def _admit(self, token: str | None, show: ShowId, needed: Role, *others: Role) -> Principal:
        if not token:
            raise Unauthenticated(headers={"WWW-Authenticate": "Bearer"})
        principal = self._tokens.verify(token)
        if not any(principal.role.covers(role) for role in (needed, *others)):
            raise Forbidden(f"This needs the role {needed}; the token's is {principal.role}")
        if principal.show_id not in {None, show}:
            raise Forbidden("The token is for another show")
        # A token for one show was only given out for a show that exists: video joins while Postgres is away.
        if principal.show_id is None and not await self._shows.exists(show):
            raise NotFound(f"There is no show {show}")
        return principal
