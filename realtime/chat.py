"""Chat: who may say what, how often, and what is taken down.

Owns: nothing of its own; messages live in the hub's channel, turns of slow mode in Redis.
Invariant: a message that was accepted has one offset in its show and comes back to its author like to everybody, but
for those that the room does not get: they come back to their author alone.
"""

import asyncio
import re
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import msgspec

from realtime.core.chat import clean, is_open_to, may_be_said, may_speak, slowed
from realtime.hub import Hub
from realtime.ports import ChatRules, Claims, Limiter
from schema.errors import Banned, Forbidden, Invalid, NotFound, RateLimited, Unavailable
from schema.ids import AccountId, MessageId, ShowId, new_id
from schema.moderation import SanctionKind
from schema.people import Principal, Role
from schema.wire import Chat, ChatAccepted, ReplyTo

REPLY_MAX_CHARS = 80
CHAT_PER_SECOND_MAX = 100
"""More than anybody can read; of what is said beyond it, everybody gets the same part."""
UNDER_WAY_MAX = 16
"""So many messages of viewers are decided at once in this process; a flood waits, and pins and purchases pass it by."""
TURN_S = 5.0

_MESSAGE_ID = re.compile("msg_[0-9a-z]{26}")
_chats = msgspec.json.Decoder(Chat)


class ChatService:
    """`limiter` knows the rule "chat"; `rules` knows the shows and what was decided about their chat.

    `claims` hears every accepted message: one that buys stands in the chat like any other.
    """

    def __init__(
        self,
        hub: Hub,
        limiter: Limiter,
        rules: ChatRules,
        *,
        most_a_second: int = CHAT_PER_SECOND_MAX,
        claims: Claims | None = None,
    ) -> None:
        self._hub = hub
        self._limiter = limiter
        self._rules = rules
        self._most_a_second = most_a_second
        self._claims = claims
        self._turns = asyncio.Semaphore(UNDER_WAY_MAX)

    async def admit(self, principal: Principal, show_id: ShowId) -> None:
        """Let somebody into the room. Raises Banned."""
        if await self.banned(show_id, [principal]):
            raise Banned

    async def banned(self, show_id: ShowId, people: Sequence[Principal]) -> set[AccountId]:
        """Those of them that may not be let into the room."""
        try:
            rules = await self._rules.rules(show_id)
        except NotFound:
            return set()  # whether there is such a room is not asked here
        rulings = ((one, rules.ruling(one.account_id, one.role, _now_ms())) for one in people if rules.sanctions)
        return {one.account_id for one, ruling in rulings if ruling and ruling.kind is SanctionKind.BAN}

    async def say(self, principal: Principal, show_id: ShowId, text: str, reply_to: str = "") -> ChatAccepted:
        """Publish a message.

        Raises NotFound (no such show), Invalid (the text), ChatClosed, Muted, Banned, MessageBlocked, LinksNotAllowed,
        RateLimited, Unavailable.
        """
        async with self._turn(principal.role):
            return await self._say(principal, show_id, text, reply_to)

    async def _say(self, principal: Principal, show_id: ShowId, text: str, reply_to: str) -> ChatAccepted:
        said = clean(text)
        await self._find(show_id)
        await self._limiter.check("chat", principal.account_id)
        rules, now_ms = await self._rules.rules(show_id), _now_ms()
        is_open_to(principal.role, rules)
        ruling = rules.ruling(principal.account_id, principal.role, now_ms)
        may_speak(ruling, now_ms)
        may_be_said(said, principal.role, rules)
        answered = await self._find_answered(show_id, reply_to)
        await self._wait_turn(principal, show_id, rules.slow_mode_ms)
        message = Chat(
            id=MessageId(new_id("msg")),
            account_id=principal.account_id,
            name=principal.name,
            role=principal.role,
            text=said,
            at_ms=now_ms,
            reply_to=answered,
        )
        offset = None if ruling else await self._hub.say(show_id, message, most_a_second=self._share_of(principal))
        if offset is None:
            offset = await self._hub.whisper(show_id, principal.account_id, message)
        if self._claims is not None:
            self._claims.said(principal, show_id, message)
        return ChatAccepted(offset=offset, id=message.id)

    async def delete(self, principal: Principal, show_id: ShowId, message_id: MessageId) -> None:
        """Take a message down, for those who are there and those who come. Raises Forbidden, NotFound, Unavailable."""
        if not principal.role.covers(Role.MODERATOR):
            raise Forbidden("Only a moderator, a host or an operator may delete messages")
        await self._find(show_id)
        await self._rules.forget(show_id, message_id)
        known = _MESSAGE_ID.fullmatch(message_id) and await self._hub.delete_chat(show_id, message_id)
        if not known:
            raise NotFound("There is no such message")

    async def take_down(self, show_id: ShowId, account: AccountId) -> int:
        """Take down whatever an account said that can still be replayed; how many there were. Raises Unavailable."""
        room = await self._hub.open(show_id)
        theirs = [one for one in map(_chats.decode, room.channel.said()) if one.account_id == account]
        for message in theirs:
            await self._rules.forget(show_id, message.id)
            await self._hub.delete_chat(show_id, message.id)
        return len(theirs)

    async def history(self, show_id: ShowId) -> list[Chat]:
        """The last messages still up, oldest first. Raises NotFound, Unavailable."""
        await self._find(show_id)
        room = await self._hub.open(show_id)
        return [_chats.decode(wire) for wire in room.channel.recent_chat()]

    async def _find(self, show_id: ShowId) -> None:
        if not await self._rules.exists(show_id):
            raise NotFound("There is no such show")

    async def _find_answered(self, show_id: ShowId, reply_to: str) -> ReplyTo | None:
        if not reply_to:
            return None
        for one in await self.history(show_id):
            if one.id == reply_to:
                return ReplyTo(id=one.id, name=one.name, text=one.text[:REPLY_MAX_CHARS])
        raise Invalid("The message to answer is gone, or too old", pointer="/reply_to")

    def _share_of(self, principal: Principal) -> int:
        return 0 if principal.role.covers(Role.MODERATOR) else self._most_a_second

    @asynccontextmanager
    async def _turn(self, role: Role) -> AsyncIterator[None]:
        """One of `UNDER_WAY_MAX`; the staff need none. Raises Unavailable if none comes free in time."""
        if role.covers(Role.MODERATOR):
            yield
            return
        try:
            async with asyncio.timeout(TURN_S):
                await self._turns.acquire()
        except TimeoutError:
            raise Unavailable("Too much is said at once", retry_after_ms=1000) from None
        try:
            yield
        finally:
            self._turns.release()

    async def _wait_turn(self, principal: Principal, show_id: ShowId, slow_ms: int) -> None:
        if not slowed(principal.role, slow_ms):
            return
        wait_ms = await self._hub.take_turn(show_id, principal.account_id, slow_ms)
        if wait_ms:
            raise RateLimited("Slow mode is on", retry_after_ms=wait_ms)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
