"""What the show needs of the other rooms, in its own words. `live/adapters.py` fits the rooms to it."""

from collections.abc import Mapping
from typing import Protocol

from realtime.core.chat import Rules
from schema.ids import AccountId, ShowId, VariantId
from schema.people import Principal
from schema.show import Stock
from schema.wire import Chat, Event


class Announcer(Protocol):
    """The way to everybody who watches a show."""

    async def announce(self, show: ShowId, version: int, *events: Event) -> None:
        """Tell the events of the write that made `version`. Called with the show's turn held; never raises.

        Pins and prices are kept for those who join later; an unpin lets its pin go. What cannot be told now is told
        by the republisher, which sees that this version was not marked as told.
        """

    def state(self, show: ShowId, values: Mapping[str, object]) -> None:
        """The present value of each key, such as `sales`."""


class Room(Protocol):
    """The chat and the sockets of a show."""

    def rules_changed(self, show: ShowId) -> None:
        """The next message meets the rules as they are now."""

    async def dismiss(self, show: ShowId, account: AccountId) -> None:
        """Send an account's sockets away. Raises Unavailable."""

    async def take_down(self, show: ShowId, account: AccountId) -> None:
        """Take down what an account said lately. Raises Unavailable."""

    async def rules(self, show: ShowId) -> Rules:
        """What may be said, and by whom. Raises NotFound, Unavailable."""

    async def admit(self, who: Principal, show: ShowId) -> None:
        """Let somebody take part. Raises Banned."""

    async def history(self, show: ShowId) -> list[Chat]:
        """The last messages still up, oldest first. Raises NotFound, Unavailable."""


class StockBook(Protocol):
    """Checkout's counts."""

    async def stocks(self, show: ShowId) -> Mapping[VariantId, Stock]:
        """The four columns of each variant that was ever stocked in the show."""

    async def open(self, show: ShowId, variant: VariantId, units: int) -> None:
        """Put `units` of a variant on the books as its opening stock."""

    async def restock(self, show: ShowId, variant: VariantId, units: int, *, by: AccountId, key: str) -> None:
        """Add `units` that arrived; a key stands for one delivery, an empty one for none in particular.

        Raises NotFound for a variant without a book, IdempotencyMismatch.
        """

    async def withdraw(
        self, show: ShowId, variant: VariantId, units: int, reason: str, *, by: AccountId, key: str
    ) -> None:
        """Take `units` off the books unsold, never held ones; a key stands for one withdrawal.

        Raises NotFound, Conflict where so many are not available, IdempotencyMismatch.
        """

    async def copy_terms(self, show: ShowId, rehearsal: ShowId) -> None:
        """Copy what a show adds to its prices, and its coupons, to its rehearsal; once."""

    async def set_sales(self, show: ShowId, *, open: bool) -> None:  # noqa: A002 - the word of the interface
        """Take new holds, or refuse them; what is promised stays promised."""


class VideoTap(Protocol):
    """What lets a show's video through."""

    def set_video(self, show: ShowId, *, open: bool, reason: str) -> None:  # noqa: A002 - the word of the interface
        """Let it through, or not; the reason is for everybody to read."""


class Presence(Protocol):
    """What media knows of a host."""

    def host_present(self, show: ShowId) -> bool:
        """True while video arrives."""


class FrameClock(Protocol):
    """What media knows of capture times."""

    def capture_ms(self, show_id: ShowId, host_ms: float | None = None) -> int | None:
        """When, as viewers' players count, the host captured what it showed at `host_ms` of its own clock.

        Without `host_ms`: the newest picture. None while no video arrives.
        """


class Limiter(Protocol):
    """How often a subject may do a thing."""

    async def check(self, rule: str, subject: str) -> None:
        """Spend one unit. Raises RateLimited."""
