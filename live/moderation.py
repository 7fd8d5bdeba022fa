"""Moderation: who may not speak in a show, what may not be said, and the message on top of its chat.

Owns: the tables sanctions, chat_rules and chat_pins.
Invariant: what is decided is stored before it is done; who is banned is stored so before their sockets close.
"""

import time

import asyncpg
import msgspec

from live.ports import Announcer, Room
from live.queries import sql
from live.questions import Questions
from live.turns import Pool, Turns
from schema.errors import Invalid, NotFound
from schema.ids import AccountId, MessageId, ShowId
from schema.moderation import ChatRules, Sanction, SanctionKind, SanctionPage, SanctionRequest
from schema.pages import to_cursor
from schema.people import Principal, Role
from schema.wire import Chat, ChatPinned, ChatUnpinned

_chat = msgspec.json.Decoder(Chat)
_json = msgspec.json.Encoder()


class Moderation:
    """`room` is the chat and the sockets of a show, `questions` what is asked there."""

    def __init__(self, pool: Pool, turns: Turns, announcer: Announcer, room: Room, questions: Questions) -> None:
        self._pool = pool
        self._turns = turns
        self._announcer = announcer
        self._room = room
        self._questions = questions

    # -- people -------------------------------------------------------------------------------------------------

    async def sanction(self, who: Principal, show: ShowId, account: AccountId, request: SanctionRequest) -> Sanction:
        """Mute, shadow-ban or ban somebody; it takes the place of what held before. Raises NotFound, Unavailable."""
        now_ms = _now_ms()
        made = Sanction(
            account_id=account,
            name=request.name or account,
            kind=request.kind,
            until_ms=None if request.duration_s is None else now_ms + request.duration_s * 1000,
            reason=request.reason,
            by=who.account_id,
            at_ms=now_ms,
        )
        values = (made.name, made.kind.value, made.until_ms, made.reason, made.by, made.at_ms)
        try:
            await self._pool.execute(sql("sanction_set"), show, account, *values)
        except asyncpg.ForeignKeyViolationError:
            raise NotFound(f"There is no show {show}") from None
        self._room.rules_changed(show)
        if request.kind is SanctionKind.BAN:
            await self._room.dismiss(show, account)
        if request.take_down:
            await self._room.take_down(show, account)
            await self._questions.dismiss_of(show, account)
        return made

    async def lift(self, show: ShowId, account: AccountId) -> None:
        """Let somebody speak again; who could is no mistake."""
        await self._pool.fetchval(sql("sanction_lift"), show, account)
        self._room.rules_changed(show)

    async def page(self, show: ShowId, after: tuple[int, str] | None, limit: int) -> SanctionPage:
        """Who is sanctioned now, the latest first; `after` is the last one's at_ms and account."""
        rows = await self._pool.fetch(sql("sanctions_page"), show, _now_ms(), *(after or (None, None)), limit + 1)
        items = [_sanction(row) for row in rows[:limit]]
        more = len(rows) > limit
        return SanctionPage(
            items=items, next_cursor=to_cursor((items[-1].at_ms, items[-1].account_id)) if more else None
        )

    # -- rules --------------------------------------------------------------------------------------------------

    async def rules(self, show: ShowId) -> ChatRules:
        """What may be said. Raises NotFound."""
        row = await self._pool.fetchrow(sql("chat_rules"), show)
        if row is None:
            raise NotFound(f"There is no show {show}")
        if row["links_from"] is None:
            return ChatRules()
        return ChatRules(
            links_from=Role(row["links_from"]),
            languages=row["languages"],
            blocked=row["blocked"],
            allowed=row["allowed"],
        )

    async def set_rules(self, show: ShowId, rules: ChatRules) -> None:
        """Decide what may be said. Raises NotFound, Invalid (links for analysts, who write nothing)."""
        if rules.links_from is Role.ANALYST:  # no other role covers it: nobody could post a link, the staff neither
            raise Invalid("An analyst writes nothing; name the least role that may post links", pointer="/links_from")
        try:
            await self._pool.execute(
                sql("chat_rules_set"), show, rules.links_from.value, rules.languages, rules.blocked, rules.allowed
            )
        except asyncpg.ForeignKeyViolationError:
            raise NotFound(f"There is no show {show}") from None
        self._room.rules_changed(show)

    def changed(self, show: ShowId) -> None:
        """The chat of a show was paused, or goes on: the next message meets that."""
        self._room.rules_changed(show)

    # -- the message on top -------------------------------------------------------------------------------------

    async def pinned(self, show: ShowId) -> Chat | None:
        """The message on top."""
        row = await self._pool.fetchrow(sql("chat_pin"), show)
        return _chat.decode(row["message"]) if row else None

    async def pin(self, show: ShowId, message_id: str) -> Chat:
        """Put one of the last messages on top, for those who are there and those who come. Raises NotFound."""
        found = next((one for one in await self._room.history(show) if one.id == message_id), None)
        if found is None:
            raise NotFound("There is no such message, or no longer")
        async with self._turns.of(show) as pg:
            async with pg.transaction():
                await pg.execute(sql("chat_pin_set"), show, _json.encode(found).decode())
                version = await pg.fetchval(sql("show_touch"), show)
            await self._announcer.announce(show, version, ChatPinned(message=found))
        return found

    async def unpin(self, show: ShowId, message_id: MessageId | None = None) -> None:
        """Take the message on top away (only that one, if one is named); none there is no mistake."""
        top = await self.pinned(show)
        if top is None or message_id not in {None, top.id}:
            return  # without the show's turn: most messages that are taken down never stood on top
        async with self._turns.of(show) as pg:
            async with pg.transaction():
                was_there = await pg.fetchval(sql("chat_pin_drop"), show, message_id) is not None
                if was_there:
                    version = await pg.fetchval(sql("show_touch"), show)
            if was_there:
                await self._announcer.announce(show, version, ChatUnpinned())


def _sanction(row: asyncpg.Record) -> Sanction:
    return Sanction(
        account_id=AccountId(row["account_id"]),
        name=row["name"],
        kind=SanctionKind(row["kind"]),
        until_ms=row["until_ms"],
        reason=row["reason"],
        by=AccountId(row["by_id"]),
        at_ms=row["at_ms"],
    )


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
