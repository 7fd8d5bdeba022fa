"""The truth: every call to Postgres, with its deadline, its retries and what a failure means.

Owns: nothing but a pool; the tables and functions are those of 0002_checkout.sql.
Invariant: a call that may have committed is repeated under the same ids, so that the repetition decides nothing anew;
what stays in doubt is Unavailable, never a promise.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import cache
from importlib.resources import files
from typing import Any

import asyncpg
import structlog
from msgspec import Struct

from checkout.core.reservation import keeps_units
from checkout.core.taps import Code, Tap
from checkout.counts import Counts
from checkout.gate import Product
from checkout.rows import Row, hold_of, promised
from schema.errors import Invalid, Unavailable
from schema.order import Hold, HoldState

log = structlog.get_logger()

TIMEOUT_S = 5.0
DOWN_S = 0.5
"""How long a Postgres that failed is left alone; meanwhile taps get 503 and the gate is not asked either."""
ATTEMPTS = 3
RETRY_MS = 2_000

FAILURES = (
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.TransactionRollbackError,
    OSError,  # and with it TimeoutError
)


@cache
def sql(name: str) -> str:
    """The text of one query of this room."""
    return files("checkout").joinpath("sql", f"{name}.sql").read_text()


class Decision(Struct, frozen=True, kw_only=True):
    """What the truth says of one tap."""

    code: Code
    hold: Hold | None = None
    for_gate: Code
    """The same, in the gate's terms: whether the units are off the shelf."""
    epoch: int = 0
    """The gate's, as the truth read it under its lock."""


class Batch(Struct, frozen=True, kw_only=True):
    """What the truth says of a batch of taps."""

    decisions: list[Decision]
    item: Row | None
    """The stock row right after; None: no such product."""


class Truth:
    """Calls to Postgres. Raises Unavailable when it does not answer."""

    def __init__(self, pool: asyncpg.Pool, counts: Counts) -> None:
        self._pool, self._counts = pool, counts
        self._down_until = 0.0

    @property
    def is_down(self) -> bool:
        """True shortly after a failure."""
        return time.monotonic() < self._down_until

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Any]:
        """A connection of the pool; what breaks inside becomes Unavailable."""
        try:
            async with asyncio.timeout(2 * TIMEOUT_S), self._pool.acquire(timeout=TIMEOUT_S) as connection:
                yield connection
        except asyncpg.DataError:
            raise Invalid("A NUL in a text, or a number too large to be kept") from None
        except FAILURES as error:
            log.warning("truth_down", error=repr(error)[:200])
            self._down_until = time.monotonic() + DOWN_S
            raise Unavailable("Stock cannot be confirmed right now", retry_after_ms=RETRY_MS) from error

    async def fetch(self, query: str, *args: Any) -> list[Any]:
        """The rows. It is repeated after a failure: every statement of this room is one that decides nothing anew."""
        for attempt in range(ATTEMPTS):
            try:
                async with self.connection() as connection:
                    rows: list[Any] = await connection.fetch(query, *args, timeout=TIMEOUT_S)
                    return rows
            except Unavailable:
                if attempt == ATTEMPTS - 1:
                    raise
                self._counts.truth_retries += 1
                await asyncio.sleep(0.05 * 2**attempt)
        raise AssertionError("unreachable")

    async def one(self, query: str, *args: Any) -> Any:
        """The first row, or None."""
        rows = await self.fetch(query, *args)
        return rows[0] if rows else None

    async def reserve_many(self, product: Product, taps: Sequence[Tap], hold_ms: int) -> Batch:
        """Decide taps, one under the other, in one transaction. An ambiguous commit is repeated with the same ids."""
        distinct = list({tap.hold_id: tap for tap in taps}.values())
        try:
            made = await self._reserve(product, distinct, hold_ms)
        except asyncpg.CheckViolationError:
            return await self._reserve_apart(product, taps, hold_ms)
        if made["codes"] is None:
            gone = Decision(code=Code.SOLD_OUT, for_gate=Code.SOLD_OUT)
            return Batch(decisions=[gone] * len(taps), item=None)
        codes = dict(zip((tap.hold_id for tap in distinct), map(Code, made["codes"]), strict=True))
        known = await self._known([hold_id for hold_id, code in codes.items() if code is Code.KNOWN])
        decisions = [
            _decision(product, tap, codes[tap.hold_id], made=made, known=known, hold_ms=hold_ms) for tap in taps
        ]
        return Batch(decisions=decisions, item=made["item"])

    async def _reserve(self, product: Product, taps: Sequence[Tap], hold_ms: int) -> Any:
        self._counts.truth_transactions += 1
        return await self.one(
            "SELECT * FROM reserve_many($1, $2, $3, $4, $5, $6, $7)",
            product.show_id,
            product.variant_id,
            [tap.hold_id for tap in taps],
            [tap.buyer_id for tap in taps],
            [tap.buyer_name for tap in taps],
            [tap.quantity for tap in taps],
            hold_ms,
        )

    async def _reserve_apart(self, product: Product, taps: Sequence[Tap], hold_ms: int) -> Batch:
        """The CHECK refused the whole batch: halve it, so that it refuses only what does not fit."""
        if len(taps) == 1:
            log.error("check_refused", show=product.show_id, variant=product.variant_id)
            item = await self.one(sql("stock"), product.show_id, product.variant_id)
            refused = Decision(code=Code.SOLD_OUT, for_gate=Code.SOLD_OUT, epoch=item["epoch"])
            return Batch(decisions=[refused], item=item)
        middle = len(taps) // 2
        left = await self.reserve_many(product, taps[:middle], hold_ms)
        right = await self.reserve_many(product, taps[middle:], hold_ms)
        return Batch(decisions=left.decisions + right.decisions, item=right.item)

    async def _known(self, hold_ids: list[str]) -> dict[str, Row]:
        if not hold_ids:
            return {}
        return {row["hold_id"]: row for row in await self.fetch(sql("holds_by_id"), hold_ids)}

    async def fence(self, product: Product, hold_ids: list[str]) -> tuple[list[bool], Row]:
        """Make ids unusable that nobody committed. True for each that is a hold after all; and the stock row."""
        row = await self.one("SELECT * FROM fence_many($1, $2, $3)", product.show_id, product.variant_id, hold_ids)
        return row["known"], row["item"]

    @asynccontextmanager
    async def rebuilding(self, product: Product) -> AsyncIterator["Rebuilding"]:
        """A transaction in which one process at a time may rebuild a product's gate."""
        async with self.connection() as connection, connection.transaction():
            lock = f"gate {product.show_id} {product.variant_id}"
            await connection.execute("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", lock)
            yield Rebuilding(connection, product)


class Rebuilding:
    """What a rebuild reads. `bump` locks the product: from there to the commit nothing about it changes."""

    def __init__(self, connection: Any, product: Product) -> None:
        self._connection, self._names = connection, (product.show_id, product.variant_id)

    async def stock(self) -> Row | None:
        row: Row | None = await self._connection.fetchrow(sql("stock"), *self._names)
        return row

    async def bump(self) -> Row:
        row: Row = await self._connection.fetchrow(sql("new_epoch"), *self._names)
        return row

    async def holds(self) -> list[tuple[str, str, int]]:
        return [tuple(row) for row in await self._connection.fetch(sql("holds_out"), *self._names)]

    async def buyers(self) -> list[tuple[str, int]]:
        return [tuple(row) for row in await self._connection.fetch(sql("buyers"), *self._names)]


def _decision(product: Product, tap: Tap, code: Code, *, made: Row, known: dict[str, Row], hold_ms: int) -> Decision:
    epoch = made["item"]["epoch"]
    if code is Code.HELD:
        return Decision(code=code, hold=_fresh(product, tap, made, hold_ms), for_gate=code, epoch=epoch)
    if code is not Code.KNOWN:
        return Decision(code=code, for_gate=code, epoch=epoch)
    row = known[tap.hold_id]
    if (row["show_id"], row["variant_id"], row["quantity"]) != (product.show_id, product.variant_id, tap.quantity):
        return Decision(code=Code.MISMATCH, for_gate=Code.MISMATCH, epoch=epoch)
    out = keeps_units(HoldState(row["state"]), returned=row["returned"])
    for_gate = Code.HELD if out else Code.OFF_SHELF
    return Decision(code=code, hold=promised(row), for_gate=for_gate, epoch=epoch)


def _fresh(product: Product, tap: Tap, made: Row, hold_ms: int) -> Hold:
    return hold_of(
        {
            "hold_id": tap.hold_id,
            "show_id": product.show_id,
            "variant_id": product.variant_id,
            "buyer_id": tap.buyer_id,
            "quantity": tap.quantity,
            "state": HoldState.HELD,
            "unit_amount": made["unit_amount"],
            "currency": made["currency"],
            "created_at_ms": made["at_ms"],
            "expires_at_ms": made["at_ms"] + hold_ms,
            "order_id": None,
        }
    )
