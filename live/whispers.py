"""What happens to one buyer is told to that buyer's pages alone: a place in a line came up, an order's money did not.

Owns: what is still to be told. Invariant: whoever is not reached finds it by asking; nothing here is the only word.
"""

import asyncio
from collections import deque

import structlog

from realtime.hub import Hub
from schema.errors import Unavailable
from schema.hold import Hold
from schema.ids import AccountId, OrderId, ShowId
from schema.order import OrderState
from schema.wire import Event, Offered, OrderChanged

log = structlog.get_logger()

WAITING_MAX = 10_000
"""Beyond that the oldest are dropped: they have the least time left."""
RETRY_S = 1.0
TRIES = 5


class Whispers:
    """checkout's `BuyerListener`, over the hub."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._waiting: deque[tuple[ShowId, AccountId, Event]] = deque(maxlen=WAITING_MAX)
        self._work = asyncio.Event()

    def offered(self, hold: Hold) -> None:
        """A place in a line has become this hold."""
        offer = Offered(
            hold_id=hold.hold_id,
            variant_id=hold.variant_id,
            quantity=hold.quantity,
            expires_at_ms=hold.expires_at_ms,
        )
        self._tell(hold.show_id, hold.buyer_id, offer)

    def capture_failed(self, show_id: ShowId, buyer_id: AccountId, order_id: OrderId) -> None:
        """The money of an order could not be taken."""
        self._tell(show_id, buyer_id, OrderChanged(order_id=order_id, state=OrderState.CAPTURE_FAILED))

    def _tell(self, show: ShowId, account: AccountId, event: Event) -> None:
        self._waiting.append((show, account, event))
        self._work.set()

    async def run(self) -> None:
        """Tell for ever; its owner cancels it."""
        while True:
            await self._work.wait()
            self._work.clear()
            while self._waiting:
                await self._whisper(*self._waiting.popleft())

    async def _whisper(self, show: ShowId, account: AccountId, event: Event) -> None:
        for _ in range(TRIES):
            try:
                await self._hub.whisper(show, account, event)
            except Unavailable:
                await asyncio.sleep(RETRY_S)
            else:
                return
        log.warning("not_whispered", show=show, what=type(event).__name__)
