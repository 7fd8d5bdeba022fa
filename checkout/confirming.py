"""The sale while Postgres does not answer: "confirming", never "yours".

Owns: the undecided taps of this process and their journal.
Invariant: an entry, and its refusal, is on disk before its buyer hears of it; nothing is authorized for one; the truth
decides them in order and before any later tap on the same product; a unit goes back only after its hold id was fenced.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import structlog

from checkout.core.confirming import BOUND_MS, MOST, Entry, Undecided
from checkout.core.taps import Code, Tap
from checkout.counts import Counts
from checkout.gate import Gate, GateDown, Product
from checkout.journal import Journal
from checkout.ports import Line
from checkout.truth import Decision
from schema.errors import Unavailable
from schema.hold import Hold, HoldState
from schema.ids import HoldId, ShowId, VariantId
from schema.money import Money

log = structlog.get_logger()

REPLAY_MOST = 500
SHARE_MS = 2 * BOUND_MS
_HELD = frozenset({Code.HELD, Code.KNOWN})


class Confirming:
    """What one desk has still to confirm. Without a path there is none: a tap is then Unavailable, as it was."""

    def __init__(
        self,
        path: Path | None,
        *,
        gate: Gate,
        counts: Counts,
        clock: Callable[[], int],
        line_of: Callable[[Product], Line],
    ) -> None:
        self._journal = Journal(path) if path else None
        self._gate, self._counts, self._clock, self._line_of = gate, counts, clock, line_of
        self._undecided = Undecided()

    def open(self) -> None:
        """Take up what a dead process of this name has left."""
        if self._journal is None:
            return
        try:
            self._undecided.add(self._journal.open())
            for hold_id in self._journal.given_back:
                self._undecided.refuse(hold_id, HoldState.RELEASED)
            for hold_id in self._journal.refused:
                self._undecided.refuse(hold_id, HoldState.EXPIRED)
        except OSError as error:
            log.error("journal_not_opened", error=repr(error)[:200])
        if len(self._undecided):
            log.info("journal_taken_up", entries=len(self._undecided))

    def close(self) -> None:
        """Leave the rest to the next one."""
        if self._journal:
            self._journal.close()

    @property
    def is_possible(self) -> bool:
        """True if taps can be written down."""
        return self._journal is not None and self._journal.is_open and len(self._undecided) < MOST

    @property
    def is_needed(self) -> bool:
        """True while any tap waits for the truth."""
        return len(self._undecided) > 0

    def waits(self, product: Product) -> bool:
        """True while taps on this product wait for the truth: later ones stand behind them."""
        return len(self._undecided) > 0 and self._undecided.waits(product.show_id, product.variant_id)

    def has(self, hold_id: str) -> bool:
        """True if this process has written it down."""
        return hold_id in self._undecided

    async def take(self, product: Product, taps: Sequence[Tap], price: Money) -> list[Hold]:
        """Write down what the gate admitted, once; what each buyer is told. Raises Unavailable: nothing was."""
        if self._journal is None or not self.is_possible:
            raise Unavailable("Stock cannot be confirmed right now", retry_after_ms=1000)
        now_ms = self._clock()
        fresh = {tap.hold_id: tap for tap in reversed(taps) if tap.hold_id not in self._undecided}
        entries = [_entry(product, tap, price, now_ms) for tap in reversed(fresh.values())]
        if entries:
            await self._journal.append(entries)
            self._undecided.add(entries)
            self._counts.confirming += len(entries)
            await self._share(product, entries)
        return [self._undecided.hold(tap.hold_id) or _entry(product, tap, price, now_ms).hold() for tap in taps]

    async def _share(self, product: Product, entries: Sequence[Entry]) -> None:
        """Others leave these units alone for as long, and can tell their buyers."""
        try:
            await self._gate.confirm_many(product, [(each.tap.hold_id, each.until_ms) for each in entries])
            await self._gate.share([each.hold() for each in entries], SHARE_MS)
        except GateDown:
            log.info("confirming_not_shared", holds=len(entries))

    def hold(self, hold_id: str) -> Hold | None:
        """What the buyer is shown of a hold that this process has not decided yet."""
        return self._undecided.hold(hold_id)

    async def elsewhere(self, hold_id: HoldId) -> Hold | None:
        """The same, where Postgres knows nothing of it: another process may."""
        if self._journal is None:
            return None
        try:
            return await self._gate.shared(hold_id)
        except GateDown:
            return None

    async def give_back(self, hold_id: str) -> bool:
        """The buyer does not want it any more. False if it is not one of these, or not any more.

        Raises Unavailable: then nothing has changed.
        """
        if self._journal is None or hold_id not in self._undecided:
            return False
        await self._journal.give_back(hold_id)
        self._undecided.refuse(hold_id, HoldState.RELEASED)
        return hold_id in self._undecided

    async def replay(self) -> None:
        """Tell the truth, in order; fence what took too long. What fails is left for the next round."""
        if not len(self._undecided):
            return
        await self._refuse_due()
        for show_id, variant_id in self._undecided.products():
            try:
                await self._replay(Product(show_id, variant_id))
            except (Unavailable, GateDown):
                return

    async def _refuse_due(self) -> None:
        if not (due := self._undecided.due(self._clock())):
            return
        # Where it cannot be written, their time can be read: only a clock that is set back would make them wait again.
        with suppress(Unavailable):
            await self._write_refused(due)
        self._undecided.refuse_all(due)
        await self._tell_no(due)

    async def _replay(self, product: Product) -> None:
        line, names = self._line_of(product), (ShowId(product.show_id), VariantId(product.variant_id))
        while entries := self._undecided.to_replay(names, self._clock(), REPLAY_MOST):
            decided = list(zip(entries, await line.decide([entry.tap for entry in entries]), strict=True))
            await self._confirm(line, [each for each in decided if each[1].code in _HELD])
            await self._refuse(line, [each for each in decided if each[1].code not in _HELD])
        if entries := self._undecided.to_fence(names):
            found = await line.give_up([(entry.tap.hold_id, entry.until_ms, entry.tap.quantity) for entry in entries])
            await self._let_go(line, [entry for entry in entries if entry.tap.hold_id in found])
            await self._end(entries)

    async def _confirm(self, line: Line, held: Sequence[tuple[Entry, Decision]]) -> None:
        entries = [entry for entry, _ in held]
        self._counts.confirmed += len(held)
        await line.say([(entry.tap, decision) for entry, decision in held])
        await self._let_go(line, entries)
        await self._end(entries)

    async def _refuse(self, line: Line, refused: Sequence[tuple[Entry, Decision]]) -> None:
        """The gate says no to a second try, and it is told after the disk: the next desk must not say yes.

        They are fenced as the others that were told no: the gate may not have heard, and an earlier question that got
        no answer may be decided yet.
        """
        if not refused:
            return
        entries = [entry for entry, _ in refused]
        await self._write_refused(entries)
        self._undecided.refuse_all(entries)
        await line.say([(entry.tap, decision) for entry, decision in refused])
        await self._tell_no(entries)

    async def _write_refused(self, entries: Sequence[Entry]) -> None:
        assert self._journal
        await self._journal.refuse([entry.tap.hold_id for entry in entries])

    async def _let_go(self, line: Line, entries: Sequence[Entry]) -> None:
        """What its buyer gave back while the truth was being asked, or what an earlier question has made a hold of.

        Nothing may come between the last look at them and their end.
        """
        done: set[str] = set()
        while unwanted := [each.tap for each in entries if self._is_unwanted(each.tap.hold_id, done)]:
            for tap in unwanted:
                await line.let_go(tap.hold_id, tap.quantity)
                done.add(tap.hold_id)

    def _is_unwanted(self, hold_id: str, done: set[str]) -> bool:
        return hold_id not in done and self._undecided.is_given_back(hold_id)

    async def _end(self, entries: Sequence[Entry]) -> None:
        if not entries:
            return
        assert self._journal
        hold_ids = [entry.tap.hold_id for entry in entries]
        self._undecided.end(hold_ids)
        await self._journal.end(hold_ids, nothing_left=not len(self._undecided))

    async def _tell_no(self, entries: Sequence[Entry]) -> None:
        """What was said elsewhere of these is no more; of those the truth has, it need not be: there is a row now."""
        self._counts.unconfirmed += len(entries)
        try:
            await self._gate.share([entry.hold(HoldState.EXPIRED) for entry in entries], SHARE_MS)
        except GateDown:
            log.info("refusals_not_shared", holds=len(entries))


def _entry(product: Product, tap: Tap, price: Money, now_ms: int) -> Entry:
    return Entry(
        tap=tap,
        show_id=ShowId(product.show_id),
        variant_id=VariantId(product.variant_id),
        price=price,
        at_ms=now_ms,
        until_ms=now_ms + BOUND_MS,
    )
