"""What the hub needs of the other rooms; `live` plugs it in."""

from typing import Protocol

from schema.ids import ShowId
from schema.people import Principal
from schema.wire import ChatAccepted, Watched


class Doorkeeper(Protocol):
    """Knows tickets: single use, 30 seconds, one show."""

    async def redeem(self, ticket: str, show: ShowId) -> Principal:
        """Whose ticket it is. Raises Unauthenticated if it is unknown, used, too old or for another show."""
        ...


class Limiter(Protocol):
    """Knows how often somebody may do something."""

    async def check(self, rule: str, subject: str) -> None:
        """Count one use of `rule` by `subject`. Raises RateLimited with `retry_after_ms`."""
        ...


class ChatRules(Protocol):
    """Knows what the host of a show decided about its chat."""

    async def exists(self, show_id: ShowId) -> bool:
        """True if there is such a show."""
        ...

    async def slow_mode_ms(self, show_id: ShowId) -> int:
        """Least time between two messages of one viewer; 0: off."""
        ...


class Reports(Protocol):
    """What becomes of what pages say about their picture."""

    def heard(self, principal: Principal, show_id: ShowId, watched: Watched) -> None:
        """Count it. Raises RateLimited; must not block."""
        ...


class Talk(Protocol):
    """What becomes of a chat command on the socket."""

    async def say(self, principal: Principal, show_id: ShowId, text: str) -> ChatAccepted:
        """Publish it. Raises Invalid or RateLimited."""
        ...
