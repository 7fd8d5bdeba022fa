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

from checkout.core.taps import BY_NUMBER, Code, Tap
from checkout.counts import Counts
from checkout.gate import Product
from checkout.kept import Kept
from checkout.rows import Row, gate_code_of, promised
from schema.errors import Invalid, Unavailable
from schema.hold import Hold, HoldState
from schema.ids import AccountId, HoldId, ShowId, VariantId
from schema.money import Money

log = structlog.get_logger()

TIMEOUT_S = 5.0
RESERVE_S = 2.0
"""A buyer waits for the answer to a tap: after this it is no answer, and the tap is written down (confirming.py)."""
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
        self._pool, self._counts, self._kept = pool, counts, Kept(pool)
        self._down_until = 0.0

    @property
    def is_down(self) -> bool:
        """True shortly after a failure."""
        return time.monotonic() < self._down_until

    @asynccontextmanager
    async def connection(self, timeout_s: float = TIMEOUT_S, *, kept: bool = False) -> AsyncIterator[Any]:
        """A connection of the pool, or the one that is kept for taps; what breaks inside becomes Unavailable."""
        lease = self._kept.connection if kept else self._pool.acquire
        try:
            async with asyncio.timeout(2 * timeout_s), lease(timeout=timeout_s) as connection:
                yield connection
        except asyncpg.DataError:
            raise Invalid("A NUL in a text, or a number too large to be kept") from None
        except FAILURES as error:
            log.warning("truth_down", error=repr(error)[:200])
            self._down_until = time.monotonic() + DOWN_S
            raise Unavailable("Stock cannot be confirmed right now", retry_after_ms=RETRY_MS) from error

    async def close(self) -> None:
        """Give back what is kept."""
        await self._kept.close()

    async def fetch(self, query: str, *args: Any, timeout_s: float = TIMEOUT_S, kept: bool = False) -> list[Any]:
        """The rows. It is repeated after a failure: every statement of this room is one that decides nothing anew.

        Who gives it less time than usual has none for a second silence either.
        """
        for attempt in range(ATTEMPTS):
            try:
                async with self.connection(timeout_s, kept=kept) as connection:
                    rows: list[Any] = await connection.fetch(query, *args, timeout=timeout_s)
                    return rows
            except Unavailable as error:
                was_silent = isinstance(error.__cause__, TimeoutError) and timeout_s < TIMEOUT_S
                if attempt == ATTEMPTS - 1 or was_silent:
                    raise
                self._counts.truth_retries += 1
                await asyncio.sleep(0.05 * 2**attempt)
        raise AssertionError("unreachable")

    async def answers(self) -> bool:
        """Whether it does at this moment: asked once."""
        try:
            async with self.connection(RESERVE_S) as connection:
                await connection.fetch(sql("on_sale"), timeout=RESERVE_S)
        except Unavailable:
            return False
        return True

    async def one(self, query: str, *args: Any, timeout_s: float = TIMEOUT_S) -> Any:
        """The first row, or None."""
        rows = await self.fetch(query, *args, timeout_s=timeout_s)
        return rows[0] if rows else None

    async def reserve_many(self, product: Product, taps: Sequence[Tap], hold_ms: int) -> Batch:
        """Decide taps, one under the other, in one transaction. An ambiguous commit is repeated with the same ids."""
        first = {tap.hold_id: tap for tap in reversed(taps)}
        distinct = taps if len(first) == len(taps) else [tap for tap in taps if first[tap.hold_id] is tap]
        try:
            made = await self._reserve(product, distinct, hold_ms)
        except asyncpg.CheckViolationError:
            return await self._reserve_apart(product, taps, hold_ms)
        if made["codes"] is None:
            gone = Decision(code=Code.SOLD_OUT, for_gate=Code.SOLD_OUT)
            return Batch(decisions=[gone] * len(taps), item=None)
        if made["codes"].count(1) == len(taps):
            return Batch(decisions=_Verdict(product, made, {}, hold_ms).all_held(taps), item=made["item"])
        decided = zip(distinct, made["codes"], strict=True)
        codes = {tap.hold_id: BY_NUMBER[code] for tap, code in decided}
        known = await self._known([hold_id for hold_id, code in codes.items() if code is Code.KNOWN])
        verdict = _Verdict(product, made, known, hold_ms)
        decisions = [verdict.on(tap, codes[tap.hold_id], first[tap.hold_id]) for tap in taps]
        if Code.AGAIN in made["codes"]:
            return await self._reserve_rest(product, taps, decisions, hold_ms)
        return Batch(decisions=decisions, item=made["item"])

    async def _reserve_rest(self, product: Product, taps: Sequence[Tap], said: list[Decision], hold_ms: int) -> Batch:
        """A flash price ran out within the batch: what is undecided is decided at the price after it."""
        rest = await self.reserve_many(
            product, [tap for tap, one in zip(taps, said, strict=True) if one.code is Code.AGAIN], hold_ms
        )
        later = iter(rest.decisions)
        return Batch(decisions=[next(later) if one.code is Code.AGAIN else one for one in said], item=rest.item)

    async def _reserve(self, product: Product, taps: Sequence[Tap], hold_ms: int) -> Any:
        self._counts.truth_transactions += 1
        rows = await self.fetch(
            "SELECT * FROM reserve_many($1, $2, $3::text::text[], $4::text::text[], $5::text::text[], $6, $7, $8)",
            product.show_id,
            product.variant_id,
            _array([tap.hold_id for tap in taps]),
            _array([tap.buyer_id for tap in taps]),
            _array([tap.buyer_name for tap in taps]),
            [tap.quantity for tap in taps],
            hold_ms,
            _seen(taps),
            timeout_s=RESERVE_S,
            kept=True,
        )
        return rows[0]

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


def _seen(taps: Sequence[Tap]) -> list[int | None] | None:
    """The prices seen; None if nobody said: then the way is the shorter one."""
    seen = [tap.price_seen for tap in taps]
    return None if seen.count(None) == len(seen) else seen


def _array(texts: list[str]) -> str:
    """Texts as Postgres writes an array: the driver's own encoder, item by item, takes a tenth of a reservation."""
    joined = "\x00".join(texts)  # a NUL can stand in no text of Postgres, so it separates without doubt
    if joined.count("\x00") != len(texts) - 1:
        raise Invalid("A NUL in a text")
    escaped = joined.replace("\\", "\\\\").replace('"', '\\"').replace("\x00", '","')
    return f'{{"{escaped}"}}'


class _Verdict:
    """What one answer of reserve_many() says of its taps. What they share is looked up once: this runs for each."""

    def __init__(self, product: Product, made: Row, known: dict[str, Row], hold_ms: int) -> None:
        self._product, self._known = product, known
        self._names = ShowId(product.show_id), VariantId(product.variant_id)
        self._epoch: int = made["item"]["epoch"]
        self._made_ms: int = made["at_ms"]
        self._until_ms = self._made_ms + hold_ms
        self._price = Money(amount=made["unit_amount"], currency=made["currency"])
        self._totals: dict[int, Money] = {}

    def on(self, tap: Tap, code: Code, first: Tap) -> Decision:
        """The decision on `tap`; `first` is the tap of its batch that its hold id was decided for."""
        if tap.quantity != first.quantity:
            code = Code.MISMATCH
        if code is Code.HELD:
            return Decision(code=code, hold=self._fresh(tap), for_gate=code, epoch=self._epoch)
        if code is not Code.KNOWN:
            return Decision(code=code, for_gate=code, epoch=self._epoch)
        return self._again(tap, self._known[tap.hold_id])

    def all_held(self, taps: Sequence[Tap]) -> list[Decision]:
        """Nearly every batch: nothing about its taps is to be looked up."""
        held, epoch = Code.HELD, self._epoch
        return [Decision(code=held, hold=self._fresh(tap), for_gate=held, epoch=epoch) for tap in taps]

    def _again(self, tap: Tap, row: Row) -> Decision:
        names = (row["show_id"], row["variant_id"], row["quantity"])
        if names != (self._product.show_id, self._product.variant_id, tap.quantity):
            return Decision(code=Code.MISMATCH, for_gate=Code.MISMATCH, epoch=self._epoch)
        return Decision(code=Code.KNOWN, hold=promised(row), for_gate=gate_code_of(row), epoch=self._epoch)

    def _fresh(self, tap: Tap) -> Hold:
        total = self._totals.get(tap.quantity)
        if total is None:
            total = self._totals[tap.quantity] = self._price.times(tap.quantity)
        show_id, variant_id = self._names
        return Hold(
            hold_id=HoldId(tap.hold_id),
            show_id=show_id,
            variant_id=variant_id,
            buyer_id=AccountId(tap.buyer_id),
            quantity=tap.quantity,
            state=HoldState.HELD,
            unit_price=self._price,
            total=total,
            created_at_ms=self._made_ms,
            expires_at_ms=self._until_ms,
        )
