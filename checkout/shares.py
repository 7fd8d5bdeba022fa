"""How much of one item the guests of one network may hold at a time without having paid for it.

A guest is made with one call and has no limit of its own worth the name: by fresh guests a script could reserve a whole
drop and let it lapse. A network may also be a household or a campus, so the share is a generous one, what is paid for
or given back is no part of it, and whoever has an account is not asked.

Owns: the keys `sf:{show}:share:...`, and who is asked. How large a share is, and what counts, core/shares.py says.
Invariant: nobody is refused before the truth has said which of the counted holds are open. Without Redis nobody is.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from functools import cached_property

import structlog
from msgspec import Struct
from redis.asyncio import Redis
from redis.commands.core import AsyncScript
from redis.exceptions import RedisError

from checkout.core.shares import is_over, share_of
from checkout.gate import TIMEOUT_S, Product, script
from checkout.truth import Truth, sql
from schema.errors import LimitReached, ShowfloorError, Unavailable
from schema.hold import HoldState

log = structlog.get_logger()

REFUSED_S = 1.0
REFUSED_MAX = 5_000
TRIES = 3


class Want(Struct, frozen=True, kw_only=True):
    """So many units of a product of which `stocked` were ever put on sale (None: not known)."""

    product: Product
    units: int
    stocked: int | None


class Shares:
    """The shares of one desk. `is_down`: whether Redis is known not to answer."""

    def __init__(
        self, redis: Redis, truth: Truth, *, hold_ms: int, clock: Callable[[], int], is_down: Callable[[], bool]
    ) -> None:
        self._redis, self._truth, self._hold_ms, self._clock, self._is_down = redis, truth, hold_ms, clock, is_down
        self._full: dict[tuple[Product, str], float] = {}
        """Until when a share that was full is taken to be so: a script that goes on asks Postgres once a second."""

    @asynccontextmanager
    async def taking(self, network: str, hold_id: str, wants: Sequence[Want]) -> AsyncIterator[None]:
        """Around the taking of a hold: it is counted, unless that raises a refusal. Raises LimitReached."""
        counted: list[Want] = []
        try:
            for want in wants if network else ():
                if want.stocked is not None:
                    await self._count(network, hold_id, want, share_of(want.stocked))
                    counted.append(want)
            yield
        except ShowfloorError as error:
            if not isinstance(error, Unavailable):  # after that one it may be held all the same
                for want in counted:
                    await self._forget(network, want.product, [f"{hold_id} {want.units}"])
            raise

    async def _count(self, network: str, hold_id: str, want: Want, most: int) -> None:
        full = (want.product, network)
        if time.monotonic() < self._full.get(full, 0.0):
            raise _no_room()
        for _ in range(TRIES):
            others = await self._count_in(network, hold_id, want, most)
            if not others or not await self._forget_ended(network, want.product, others):
                break
        if others:
            if len(self._full) >= REFUSED_MAX:
                self._full.clear()
            self._full[full] = time.monotonic() + REFUSED_S
            log.info("share_full", show=want.product.show_id, variant=want.product.variant_id, most=most)
            raise _no_room()

    async def _count_in(self, network: str, hold_id: str, want: Want, most: int) -> list[tuple[str, float]]:
        """What the share consists of, where there is no room: "<hold id> <units>" and until when it counts, in ms."""
        if self._is_down():
            return []
        now_ms = self._clock()
        args: list[int | str] = [now_ms, now_ms + self._hold_ms, hold_id, want.units, most]
        try:
            async with asyncio.timeout(TIMEOUT_S):
                found = await self._script(keys=[_key(network, want.product)], args=args)
        except (RedisError, OSError) as error:  # TimeoutError is an OSError
            log.warning("share_not_counted", error=repr(error)[:200])
            return []
        return [(found[at].decode(), float(found[at + 1])) for at in range(0, len(found), 2)]

    @cached_property
    def _script(self) -> AsyncScript:
        return self._redis.register_script(script("share"))

    async def _forget_ended(self, network: str, product: Product, counted: Sequence[tuple[str, float]]) -> bool:
        """Take those out of the share that are paid for, given back or never came to be. False if there are none."""
        ids = [each.split(" ")[0] for each, _ in counted]
        rows = await self._truth.fetch(sql("holds_by_id"), ids)
        states = {row["hold_id"]: HoldState(row["state"]) for row in rows}
        until_now_ms = self._clock() + self._hold_ms  # of one that is counted this moment
        ended = [
            each
            for (each, until_ms), hold_id in zip(counted, ids, strict=True)
            if is_over(states.get(hold_id), age_ms=until_now_ms - until_ms)
        ]
        await self._forget(network, product, ended)
        return bool(ended)

    async def _forget(self, network: str, product: Product, ended: Sequence[str]) -> None:
        if not ended or self._is_down():
            return
        try:
            async with asyncio.timeout(TIMEOUT_S):
                await self._redis.zrem(_key(network, product), *ended)
        except (RedisError, OSError):
            log.info("share_not_forgotten", show=product.show_id)  # it runs out by its time


def _key(network: str, product: Product) -> str:
    return f"sf:{{{product.show_id}}}:share:{product.variant_id}:{network}"


def _no_room() -> LimitReached:
    return LimitReached(
        "Guests of your network hold as many of this item as they may; it frees up as they pay or let go",
        of="network",
        retry_after_ms=int(REFUSED_S * 1000),
    )
