"""Chat: who may say what, how often, and what is taken down.

Owns: nothing of its own; messages live in the hub's channel, turns of slow mode in Redis.
Invariant: a message that was accepted has one offset in its show, and comes back to its author like to everybody.
"""

import re
import time

import msgspec

from realtime.core.chat import clean, slowed
from realtime.hub import Hub, Lane
from realtime.ports import ChatRules, Limiter
from schema.errors import Forbidden, NotFound, RateLimited
from schema.ids import MessageId, ShowId, new_id
from schema.people import Principal, Role
from schema.wire import Chat, ChatAccepted

_MESSAGE_ID = re.compile("msg_[0-9a-z]{26}")
_chats = msgspec.json.Decoder(Chat)


class ChatService:
    """`limiter` knows the rule "chat"; `rules` knows the shows and their slow mode."""

    def __init__(self, hub: Hub, limiter: Limiter, rules: ChatRules) -> None:
        self._hub = hub
        self._limiter = limiter
        self._rules = rules

    async def say(self, principal: Principal, show_id: ShowId, text: str) -> ChatAccepted:
        """Publish a message. Raises NotFound (no such show), Invalid (the text), RateLimited, Unavailable."""
        said = clean(text)
        await self._find(show_id)
        await self._limiter.check("chat", principal.account_id)
        await self._wait_turn(principal, show_id)
        message = Chat(
            id=MessageId(new_id("msg")),
            account_id=principal.account_id,
            name=principal.name,
            role=principal.role,
            text=said,
            at_ms=time.time_ns() // 1_000_000,
        )
        offset = await self._hub.publish(show_id, message, lane=Lane.CHAT)
        return ChatAccepted(offset=offset, id=message.id)

    async def delete(self, principal: Principal, show_id: ShowId, message_id: MessageId) -> None:
        """Take a message down, for those who are there and those who come. Raises Forbidden, NotFound, Unavailable."""
        if not principal.role.covers(Role.HOST):
            raise Forbidden("Only a host or an operator may delete messages")
        await self._find(show_id)
        known = _MESSAGE_ID.fullmatch(message_id) and await self._hub.delete_chat(show_id, message_id)
        if not known:
            raise NotFound("There is no such message")

    async def history(self, show_id: ShowId) -> list[Chat]:
        """The last messages still up, oldest first. Raises NotFound, Unavailable."""
        await self._find(show_id)
        room = await self._hub.open(show_id)
        return [_chats.decode(wire) for wire in room.channel.recent_chat()]

    async def _find(self, show_id: ShowId) -> None:
        if not await self._rules.exists(show_id):
            raise NotFound("There is no such show")

    async def _wait_turn(self, principal: Principal, show_id: ShowId) -> None:
        slow_ms = await self._rules.slow_mode_ms(show_id)
        if not slowed(principal.role, slow_ms):
            return
        wait_ms = await self._hub.take_turn(show_id, principal.account_id, slow_ms)
        if wait_ms:
            raise RateLimited("Slow mode is on", retry_after_ms=wait_ms)
