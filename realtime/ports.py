"""What the hub needs of the other rooms; `live` plugs it in."""

from collections.abc import Sequence
from typing import Protocol

from realtime.core.chat import Rules
from schema.audience import Reaction
from schema.ids import MessageId, PollId, QuestionId, ShowId
from schema.people import Principal
from schema.wire import Chat, ChatAccepted, Watched


class Doorkeeper(Protocol):
    """Knows tickets: single use, 30 seconds, one show."""

    async def redeem(self, show: ShowId, tickets: Sequence[str]) -> list[Principal | None]:
        """Whose they are; None for one that is unknown, used, too old or for another show. Raises Unavailable."""
        ...


class Strangers(Protocol):
    """Knows how often somebody without a valid ticket comes from an address."""

    async def turned_away(self, address: str) -> None:
        """Count one. Raises RateLimited above a generous rate; who has a ticket is not asked."""
        ...


class Limiter(Protocol):
    """Knows how often somebody may do something."""

    async def check(self, rule: str, subject: str) -> None:
        """Count one use of `rule` by `subject`. Raises RateLimited with `retry_after_ms`."""
        ...


class ChatRules(Protocol):
    """Knows what the staff of a show decided about its chat; asked with every message, so it must be quick."""

    async def exists(self, show_id: ShowId) -> bool:
        """True if there is such a show."""
        ...

    async def rules(self, show_id: ShowId) -> Rules:
        """What holds now. Raises NotFound, Unavailable."""
        ...

    async def forget(self, show_id: ShowId, message_id: MessageId) -> None:
        """A message is taken down: it stands on top of the chat no longer either. Raises Unavailable."""
        ...


class Claims(Protocol):
    """What becomes of a chat message that buys."""

    def said(self, principal: Principal, show_id: ShowId, message: Chat) -> None:
        """A message was accepted. Must not block nor raise: the chat goes on whatever becomes of the purchase."""


class Reports(Protocol):
    """What becomes of what pages say about their picture."""

    def heard(self, principal: Principal, show_id: ShowId, watched: Watched) -> None:
        """Count it. Raises RateLimited; must not block."""
        ...


class Audience(Protocol):
    """What becomes of what an audience does beside talking."""

    async def react(self, principal: Principal, show_id: ShowId, kind: Reaction, count: int) -> None:
        """Count reactions. Raises RateLimited, Banned."""
        ...

    async def vote(self, principal: Principal, show_id: ShowId, poll: PollId, option: int) -> None:
        """Vote in a poll. Raises Conflict (it is closed, or not there), RateLimited, Banned, Unavailable."""
        ...

    async def ask(self, principal: Principal, show_id: ShowId, text: str) -> QuestionId:
        """Ask the host. Raises Invalid, Conflict, RateLimited, Muted, Banned, MessageBlocked, LinksNotAllowed."""
        ...

    async def want(self, principal: Principal, show_id: ShowId, question: QuestionId) -> None:
        """Vote for a question. Raises Conflict (it is not open), RateLimited, Banned, Unavailable."""
        ...


class Talk(Protocol):
    """What becomes of a chat command on the socket."""

    async def say(self, principal: Principal, show_id: ShowId, text: str, reply_to: str = "") -> ChatAccepted:
        """Publish it. Raises Invalid, RateLimited, Muted, MessageBlocked, LinksNotAllowed."""
        ...
