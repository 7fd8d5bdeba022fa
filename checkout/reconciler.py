"""Reconciliation with the payment provider: its record against ours, at the start and on a timer.

Owns: the list of differences. What the outbox and the poll are still at is theirs; this looks at what stands still.
Invariant: a difference is acted on only when both sides, read once more (ours before and after theirs), still disagree
in the same way; every remedy is one that may be repeated.
"""

from collections.abc import AsyncIterator, Callable

import structlog

from checkout.core.differences import REMEDIES, Difference, Ours, Remedy, at_stake, compare
from checkout.counts import Counts
from checkout.outbox import give_back_stray
from checkout.payments import Payment, PaymentProvider, ProviderFailed, ProviderRefused
from checkout.rows import Row
from checkout.truth import Truth, sql
from schema.money import Money
from schema.payment import PaymentDifference

log = structlog.get_logger()

BACK_MS = 25 * 3_600_000
"""How far back a look goes. What is still authorized here is looked at however old it is."""
GRACE_MS = 60_000
"""Younger payments are left alone: what belongs to them may be on its way."""
AT_ONCE = 100
ALONE_MOST = 500
"""So many payments at most are asked for one by one in a round: those that the provider's list does not have."""


class Reconciler:
    """Of one desk. `outbox_has_work` is called when a capture has to be said again."""

    def __init__(
        self,
        truth: Truth,
        provider: PaymentProvider,
        counts: Counts,
        clock: Callable[[], int],
        outbox_has_work: Callable[[], None],
    ) -> None:
        self._truth, self._provider, self._counts, self._clock = truth, provider, counts, clock
        self._outbox_has_work = outbox_has_work
        self.grace_ms = GRACE_MS

    async def look(self) -> None:
        """One round. Raises ProviderFailed where the provider's record could not be read to its end."""
        begun_ms, until_ms = self._clock(), self._clock() - self.grace_ms
        seen: set[str] = set()
        async for page in _pages(self._provider.since(begun_ms - BACK_MS)):
            seen.update(payment.payment_id for payment in page)
            await self._compare({payment.payment_id: payment for payment in page if payment.created_at_ms <= until_ms})
        rows = await self._truth.fetch(sql("payments_to_ask"), self._provider.name, begun_ms - BACK_MS, until_ms)
        alone = [row["payment_id"] for row in rows if row["payment_id"] not in seen]
        for payment_id in alone[:ALONE_MOST]:
            await self._compare({payment_id: await self._provider.retrieve(payment_id)})
        if len(alone) <= ALONE_MOST:
            await self._truth.fetch(sql("differences_settled"), self._provider.name, begun_ms)

    async def open(self, show_id: str, *, after: tuple[int, str], limit: int) -> list[PaymentDifference]:
        """What is apart at the moment in a show, or belongs to none that we know; the oldest first."""
        rows = await self._truth.fetch(sql("differences"), show_id, *after, limit)
        return [_difference_of(row) for row in rows]

    # -- inside ------------------------------------------------------------------------------------------------------

    async def _compare(self, theirs: dict[str, Payment | None]) -> None:
        if not theirs:
            return
        ours = await self._ours(theirs)
        for payment_id, payment in theirs.items():
            if compare(_ours_of(ours[payment_id]), payment):
                await self._confirm(payment_id, payment)

    async def _ours(self, theirs: dict[str, Payment | None]) -> dict[str, Row]:
        references = [payment.reference if payment else "" for payment in theirs.values()]
        rows = await self._truth.fetch(sql("payments_here"), list(theirs), references)
        return {row["payment_id"]: row for row in rows}

    async def _confirm(self, payment_id: str, listed: Payment | None) -> None:
        """Read both sides again: what moved meanwhile is no difference."""
        before = (await self._ours({payment_id: listed}))[payment_id]
        try:
            theirs = await self._provider.retrieve(payment_id)
        except ProviderRefused:
            theirs = listed
        here = (await self._ours({payment_id: listed}))[payment_id]
        kind = compare(_ours_of(here), theirs or listed)
        if kind is None or dict(here) != dict(before):
            return
        await self._record(kind, here, theirs or listed)
        try:
            await self._mend(REMEDIES[kind], here, theirs or listed)
        except (ProviderFailed, ProviderRefused) as error:
            log.warning("difference_not_mended", payment=payment_id, kind=kind, error=str(error))

    async def _record(self, kind: Difference, here: Row, theirs: Payment | None) -> None:
        stake = at_stake(kind, _ours_of(here), theirs)
        currency = here["currency"] or (theirs.currency if theirs else "")
        state = theirs.state if theirs else None
        names = (here["payment_id"], kind, self._provider.name, here["show_id"], here["order_id"])
        found = await self._truth.one(
            sql("difference_found"), *names, here["state"], state, stake, currency, self._clock()
        )
        if found["is_new"]:
            self._counts.payment_differences += 1
            log.error("payment_difference", payment=here["payment_id"], kind=kind, remedy=REMEDIES[kind], amount=stake)

    async def _mend(self, remedy: Remedy, here: Row, theirs: Payment | None) -> None:
        payment_id = here["payment_id"]
        match remedy:
            case Remedy.LET_GO:
                await self._provider.cancel(payment_id)
            case Remedy.GIVE_BACK:
                assert theirs is not None
                given = await give_back_stray(self._provider, payment_id, theirs.currency)
                self._counts.stray_captures += given > 0
            case Remedy.CAPTURE:
                await self._truth.fetch("SELECT * FROM say_capture_again($1)", payment_id)
                self._outbox_has_work()


def _ours_of(row: Row) -> Ours:
    return Ours(
        state=row["state"],
        is_owed=bool(row["is_owed"]),
        amount=row["amount"] or 0,
        refunded=row["refunded"] or 0,
        is_moving=bool(row["is_moving"]),
    )


def _difference_of(row: Row) -> PaymentDifference:
    return PaymentDifference(
        payment_id=row["payment_id"],
        kind=row["kind"],
        remedy=REMEDIES[Difference(row["kind"])],
        provider=row["provider"],
        order_id=row["order_id"],
        here=row["ours"] or "",
        there=row["theirs"] or "",
        amount=Money(amount=row["amount"], currency=row["currency"] or ""),
        found_at_ms=row["found_at_ms"],
        seen_at_ms=row["seen_at_ms"],
    )


async def _pages(payments: AsyncIterator[Payment]) -> AsyncIterator[list[Payment]]:
    page: list[Payment] = []
    async for payment in payments:
        page.append(payment)
        if len(page) == AT_ONCE:
            yield page
            page = []
    if page:
        yield page
