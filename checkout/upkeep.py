"""Keeps stock true while a desk is open: what has lapsed goes back, what drifted apart is put right.

Owns: the rounds over holds, gates and fences. Those over payments are the till's and the outbox's.
Invariant: each round is safe in every desk at once; one of several desks does it (lead.py).
"""

from collections.abc import Awaitable, Callable

from checkout.confirming import Confirming
from checkout.counts import Counts
from checkout.gate import Product
from checkout.lead import Lead
from checkout.shelves import Shelves
from checkout.truth import Truth, sql

EXPIRE_AT_ONCE = 500


class Upkeep:
    """`lead`: whether this desk does what one of several has to; None: it is the only one.

    A unit that the gate admitted `orphan_ms` ago and nobody committed is fenced and given back.
    """

    def __init__(
        self,
        truth: Truth,
        shelves: Shelves,
        confirming: Confirming,
        counts: Counts,
        *,
        lead: Lead | None,
        clock: Callable[[], int],
        orphan_ms: int,
    ) -> None:
        self._truth, self._shelves, self._confirming, self._counts = truth, shelves, confirming, counts
        self._lead, self._clock, self._orphan_ms = lead, clock, orphan_ms
        self._retries_seen = 0

    async def leads(self) -> bool:
        """True if this desk looks after what one of several has to."""
        return self._lead is None or await self._lead.is_mine()

    def if_leading(self, act: Callable[[], Awaitable[None]]) -> Callable[[], Awaitable[None]]:
        """The same, done by the desk that leads."""
        if self._lead is None:
            return act

        async def led() -> None:
            if await self.leads():
                await act()

        return led

    async def recover(self) -> None:
        """What a dead desk left: units nobody committed, payments nobody heard of, words not said."""
        if await self.leads():
            await self._truth.fetch(sql("outbox_unpark"))
        for shelf in await self._shelves.all_on_sale():
            await shelf.refresh()

    async def sweep(self) -> None:
        """Expire what is due, by Postgres's clock."""
        for row in await self._truth.fetch(sql("due")):
            product = Product(row["show_id"], row["variant_id"])
            while await self._expire(product) == EXPIRE_AT_ONCE:
                pass  # more of them are due

    async def _expire(self, product: Product) -> int:
        done = await self._truth.one(
            "SELECT * FROM expire_holds($1, $2, $3)", product.show_id, product.variant_id, EXPIRE_AT_ONCE
        )
        expired: list[str] = done["expired"] or []
        if expired:
            self._counts.expired += len(expired)
            ended = await self._truth.fetch(sql("holds_by_id"), expired)
            await self._shelves.of(product).ended(done["item"], [(hold["hold_id"], hold["quantity"]) for hold in ended])
        return len(expired)

    async def tidy(self) -> None:
        """Idempotency keys are kept for good; fences need not be."""
        await self._truth.fetch(sql("old_fences"))

    async def doubt(self) -> None:
        """Build the gate anew after a call was repeated.

        The first one had perhaps happened, and nobody told the gate. Two such silences may leave its sums right and its
        holds wrong, which no reconciliation sees.
        """
        if self._truth.is_down or self._confirming.is_needed:
            return  # nothing can be built yet, and what the gate admits meanwhile is written down (confirming.py)
        retries = self._counts.truth_retries
        if retries == self._retries_seen or not await self._truth.answers():
            return  # a shelf that trusts no gate writes no tap down: while the truth is silent it is left its gate
        self._retries_seen = retries
        for shelf in self._shelves.all():
            shelf.distrust()

    async def reconcile(self) -> None:
        """Compare each gate with the truth."""
        before_ms = self._clock() - self._orphan_ms
        if self._lead:
            await self._shelves.all_on_sale()
        for shelf in self._shelves.all():
            item = await self._truth.one(sql("stock"), shelf.product.show_id, shelf.product.variant_id)
            if item:
                shelf.tell(item)
                await shelf.reconcile(item, orphans_before_ms=before_ms)
