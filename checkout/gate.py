"""The gate: one atomic script in Redis decides every tap before Postgres hears of it.

Owns: the keys `sf:{show}:gate:<variant>...` and `sf:{show}:said:...`, and whether Redis is usable at the moment.
Invariant: it frees units only when told so by hold id, never by time. An intact gate errs towards selling too few.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from importlib.resources import files
from typing import Any

import msgspec
import structlog
from msgspec import Struct
from redis.asyncio import Redis
from redis.exceptions import RedisError

from checkout.core.soldout import SoldOut
from checkout.core.taps import BY_NUMBER, Code, Tap
from checkout.news import channel_of
from schema.hold import Hold

log = structlog.get_logger()

TIMEOUT_S = 1.0
DOWN_S = 0.5
"""How long a failed Redis is left alone; meanwhile taps go straight to Postgres."""
SAID_MS = 60_000
"""Refusals are remembered for one to two of these."""
WAS_MS = 3_600_000
"""Ended holds are remembered for one to two of these."""
SOLD_OUT_MOST = 20_000
"""With more holds and ended ones than this, a process does not refuse by itself: to read them all takes too long."""
HOLDS_MOST = 50_000
"""With more holds than this they are not compared one by one, only their sums: it would hold Redis up."""
REBUILD_CHUNK = 2_000
REBUILD_S = 5.0
REBUILD_EXPIRE_S = 60
"""What an unfinished rebuild leaves behind goes away by itself; a finished one persists (rebuild.lua)."""

_pack = msgspec.msgpack.Encoder().encode
_encode_hold = msgspec.json.Encoder().encode
_decode_hold = msgspec.json.Decoder(Hold).decode


def script(name: str) -> str:
    """The text of one Lua script of this room."""
    return files("checkout").joinpath("lua", f"{name}.lua").read_text()


SCRIPTS = {
    name: script(name)
    for name in (
        "reserve_many",
        "settle_many",
        "committed_many",
        "release_many",
        "adjust",
        "rebuild",
        "look",
        "holds",
        "sold_out",
        "confirm_many",
    )
}


class GateDown(Exception):  # noqa: N818 - a state, like Unavailable
    """Redis does not answer. The sale goes on without the gate."""


class Product(Struct, frozen=True):
    """One variant in one show."""

    show_id: str
    variant_id: str


class Look(Struct, frozen=True, kw_only=True):
    """What the gate believes of one product."""

    epoch: int | None
    available: int
    pending_units: int
    pending: list[tuple[str, int, int]]
    """Hold id, since when (ms), units."""
    waiting: bool
    """Somebody is on the waitlist."""


class Holds(Struct, frozen=True, kw_only=True):
    """Every hold that the gate counts."""

    epoch: int | None
    units: dict[str, int]
    pending: frozenset[str]


class Verdict(Struct, frozen=True, kw_only=True):
    """What the gate says of a batch of taps."""

    epoch: int
    codes: list[Code]
    all_admitted: bool
    sold_out_turn: int | None
    """Nothing is to be had any more, and since which turn (lua/sold_out.lua); None: something is."""


class Gate:
    """The scripts and their keys. Every method raises GateDown when Redis does not answer in time."""

    def __init__(self, redis: Redis, *, clock: Callable[[], int], scripts: dict[str, str] | None = None) -> None:
        self._redis, self._clock, self._news = redis, clock, channel_of(redis)
        texts = scripts or SCRIPTS
        self._scripts = {name: redis.register_script(text) for name, text in texts.items()}
        self._down_until = 0.0

    @property
    def is_down(self) -> bool:
        """True shortly after a failure."""
        return time.monotonic() < self._down_until

    async def reserve_many(self, product: Product, epoch: int, taps: Sequence[Tap]) -> Verdict | None:
        """What becomes of each tap (at most 500); None if the gate has another epoch: nothing was decided."""
        flat: list[str | int] = []
        for tap in taps:
            flat += (tap.hold_id, tap.buyer_id, -tap.quantity if tap.refused_before else tap.quantity)
        base = key_of(product)
        keys = [base, f"{base}:holds", f"{base}:buyers", f"{base}:pending", *self._said(product), *self._was(product)]
        args = [epoch, self._clock(), product.variant_id, _pack(flat), 2 * SAID_MS]
        seen, codes, turn = await self._run("reserve_many", keys, args)
        if int(seen or -1) != epoch:
            return None
        every = codes == 1
        known = [Code.HELD] * len(taps) if every else [BY_NUMBER[code] for code in codes]
        return Verdict(epoch=epoch, codes=known, all_admitted=every, sold_out_turn=int(turn) if turn else None)

    async def sold_out(self, product: Product) -> SoldOut | None:
        """What a process needs to refuse by itself; None if there is something to be had, or too much to be known."""
        base = key_of(product)
        keys = [base, f"{base}:holds", f"{base}:buyers", *self._was(product)]
        found = await self._run("sold_out", keys, [SOLD_OUT_MOST])
        if not found:
            return None
        epoch, turn, limit, holds, buyers = found
        return SoldOut(
            epoch=int(epoch),
            turn=int(turn),
            limit=int(limit),
            holds=frozenset(map(bytes.decode, holds)),
            buyers=frozenset(map(bytes.decode, buyers)),
        )

    async def settle_many(self, product: Product, epoch: int, decided: Sequence[tuple[Tap, Code]]) -> bool:
        """Tell what the truth decided of these taps (at most 500); False if the gate has another epoch."""
        if await self._all_were_pending(product, decided):
            return True
        flat: list[str | int] = []
        for tap, code in decided:
            flat += (tap.hold_id, tap.buyer_id, tap.quantity, int(code))
        base, (said, _) = key_of(product), self._said(product)
        keys = [base, f"{base}:holds", f"{base}:buyers", f"{base}:pending", said, *self._was(product)]
        args = [epoch, product.variant_id, _pack(flat), 2 * SAID_MS, 2 * WAS_MS, self._news]
        return bool(await self._run("settle_many", keys, args))

    async def _all_were_pending(self, product: Product, decided: Sequence[tuple[Tap, Code]]) -> bool:
        """True if nothing else is to be told: the gate admitted them, they are holds, and pending no more.

        Nearly always so, and then a fifth of the script's work. What is committed may leave the pending ones whatever
        the epoch is; if it was not among them, the script sees why.
        """
        held = Code.HELD
        if not decided or any(code is not held for _, code in decided):
            return False
        hold_ids = _pack([tap.hold_id for tap, _ in decided])
        gone = await self._run("committed_many", [f"{key_of(product)}:pending"], [hold_ids])
        return bool(gone == len(decided))

    async def release_many(
        self, product: Product, epoch: int, ended: Sequence[tuple[str, int]], *, fenced: bool = False
    ) -> bool:
        """Give back the units of (hold id, units); False if the gate has another epoch."""
        flat: list[str | int] = []
        for hold_id, units in ended:
            flat += (hold_id, units, int(fenced))
        base, (was, _) = key_of(product), self._was(product)
        keys = [base, f"{base}:holds", f"{base}:buyers", f"{base}:pending", was]
        return bool(await self._run("release_many", keys, [epoch, _pack(flat), 2 * WAS_MS, self._news]))

    async def adjust(
        self, product: Product, epoch: int, *, units: int = 0, is_open: bool | None = None, waiting: bool | None = None
    ) -> bool:
        """Tell of a restock, of the kill switch, or whether somebody waits; False if the gate has another epoch."""
        flags = ["" if flag is None else str(int(flag)) for flag in (is_open, waiting)]
        return bool(await self._run("adjust", [key_of(product)], [epoch, units, *flags, self._news]))

    async def confirm_many(self, product: Product, waiting: Sequence[tuple[str, int]]) -> None:
        """Admitted (hold id, until ms) wait for the truth: until then they are nobody's orphans."""
        flat = [value for each in waiting for value in each]
        await self._run("confirm_many", [f"{key_of(product)}:pending"], [_pack(flat)])

    async def share(self, holds: Sequence[Hold], ttl_ms: int) -> None:
        """Let every process tell the buyers of these holds, which Postgres does not know, for `ttl_ms`."""
        async with self._asking(TIMEOUT_S), self._redis.pipeline(transaction=False) as pipe:
            for hold in holds:
                pipe.set(_shared_key(hold.hold_id), _encode_hold(hold), px=ttl_ms)
            await pipe.execute()

    async def shared(self, hold_id: str) -> Hold | None:
        """What was shared of a hold; None: nothing."""
        async with self._asking(TIMEOUT_S):
            found = await self._redis.get(_shared_key(hold_id))
        return _decode_hold(found) if found else None

    async def look(self, product: Product) -> Look:
        """What the gate believes, read in one step."""
        base = key_of(product)
        epoch, available, units, flat, waiting = await self._run("look", [base, f"{base}:holds", f"{base}:pending"], [])
        pending = [(flat[i].decode(), int(flat[i + 1]), flat[i + 2]) for i in range(0, len(flat), 3)]
        return Look(
            epoch=int(epoch) if epoch else None,
            available=available,
            pending_units=units,
            pending=pending,
            waiting=bool(waiting),
        )

    async def holds(self, product: Product) -> Holds | None:
        """Every single hold, read in one step; None if there are too many to be compared."""
        base = key_of(product)
        found = await self._run("holds", [base, f"{base}:holds", f"{base}:pending"], [HOLDS_MOST])
        if not found:
            return None
        epoch, flat, pending = found
        units = {flat[i].decode(): int(flat[i + 1].split(b":", 1)[0]) for i in range(0, len(flat), 2)}
        return Holds(epoch=int(epoch) if epoch else None, units=units, pending=frozenset(map(bytes.decode, pending)))

    async def rebuild(
        self,
        product: Product,
        *,
        epoch: int,
        available: int,
        is_open: bool,
        waiting: bool = False,
        limit: int,
        holds: Sequence[tuple[str, str, int]],
        buyers: Sequence[tuple[str, int]],
    ) -> None:
        """Replace the gate. The caller holds the stock row's lock. `holds`: id, buyer, units."""
        base = key_of(product)
        fresh_holds, fresh_buyers = f"{base}:holds:{epoch}", f"{base}:buyers:{epoch}"
        async with self._asking(REBUILD_S):
            for at in range(0, len(holds), REBUILD_CHUNK):
                chunk = holds[at : at + REBUILD_CHUNK]
                await self._redis.hset(fresh_holds, mapping={i: f"{units}:{buyer}" for i, buyer, units in chunk})
                await self._redis.expire(fresh_holds, REBUILD_EXPIRE_S)
            for at in range(0, len(buyers), REBUILD_CHUNK):
                await self._redis.hset(fresh_buyers, mapping=dict(buyers[at : at + REBUILD_CHUNK]))
                await self._redis.expire(fresh_buyers, REBUILD_EXPIRE_S)
            keys = [base, f"{base}:holds", f"{base}:buyers", f"{base}:pending", fresh_holds, fresh_buyers]
            args: list[int | str] = [epoch, available, int(is_open), int(waiting), limit, self._news]
            await self._scripts["rebuild"](keys=keys, args=args)

    def _said(self, product: Product) -> tuple[str, str]:
        bucket = self._clock() // SAID_MS
        prefix = f"sf:{{{product.show_id}}}:said"
        return f"{prefix}:{bucket}", f"{prefix}:{bucket - 1}"

    def _was(self, product: Product) -> tuple[str, str]:
        bucket = self._clock() // WAS_MS
        return f"{key_of(product)}:was:{bucket}", f"{key_of(product)}:was:{bucket - 1}"

    async def _run(self, name: str, keys: list[str], args: list[Any]) -> Any:
        async with self._asking(TIMEOUT_S):
            return await self._scripts[name](keys=keys, args=args)

    @asynccontextmanager
    async def _asking(self, seconds: float) -> AsyncIterator[None]:
        if self.is_down:
            raise GateDown
        try:
            async with asyncio.timeout(seconds):
                yield
        except (RedisError, OSError) as error:  # TimeoutError is an OSError
            log.warning("gate_down", error=repr(error)[:200])
            self._down_until = time.monotonic() + DOWN_S
            raise GateDown from error


def key_of(product: Product) -> str:
    """The meta key, which names the gate."""
    return f"sf:{{{product.show_id}}}:gate:{product.variant_id}"


def _shared_key(hold_id: str) -> str:
    return f"sf:confirming:{hold_id}"
