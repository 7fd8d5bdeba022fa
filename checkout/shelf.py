"""One product in one show, as this process sells it: the gate first, then the truth, both in batches.

Owns: the product's two lines of batches, and the epoch of the gate they trust.
Invariant: a tap is answered "held" only after Postgres committed it. Whatever the gate misses (it was down, it was
rebuilt) makes the shelf forget the gate, and taps go straight to Postgres until the gate has been rebuilt.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence

import structlog
from msgspec.structs import astuple, replace

from checkout.batcher import Batcher, Spawn
from checkout.confirming import Confirming
from checkout.core.confirming import BOUND_MS
from checkout.core.single_holds import apart as single_holds_apart
from checkout.core.soldout import Refusals, SoldOutHere
from checkout.core.taps import Code, Tap
from checkout.counts import Counts
from checkout.gate import Gate, GateDown, Look, Product, Verdict
from checkout.ports import BuyerListener, StockListener
from checkout.rows import Row, gate_code_of, hold_of, stock_of, tap_of
from checkout.truth import Decision, Rebuilding, Truth, sql
from schema.errors import ShowfloorError, Unavailable
from schema.ids import HoldId, ShowId, VariantId
from schema.money import Money

log = structlog.get_logger()

GATE_BATCH = 256
TRUTH_BATCH = 500
OFFERS_AT_ONCE = 200
_SOLD_OUT = Decision(code=Code.SOLD_OUT, for_gate=Code.SOLD_OUT)
_UNDECIDED = Decision(code=Code.UNDECIDED, for_gate=Code.UNDECIDED)
_MISMATCH = Decision(code=Code.MISMATCH, for_gate=Code.MISMATCH)
CLOCKS_APART_MS = 2 * BOUND_MS
"""By how much the clocks of two processes may differ, and more than a unit that is being confirmed lies ahead."""
DRIFT_ROUNDS = 3
"""A difference seen this often in a row, with nothing moving in between, is one: rebuild."""


class Shelf:
    """Takes taps on one product, and keeps its gate true."""

    def __init__(
        self,
        product: Product,
        *,
        gate: Gate,
        truth: Truth,
        listener: StockListener,
        counts: Counts,
        refusals: Refusals,
        confirming: Confirming,
        spawn: Spawn,
        hold_ms: int,
        offer_ms: int,
        buyers: BuyerListener | None = None,
    ) -> None:
        self.product = product
        self._gate, self._truth, self._listener, self._counts = gate, truth, listener, counts
        self._spawn, self._hold_ms, self._offer_ms = spawn, hold_ms, offer_ms
        self._refusals, self._sold_out = refusals, SoldOutHere()
        self._confirming = confirming
        self._price: Money | None = None
        self._buyers = buyers
        self.stocked: int | None = None
        """Units that were ever put on sale, as far as is known here."""
        self._known: set[str] = set()
        """Of the taps on their way to the truth: those whose hold id the gate knew already."""
        self._learning = False
        self._offering = self._offers_due = False
        self._epoch: int | None = None
        self._must_rebuild = False
        self._refreshing = False
        self._told_version = 0
        self._told_low: int | None = None
        self._drift_rounds = 0
        self._pending_before: dict[str, int] = {}
        self._weighed_version = self._compared_version = 0
        # One batch at a time: they would only queue for the same row lock, holding a connection each.
        self._at_truth: Batcher[Tap, Decision] = Batcher(
            self._ask_truth, spawn=spawn, most=TRUTH_BATCH, after=self._tell_gate
        )
        self._at_gate: Batcher[Tap, Decision] = Batcher(
            self._ask_gate, spawn=spawn, most=GATE_BATCH, onward=self._at_truth
        )

    def take(self, tap: Tap) -> "asyncio.Future[Decision]":
        """What becomes of the tap, to be awaited.

        While Postgres is down it is written down for later, or Unavailable is raised and nothing promised.
        """
        self._counts.taps += 1
        now_ms = _now_ms()
        before = self._refusals.of(tap.hold_id, now_ms)
        if before and before != (self.product.variant_id, tap.quantity):
            return self._refused_here(_MISMATCH)
        if self._sold_out.refuses(tap, now_ms):
            self._refusals.remember(tap, self.product.variant_id, now_ms)
            return self._refused_here(_SOLD_OUT)
        if before:
            tap = replace(tap, refused_before=True)
        if self._truth.is_down and not self._can_write_down():
            raise Unavailable("Stock cannot be confirmed right now", retry_after_ms=1000)
        if self._trusts_gate():
            return self._at_gate.put(tap)
        self._counts.straight_to_truth += 1
        return self._at_truth.put(tap)

    def _refused_here(self, decision: Decision) -> "asyncio.Future[Decision]":
        self._counts.refused_here += 1
        future: asyncio.Future[Decision] = asyncio.get_running_loop().create_future()
        future.set_result(decision)
        return future

    @property
    def is_sold_out(self) -> bool:
        """True if this process knows by itself that there is nothing to be had; it may still know a tap from before."""
        return self._sold_out.knows(_now_ms())

    def heard(self) -> None:
        """The gate may have something to sell again: taps are no longer refused here before it was asked."""
        self._sold_out.forget()

    @property
    def can_decide_now(self) -> bool:
        """False while the truth is away, or earlier taps wait for it: nothing may overtake them."""
        return not self._truth.is_down and not self._confirming.waits(self.product)

    async def admit(self, tap: Tap) -> Code | None:
        """What the gate alone says of a part of something larger; None: it says nothing. `decided` is to follow."""
        self._counts.taps += 1
        said = (await self._ask_gate([tap]))[0] if self._trusts_gate() else None
        return said.code if said else None

    async def decided(self, tap: Tap, code: Code, for_gate: Code, item: Row | None) -> None:
        """What became of that part; `item` is the truth's row if it was asked."""
        if item is not None:
            self.tell(item)
        epoch = item["epoch"] if item is not None else self._epoch or 0
        await self._tell_gate([tap], [Decision(code=code, for_gate=for_gate, epoch=epoch)])

    def tell(self, item: Row) -> None:
        """Tell the listener of a stock row, unless it knows a newer one. What is free is offered to those who wait."""
        self._show(item)
        if item["waiting"] and item["open"] and item["stocked"] > item["taken"]:
            self._offers_due = True
            if not self._offering:
                self._offering = True
                self._spawn(self._offers())

    def _show(self, item: Row) -> None:
        if item["version"] <= self._told_version:
            return
        self._told_version, self.stocked = item["version"], item["stocked"]
        product = self.product
        self._listener.stock_changed(
            ShowId(product.show_id), VariantId(product.variant_id), stock_of(item), item["version"]
        )
        if item["low_since_ms"] != self._told_low:
            self._told_low = item["low_since_ms"]
            self._listener.stock_low(
                ShowId(product.show_id), VariantId(product.variant_id), self._told_low, item["version"]
            )

    async def ended(self, item: Row, holds: list[tuple[str, int]], *, fenced: bool = False) -> None:
        """Holds (id, units) have ended in the truth, which read `item` then: their units go back to the gate."""
        self.tell(item)
        try:
            await self._gate.release_many(self.product, item["epoch"], holds, fenced=fenced)
        except GateDown:
            self.distrust()
        self._sold_out.forget()

    async def adjusted(
        self, item: Row, *, units: int = 0, is_open: bool | None = None, waiting: bool | None = None
    ) -> None:
        """The truth was restocked, or opened or closed, or the waitlist has its first entry, or none any more."""
        self.tell(item)
        try:
            await self._gate.adjust(self.product, item["epoch"], units=units, is_open=is_open, waiting=waiting)
        except GateDown:
            self.distrust()
        self._sold_out.forget()

    async def _offers(self) -> None:
        try:
            while self._offers_due:
                self._offers_due = await self._offer()
        finally:
            self._offering = False

    async def _offer(self) -> bool:
        """Turn what is free into holds of those who wait, in order; their pages ask for them. True: there is more."""
        self._offers_due = False
        names = (self.product.show_id, self.product.variant_id)
        done = await self._truth.one(
            "SELECT * FROM offer_waiting($1, $2, $3, $4)", *names, self._offer_ms, OFFERS_AT_ONCE
        )
        item, offers = done["item"], [(tap_of(hold), Code.HELD) for hold in done["made"]]
        self._counts.offers += len(offers)
        try:
            # First these, while the gate still lets nobody else in: their units are off the shelf.
            if offers:
                await self._gate.settle_many(self.product, item["epoch"], offers)
            if not item["waiting"]:
                await self._gate.adjust(self.product, item["epoch"], waiting=False)
        except GateDown:
            self.distrust()
        self._show(item)
        if self._buyers:
            for hold in done["made"]:
                self._buyers.offered(hold_of(hold))
        return self._offers_due or len(offers) == OFFERS_AT_ONCE

    def distrust(self) -> None:
        """The gate may have missed something: leave it until it is rebuilt."""
        self._epoch = None
        self._must_rebuild = True
        self._sold_out.forget()

    def _trusts_gate(self) -> bool:
        if self._gate.is_down:
            return False
        if self._epoch is None and not self._refreshing:
            self._refreshing = True
            self._spawn(self.refresh())
        return self._epoch is not None

    async def _ask_gate(self, taps: list[Tap]) -> list[Decision | None]:
        """The refusals; None for each tap that goes on to the truth."""
        asked_ms = _now_ms()
        verdict = await self._verdict(taps)
        if verdict is None:
            self._counts.straight_to_truth += len(taps)
            return [None] * len(taps)
        self._learn(verdict, asked_ms)
        if verdict.all_admitted:
            return [None] * len(taps)
        codes = verdict.codes
        self._counts.gate_refused += sum(code < 0 for code in codes)
        for tap, code in zip(taps, codes, strict=True):
            if code is Code.SOLD_OUT:
                self._refusals.remember(tap, self.product.variant_id, asked_ms)
            elif code is Code.KNOWN:
                self._known.add(tap.hold_id)
        return [Decision(code=code, for_gate=code) if code < 0 else None for code in codes]

    async def _verdict(self, taps: list[Tap]) -> Verdict | None:
        epoch = self._epoch
        if epoch is None:
            return None
        try:
            verdict = await self._gate.reserve_many(self.product, epoch, taps)
        except GateDown:
            self.distrust()
            return None
        if verdict is None and epoch == self._epoch:
            self._epoch = None
        return verdict

    def _learn(self, verdict: Verdict, asked_ms: int) -> None:
        """Sold out: from now on this process knows it by itself. While it learns, taps go to the gate as before."""
        if verdict.sold_out_turn is None:
            self._sold_out.forget()
            return
        is_known = self._sold_out.confirm(verdict.epoch, verdict.sold_out_turn, asked_ms=asked_ms)
        if not is_known and not self._learning:
            self._learning = True
            self._spawn(self._ask_sold_out())

    async def _ask_sold_out(self) -> None:
        asked_ms, news = _now_ms(), self._sold_out.news
        try:
            self._sold_out.learn(await self._gate.sold_out(self.product), asked_ms=asked_ms, news=news)
        except GateDown:
            self.distrust()
        finally:
            self._learning = False

    def _can_write_down(self) -> bool:
        return self._confirming.is_possible and self._price is not None and self._trusts_gate()

    async def _ask_truth(self, taps: list[Tap]) -> Sequence[Decision]:
        """What the truth says; while it says nothing, or earlier taps still wait for it, they are written down."""
        try:
            return await self._ask_or_write(taps)
        finally:
            if self._known:
                self._known.difference_update(tap.hold_id for tap in taps)

    async def _ask_or_write(self, taps: list[Tap]) -> Sequence[Decision]:
        if self._confirming.waits(self.product):
            return await self._write_down(taps)
        try:
            return await self.decide(taps)
        except Unavailable:
            if not self._can_write_down():
                raise
            return await self._write_down(taps)

    async def _write_down(self, taps: list[Tap]) -> list[Decision]:
        if self._price is None:
            raise Unavailable("Stock cannot be confirmed right now", retry_after_ms=1000)
        # What the gate knew before, and this process did not write down, may be theirs already: no word is better.
        fresh = [tap for tap in taps if tap.hold_id not in self._known or self._confirming.has(tap.hold_id)]
        holds = await self._confirming.take(self.product, fresh, self._price)
        told = {hold.hold_id: Decision(code=Code.CONFIRMING, hold=hold, for_gate=Code.CONFIRMING) for hold in holds}
        return [told.get(HoldId(tap.hold_id), _UNDECIDED) for tap in taps]

    async def say(self, decided: Sequence[tuple[Tap, Decision]]) -> None:
        """See ports.Line."""
        await self._tell_gate([tap for tap, _ in decided], [decision for _, decision in decided])

    async def decide(self, taps: list[Tap]) -> Sequence[Decision]:
        """What the truth says of these; see ports.Line."""
        batch = await self._truth.reserve_many(self.product, taps, self._hold_ms)
        self._counts.truth_decided += len(taps)
        self._counts.holds += sum(decision.code is Code.HELD for decision in batch.decisions)
        if batch.item is not None:
            self.tell(batch.item)
        if first := next((decision.hold for decision in batch.decisions if decision.hold), None):
            self._price = first.unit_price
        return batch.decisions

    async def _tell_gate(self, taps: list[Tap], decisions: Sequence[Decision | None]) -> None:
        said = [(tap, each) for tap, each in zip(taps, decisions, strict=True) if each and each.epoch]
        if not said:
            return  # nothing was decided, or there is no such product
        decided, epoch = [(tap, each.for_gate) for tap, each in said], said[0][1].epoch
        try:
            await self._gate.settle_many(self.product, epoch, decided)
        except GateDown:
            self.distrust()
        if any(code is not Code.HELD for _, code in decided):
            self._sold_out.forget()

    async def refresh(self) -> None:
        """Trust the gate again: as it is if it agrees with the truth, else rebuilt under a new epoch."""
        self._refreshing = True
        try:
            async with self._truth.rebuilding(self.product) as rebuilding:
                epoch = await self._agree(rebuilding)
            # A message may have been lost while this ended: then the next round builds once more.
            self._epoch = None if self._must_rebuild else epoch
            self._drift_rounds = 0
        except (GateDown, ShowfloorError) as error:
            log.info("gate_not_refreshed", variant=self.product.variant_id, error=type(error).__name__)
        finally:
            self._refreshing = False

    async def _agree(self, rebuilding: Rebuilding) -> int | None:
        item = await rebuilding.stock()
        if item is None:
            return None
        self.stocked = item["stocked"]
        self._price = Money(amount=item["price_amount"], currency=item["currency"])
        look = await self._gate.look(self.product)
        sums_agree = not self._must_rebuild and look.epoch == item["epoch"] and drift(look, item) == 0
        # They may agree by chance, where a process died that should have rebuilt this gate.
        if sums_agree and not await self._counts_others(item, rebuilding.holds):
            epoch: int = item["epoch"]
            return epoch
        self._must_rebuild = False
        try:
            return await self._rebuild(rebuilding)
        except BaseException:
            self._must_rebuild = True
            raise

    async def _rebuild(self, rebuilding: Rebuilding) -> int:
        item = await rebuilding.bump()
        await self._gate.rebuild(
            self.product,
            epoch=item["epoch"],
            available=item["stocked"] - item["taken"],
            is_open=item["open"],
            waiting=item["waiting"] > 0,
            limit=item["limit_per_buyer"],
            holds=await rebuilding.holds(),
            buyers=await rebuilding.buyers(),
        )
        self._counts.rebuilds += 1
        log.info("gate_rebuilt", show=self.product.show_id, variant=self.product.variant_id, epoch=item["epoch"])
        epoch: int = item["epoch"]
        return epoch

    async def reconcile(self, item: Row, *, orphans_before_ms: int) -> None:
        """Compare the gate with the truth's `item`: free what nobody committed, rebuild what stays apart.

        What is still pending in the next round is decided perhaps, and the gate was not told: it is asked about.
        """
        self._price = Money(amount=item["price_amount"], currency=item["currency"])
        if self._epoch is None:
            if not self._refreshing:
                await self.refresh()
            return
        try:
            look = await self._gate.look(self.product)
            # One from the future was admitted by a clock that was set back since; to ask about it harms nobody.
            until_ms = orphans_before_ms + CLOCKS_APART_MS
            await self._free_orphans([p for p in look.pending if not orphans_before_ms < p[1] <= until_ms])
            before, self._pending_before = self._pending_before, {hold_id: n for hold_id, _, n in look.pending}
            lasting = {hold_id: n for hold_id, n in self._pending_before.items() if hold_id in before}
            await self._tell_decided(item["epoch"], lasting)
            await self._free_fenced(item["epoch"], lasting)
        except GateDown:
            return
        await self._weigh(look, item)

    async def _free_orphans(self, orphans: list[tuple[str, int, int]]) -> None:
        if orphans:
            await self.give_up(orphans)

    async def give_up(self, orphans: list[tuple[str, int, int]]) -> list[str]:
        """See ports.Line."""
        known, item = await self._truth.fence(self.product, [hold_id for hold_id, _, _ in orphans])
        lost = [(hold_id, units) for (hold_id, _, units), is_hold in zip(orphans, known, strict=True) if not is_hold]
        found = [hold_id for (hold_id, _, _), is_hold in zip(orphans, known, strict=True) if is_hold]
        self._counts.orphans += sum(units for _, units in lost)
        if lost and not await self._gate.release_many(self.product, item["epoch"], lost, fenced=True):
            raise GateDown  # it was rebuilt meanwhile, and still has them as pending: said again in the next round
        # Committed, and the process died before it could say so: no longer pending.
        units = {hold_id: n for hold_id, _, n in orphans}
        await self._tell_decided(item["epoch"], {hold_id: units[hold_id] for hold_id in found})
        return found

    async def _tell_decided(self, epoch: int, pending: dict[str, int]) -> None:
        """Tell the gate of those of `pending` (hold id -> units) that the truth knows."""
        if not pending:
            return
        rows = await self._truth.fetch(sql("holds_by_id"), list(pending))
        decided = [self._on_pending(row, pending[row["hold_id"]]) for row in rows]
        if decided:
            await self._gate.settle_many(self.product, epoch, decided)

    async def _free_fenced(self, epoch: int, pending: dict[str, int]) -> None:
        """Give back those of `pending` that are fenced: a gate that was rolled back has forgotten that they ended."""
        rows = await self._truth.fetch(sql("fenced"), list(pending)) if pending else []
        if rows:
            ended = [(row["hold_id"], pending[row["hold_id"]]) for row in rows]
            await self._gate.release_many(self.product, epoch, ended, fenced=True)

    def _on_pending(self, row: Row, units: int) -> tuple[Tap, Code]:
        """What became of so many units under this id: one id may have been used for another wish before."""
        same = (row["show_id"], row["variant_id"], row["quantity"]) == (*astuple(self.product), units)
        return replace(tap_of(row), quantity=units), gate_code_of(row) if same else Code.MISMATCH

    async def let_go(self, hold_id: str, units: int) -> None:
        """See ports.Line."""
        row = await self._truth.one("SELECT * FROM release_hold($1)", hold_id)
        if row["code"] == "ok":
            self._counts.released += 1
            await self.ended(row["items"][0], [(hold_id, units)])

    async def _weigh(self, look: Look, item: Row) -> None:
        if look.epoch == item["epoch"] and look.waiting is not (item["waiting"] > 0):
            await self.adjusted(item, waiting=item["waiting"] > 0)  # weighed again in the next round
        apart = drift(look, item)
        epoch_differs = look.epoch != item["epoch"]
        if apart == 0 and not epoch_differs and not await self._counts_others_for_long(item):
            self._drift_rounds = 0
            return
        now = await self._truth.one(sql("stock"), self.product.show_id, self.product.variant_id)
        moved = now["epoch"] != item["epoch"] if epoch_differs else now["version"] != item["version"]
        if moved:
            return  # it sells this very moment, or was rebuilt: weighed again in the next round
        self._drift_rounds += 1
        if self._drift_rounds < DRIFT_ROUNDS and not epoch_differs:
            return
        self._counts.drift_units += abs(apart)
        log.warning("gate_and_truth_apart", variant=self.product.variant_id, units=apart, epoch=look.epoch)
        self.distrust()
        await self.refresh()

    async def _counts_others_for_long(self, item: Row) -> bool:
        """The same once for each state of the stock that outlasts a round: in a rush only the sums are weighed."""
        lasts, self._weighed_version = self._weighed_version == item["version"], item["version"]
        if not lasts or self._compared_version == item["version"]:
            return False
        try:
            differs = await self._counts_others(item, self._holds_out)
        except GateDown:
            return False
        if not differs:
            self._compared_version = item["version"]
        return differs

    async def _holds_out(self) -> list[tuple[str, str, int]]:
        rows = await self._truth.fetch(sql("holds_out"), self.product.show_id, self.product.variant_id)
        return [tuple(row) for row in rows]

    async def _counts_others(self, item: Row, read: Callable[[], Awaitable[list[tuple[str, str, int]]]]) -> bool:
        """Whether the gate counts other holds than `read` finds in the truth: (id, buyer, units). Their sums are equal.

        The gate first: it counts them, and where there are too many to be compared none is read.
        """
        gate = await self._gate.holds(self.product)
        if gate is None or gate.epoch != item["epoch"]:
            return False
        differ = single_holds_apart(gate.units, gate.pending, {hold_id: units for hold_id, _, units in await read()})
        if differ:
            log.info("gate_counts_other_holds", variant=self.product.variant_id, holds=len(differ))
        return bool(differ)


def drift(look: Look, item: Row) -> int:
    """Units that the gate offers beyond the truth; negative: units it hides. Pending ones count as offered."""
    available: int = item["stocked"] - item["taken"]
    return look.available + look.pending_units - available


def _now_ms() -> int:
    return time.monotonic_ns() // 1_000_000
