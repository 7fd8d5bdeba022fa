"""What checkout needs of the other rooms: `live` plugs it in.

Owns: the Protocols only.
"""

from collections.abc import Sequence
from typing import Protocol

from checkout.core.taps import Tap
from checkout.truth import Decision
from schema.hold import Hold
from schema.ids import AccountId, OrderId, ShowId, VariantId
from schema.show import Stock


class StockListener(Protocol):
    """Whoever shows stock to people."""

    def stock_changed(self, show_id: ShowId, variant_id: VariantId, stock: Stock, version: int) -> None:
        """Called after each commit that changed a product's stock, newest last; must not block.

        `version` rises with each change, over all processes: another's newer one may have been told before.
        """

    def stock_low(self, show_id: ShowId, variant_id: VariantId, since_ms: int | None, version: int) -> None:
        """Called when a product's stock has run low, at `since_ms`, and when it no longer is (None); like the above."""


class BuyerListener(Protocol):
    """Whoever can speak to one buyer. Told once, twice or never: what it hears stands in Postgres all the same."""

    def offered(self, hold: Hold) -> None:
        """Called when a place in a line has become this hold; must not block."""

    def capture_failed(self, show_id: ShowId, buyer_id: AccountId, order_id: OrderId) -> None:
        """Called when the money of an order could not be taken, so that the order ended; must not block."""


class Line(Protocol):
    """What decides the taps that waited for the truth, in their order."""

    async def decide(self, taps: list[Tap]) -> Sequence[Decision]:
        """What the truth says of each; viewers have been told, the gate has not. Raises Unavailable."""

    async def say(self, decided: Sequence[tuple[Tap, Decision]]) -> None:
        """Tell the gate: from now on it says so too."""

    async def give_up(self, holds: list[tuple[str, int, int]]) -> list[str]:
        """Fence (hold id, since ms, units), then give the units back of those that nobody committed.

        Returns those that somebody did commit: they stay as they are. Raises Unavailable.
        """

    async def let_go(self, hold_id: str, units: int) -> None:
        """Release a hold, if there is one that is not being paid for, and give its units back. Raises Unavailable."""


class Limiter(Protocol):
    """The limits per account and address."""

    async def check(self, rule: str, subject: str) -> None:
        """Raise RateLimited if `subject` has used up `rule`."""
