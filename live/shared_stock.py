"""Stock told by several processes: what one commits, all of them may read, and viewers hear it once, the newest last.

Owns: what this process has still to tell. Invariant: of a variant only the newest count waits; a crossing of zero is
published by the one process that Redis told it is news; a count never replaces a newer one (realtime's state keys).
"""

import asyncio
import hashlib
from importlib import resources
from typing import NamedTuple

from redis.exceptions import NoScriptError, RedisError

from live.adapters import RETRY_S, StockTeller
from live.pipeline import Commands
from realtime.hub import Hub
from schema.errors import Unavailable
from schema.ids import ShowId, VariantId
from schema.show import Stock
from schema.wire import BackInStock, SoldOut


class _Seen(NamedTuple):
    version: int
    available: int


class SharedStockTeller(StockTeller):
    """`StockTeller` for one of several processes."""

    def __init__(self, hub: Hub, redis: Commands) -> None:
        super().__init__(hub)
        self._redis = redis
        self._script = (resources.files("live") / "lua" / "crossed.lua").read_bytes()
        self._sha = hashlib.sha1(self._script, usedforsecurity=False).hexdigest()
        self._seen: dict[tuple[ShowId, VariantId], _Seen] = {}
        self._owed: set[tuple[ShowId, VariantId]] = set()
        """News that Redis gave to us and the hub could not take."""

    def seed(self, show: ShowId, variant: VariantId, stock: Stock) -> None:
        """What everybody who comes sees anyway: no crossing."""
        self._seen.setdefault((show, variant), _Seen(0, stock.available))
        self._work.set()

    def stock_changed(self, show_id: ShowId, variant_id: VariantId, stock: Stock, version: int = 0) -> None:
        """Called after each commit that changed the stock, newest last."""
        self._hub.set_state(show_id, f"stock.{variant_id}", stock, version=version)
        self._seen[show_id, variant_id] = _Seen(version, stock.available)
        self._work.set()

    async def run(self) -> None:
        """Publish crossings for ever; its owner cancels it."""
        while True:
            await self._work.wait()
            self._work.clear()
            for (show, variant), seen in list(self._seen.items()):
                if not await self._told(show, variant, seen):
                    await asyncio.sleep(RETRY_S)
                    self._work.set()
                    break
                if self._seen.get((show, variant)) is seen:
                    del self._seen[show, variant]

    async def _told(self, show: ShowId, variant: VariantId, seen: _Seen) -> bool:
        """False if Redis could not be asked, or the hub not told: it waits on, unless newer by then."""
        one, left = (show, variant), seen.available
        event = BackInStock(variant_id=variant, available=left) if left else SoldOut(variant_id=variant)
        try:
            if await self._is_news(show, variant, seen):
                self._owed ^= {one}  # there and back again, and neither was told: nothing happened
            if one in self._owed:
                await self._hub.publish(show, event)
                self._owed.discard(one)
        except (Unavailable, RedisError, OSError):
            return False
        return True

    async def _is_news(self, show: ShowId, variant: VariantId, seen: _Seen) -> bool:
        args = (1, f"sf:{{{show}}}:out", variant, seen.version, int(seen.available == 0))
        try:
            return bool(await self._redis.execute_command("EVALSHA", self._sha, *args))
        except NoScriptError:
            return bool(await self._redis.execute_command("EVAL", self._script, *args))
