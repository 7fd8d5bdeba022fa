"""The desk: everything one can do with stock, holds and orders.

Owns: the shelves, the till, the outbox, and the tasks that keep them true: expiry, undecided payments, reconciliation.
Invariant: "yours" is said only after Postgres committed it; whatever a dead desk left behind, the next one finishes.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Coroutine, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import asyncpg
import structlog
from msgspec import Struct
from redis.asyncio import Redis

from checkout.baskets import Baskets
from checkout.bundles import Bundles
from checkout.charges import ChargesBook
from checkout.clock import wall_ms
from checkout.confirming import Confirming
from checkout.core.idempotency import derived_id
from checkout.core.reservation import HoldEvent, move
from checkout.core.soldout import Refusals
from checkout.core.taps import Code, Tap, refusal
from checkout.counts import Counts
from checkout.coupons import Coupons
from checkout.flashes import Flashes
from checkout.gate import Gate, Product, key_of
from checkout.givebacks import give_back
from checkout.lead import Lead
from checkout.news import News
from checkout.outbox import Outbox, refund_id_for
from checkout.payments import PaymentProvider
from checkout.ports import StockListener
from checkout.reconciler import Reconciler
from checkout.rows import hold_of, order_of, stock_of, totals_of
from checkout.shelf import Shelf
from checkout.stockroom import Stockroom
from checkout.till import Till
from checkout.truth import Truth, sql
from checkout.waitlist import Waitlist, owner
from schema.errors import (
    Conflict,
    HoldConfirming,
    IdempotencyKeyMissing,
    IdempotencyMismatch,
    Invalid,
    NotFound,
    Unavailable,
)
from schema.ids import HoldId, OrderId, ShowId, VariantId, new_id
from schema.order import (
    BasketPayRequest,
    Hold,
    HoldPage,
    HoldRequest,
    HoldState,
    Order,
    OrderPage,
    OutboxEntry,
    OutboxPage,
    PayingBasket,
    PaymentDifferencePage,
    PaymentStep,
    PayRequest,
    Quote,
    QuoteRequest,
    Refund,
    RefundLine,
    ShowTotals,
)
from schema.pages import from_cursor, to_cursor
from schema.people import Principal
from schema.show import Stock

log = structlog.get_logger()

FENCES_IN_A_ROW = 4
EXPIRE_AT_ONCE = 500
PAGE_MOST = 200
CLOSE_S = 5.0
CANCEL_S = 0.5
CANCELS_MOST = 10


class Pace(Struct, frozen=True, kw_only=True):
    """How often the desk looks after things, in seconds."""

    sweep_s: float = 0.2
    confirm_s: float = 0.25
    poll_s: float = 0.5
    outbox_s: float = 1.0
    """At the latest; an order wakes the outbox at once."""
    reconcile_s: float = 2.0
    tidy_s: float = 3600.0
    payments_s: float = 60.0
    """The provider's record against ours; also at the start."""
    orphan_ms: int = 5_000
    """A unit that the gate admitted this long ago and nobody committed is fenced and given back."""


class Desk:
    """Use as `async with Desk(...) as desk`. Every method raises Unavailable while Postgres does not answer."""

    def __init__(
        self,
        pool: asyncpg.Pool,
        redis: Redis,
        provider: PaymentProvider,
        listener: StockListener,
        *,
        hold_ms: int = 300_000,
        offer_ms: int = 120_000,
        clock: Callable[[], int] = wall_ms,
        pace: Pace | None = None,
        scripts: dict[str, str] | None = None,
        lead: Lead | None = None,
        journal: Path | None = None,
    ) -> None:
        """`lead`: for one of several desks, whether it looks after what one of them has to; None: it does.

        `journal`: the file of this desk alone in which taps wait while Postgres does not answer; None: they get 503.
        """
        self.counts = Counts()
        self._lead = lead
        self._listener, self._clock, self._pace = listener, clock, pace or Pace()
        self._hold_ms, self._offer_ms = hold_ms, offer_ms
        self._truth = Truth(pool, self.counts)
        self._gate = Gate(redis, clock=clock, scripts=scripts)
        self._confirming = Confirming(journal, gate=self._gate, counts=self.counts, clock=clock, line_of=self._shelf_of)
        self._provider = provider
        self.provider = provider.name
        self.waitlist = Waitlist(self._truth, self._shelf_of, self.release)
        self.stockroom = Stockroom(self._truth, self._shelf_of)
        self._outbox = Outbox(self._truth, provider, self.counts, self._shelf_of)
        self.bundles = Bundles(self._truth, self._shelf_of, hold_ms)
        self.charges, self.coupons, self.flashes = ChargesBook(self._truth), Coupons(self._truth), Flashes(self._truth)
        self._baskets = Baskets(self._truth, self.charges)
        self._reconciler = Reconciler(self._truth, provider, self.counts, clock, self._outbox.work.set)
        self._till = Till(self._truth, provider, self.counts, self._shelf_of, self._outbox.work.set)
        self._shelves: dict[Product, Shelf] = {}
        self._by_key: dict[str, Shelf] = {}
        self._refusals = Refusals()
        self.news = News(redis, about=self._heard, missed=self._missed)
        self._cold = asyncio.Lock()
        self._works: set[asyncio.Task[None]] = set()
        self._closing = False
        self._keepers: list[asyncio.Task[None]] = []
        self._retries_seen = 0

    async def __aenter__(self) -> Self:
        self._confirming.open()
        await self._recover()
        self._keepers = self._keep()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing = True
        if self._works:
            await asyncio.wait(self._works, timeout=CLOSE_S)
        await self.abandon()

    async def abandon(self) -> None:
        """Stop at once, finishing nothing: what a kill does. The next desk recovers."""
        self._closing = True
        await _end([*self._keepers, *self._works])
        self._confirming.close()
        await self._truth.close()
        if self._lead:
            await self._lead.let_go()

    # -- stock --------------------------------------------------------------------------------------------------

    async def allocate(self, show_id: ShowId, variant_id: VariantId, opening_stock: int) -> Stock:
        """Put a variant's opening stock on the shelf, once. Raises Conflict if it has been."""
        try:
            row = await self._truth.one("SELECT * FROM allocate($1, $2, $3)", show_id, variant_id, opening_stock)
        except asyncpg.ForeignKeyViolationError:
            raise NotFound("This variant is not an item of this show") from None
        if row["code"] == "exists":
            raise Conflict("This variant is on sale in this show already")
        shelf = self._shelf_of(Product(show_id, variant_id))
        shelf.tell(row["item"])
        await shelf.refresh()
        return stock_of(row["item"])

    async def restock(
        self, show_id: ShowId, variant_id: VariantId, quantity: int, *, account_id: str = "", key: str = ""
    ) -> Stock:
        """Units that arrived during the show. With a key, a retry of the same account adds them once.

        Raises NotFound, IdempotencyMismatch.
        """
        restock_id = derived_id("rst", account_id, key) if key else new_id("rst")
        row = await self._truth.one("SELECT * FROM restock($1, $2, $3, $4)", show_id, variant_id, quantity, restock_id)
        if row["code"] == "none":
            raise NotFound("This variant is not on sale in this show")
        if row["code"] == "mismatch":
            raise IdempotencyMismatch
        # A gate that missed the first one (the answer was lost, or its desk died) is found and rebuilt.
        if row["code"] == "ok":
            await self._shelf_of(Product(show_id, variant_id)).adjusted(row["item"], units=quantity)
        return stock_of(row["item"])

    async def set_sales(self, show_id: ShowId, *, open: bool) -> None:  # noqa: A002 - the field's word
        """The kill switch: once it returns, no new hold is taken anywhere. Touches nothing already promised."""
        try:
            items = await self._truth.fetch("SELECT * FROM set_sales($1, $2)", show_id, open)
        except asyncpg.ForeignKeyViolationError:
            raise NotFound("There is no such show") from None
        for item in items:
            await self._shelf_of(Product(show_id, item["variant_id"])).adjusted(item, is_open=open)

    async def stock(self, show_id: ShowId) -> dict[VariantId, Stock]:
        """The stock of every variant of a show."""
        rows = await self._truth.fetch(sql("stock"), show_id, None)
        return {VariantId(row["variant_id"]): stock_of(row) for row in rows}

    async def stock_of(self, show_id: ShowId, variant_id: VariantId) -> Stock:
        """The stock of one variant. Raises NotFound."""
        row = await self._truth.one(sql("stock"), show_id, variant_id)
        if row is None:
            raise NotFound("This variant is not on sale in this show")
        return stock_of(row)

    # -- holds --------------------------------------------------------------------------------------------------

    async def hold(self, principal: Principal, show_id: ShowId, request: HoldRequest, key: str) -> Hold:
        """Units for `hold_ms`, at today's price. The same key gets the same answer, a refusal for a minute or two.

        While Postgres does not answer the hold is in state confirming, and promised to nobody (confirming.py).
        Raises SoldOutError, LimitReached, SalesClosed, NotFound, IdempotencyMismatch.
        """
        if not key:
            raise IdempotencyKeyMissing
        product = Product(show_id, request.variant_id)
        shelf = self._shelves.get(product)
        if shelf is None:
            if await self.bundles.parts(show_id, request.variant_id):
                return await self.bundles.hold(principal, show_id, request, key)
            shelf = await self._shelf_on_sale(product)
        for attempt in range(FENCES_IN_A_ROW):
            tap = Tap(
                hold_id=derived_id("hold", principal.account_id, show_id, key, attempt),
                buyer_id=principal.account_id,
                buyer_name=principal.name.replace("\0", ""),  # one of these would fail its whole batch
                quantity=request.quantity,
                price_seen=request.unit_price_amount,
            )
            decision = await shelf.take(tap)
            if decision.code is Code.HELD and decision.hold is not None:
                return decision.hold
            if decision.code is Code.FENCED:
                continue  # an earlier try with this key was given up: it got 503, and this is its retry
            if error := refusal(decision.code):
                raise error
            hold = decision.hold
            assert hold is not None
            if decision.code is Code.CONFIRMING and hold.state is not HoldState.CONFIRMING:
                raise Unavailable("It could not be confirmed in time", retry_after_ms=1000)
            return hold
        raise Unavailable("This key failed too often; take another", retry_after_ms=1000)

    async def get_hold(self, principal: Principal, hold_id: HoldId) -> Hold:
        """A hold of one's own; an operator sees all. One that is not confirmed yet is no row. Raises NotFound."""
        if waiting := self._confirming.hold(hold_id):
            return _seen_by(principal, waiting)
        try:
            row = await self._truth.one(sql("hold"), hold_id, *owner(principal))
        except Unavailable:
            if waiting := await self._confirming.elsewhere(hold_id):
                return _seen_by(principal, waiting)
            raise
        if row is not None:
            return await self.bundles.whole(hold_of(row))
        if waiting := await self._confirming.elsewhere(hold_id):
            return _seen_by(principal, waiting)
        raise NotFound("There is no such hold")

    async def holds(self, show_id: ShowId, *, cursor: str | None = None, limit: int = 50) -> HoldPage:
        """A show's open holds, oldest first."""
        at_ms, hold_id = from_cursor(cursor, tuple[int, str]) or (0, "")
        limit = min(max(limit, 1), PAGE_MOST)
        rows = await self._truth.fetch(sql("open_holds"), show_id, at_ms, hold_id, limit + 1)
        items = [hold_of(row) for row in rows[:limit]]
        more = len(rows) > limit
        return HoldPage(
            items=items, next_cursor=to_cursor((items[-1].created_at_ms, items[-1].hold_id)) if more else None
        )

    async def release(self, principal: Principal, hold_id: HoldId) -> None:
        """Give a hold back. Doing it twice is once. Raises Conflict while it is being paid for or sold, NotFound."""
        hold = await self.get_hold(principal, hold_id)
        if hold.state is HoldState.CONFIRMING:
            self._give_back(hold_id)
            return
        row = await self._truth.one("SELECT * FROM release_hold($1)", hold_id)
        if row["code"] == "busy":
            move(HoldState(row["hold"]["state"]), HoldEvent.RELEASE)  # the table says why not
        if row["code"] == "ok":
            self.counts.released += len(row["basket"])
            await give_back(self._shelf_of, row["items"], row["basket"])

    def _give_back(self, hold_id: HoldId) -> None:
        if not self._confirming.give_back(hold_id):
            raise HoldConfirming("It can be given back once it is confirmed", retry_after_ms=1000)

    # -- orders -------------------------------------------------------------------------------------------------

    async def pay(self, principal: Principal, hold_id: HoldId, request: PayRequest, key: str) -> Order | Hold:
        """The order, or the hold in state paying while the provider is undecided; see Till.pay for the errors."""
        self._may_pay(request.payment_method, key)
        if (await self.get_hold(principal, hold_id)).state is HoldState.CONFIRMING:
            raise HoldConfirming("Nothing is charged before the unit is yours", retry_after_ms=1000)
        answer = await self._till.pay(principal.account_id, hold_id, request.payment_method, key, request.email)
        if isinstance(answer, Order):
            return answer
        return next(hold for hold in answer.holds if hold.hold_id == hold_id)

    async def quote(self, principal: Principal, show_id: ShowId, request: QuoteRequest) -> Quote:
        """What a basket would cost now; see Baskets.quote for the errors."""
        return await self._baskets.quote(principal.account_id, show_id, request)

    async def pay_basket(
        self, principal: Principal, show_id: ShowId, request: BasketPayRequest, key: str
    ) -> Order | PayingBasket:
        """One order for several holds, or the holds in state paying; see Till.pay_basket for the errors."""
        self._may_pay(request.payment_method, key)
        return await self._till.pay_basket(principal.account_id, show_id, request, key)

    def _may_pay(self, method: str, key: str) -> None:
        if not key:
            raise IdempotencyKeyMissing
        if not self._provider.knows(method):
            raise Invalid("The payment provider knows no such payment method", pointer="/payment_method")

    async def payment_step(self, principal: Principal, hold_id: HoldId) -> PaymentStep:
        """Where the payment of a hold of one's own stands, as the provider says now. Raises NotFound."""
        await self.get_hold(principal, hold_id)
        return await self._till.step(hold_id)

    async def get_order(self, principal: Principal, order_id: OrderId) -> Order:
        """An order of one's own; an operator sees all. Raises NotFound."""
        row = await self._truth.one(sql("order"), order_id, *owner(principal))
        if row is None:
            raise NotFound("There is no such order")
        return order_of(row)

    async def orders(self, show_id: ShowId, cursor: str | None = None, limit: int = 50) -> OrderPage:
        """A show's orders, newest first."""
        (last,) = from_cursor(cursor, tuple[str]) or ("",)
        limit = min(max(limit, 1), PAGE_MOST)
        rows = await self._truth.fetch(sql("orders"), show_id, last, limit + 1)
        items = [order_of(row) for row in rows[:limit]]
        return OrderPage(items=items, next_cursor=to_cursor((items[-1].order_id,)) if len(rows) > limit else None)

    async def totals(self, show_id: ShowId) -> ShowTotals:
        """What a show has sold, over all its orders. Raises NotFound."""
        row = await self._truth.one(sql("totals"), show_id)
        if row is None:
            raise NotFound("There is no such show")
        return totals_of(row)

    async def refund(
        self,
        principal: Principal,
        order_id: OrderId,
        amount: int | None = None,
        key: str = "",
        lines: Sequence[RefundLine] | None = None,
    ) -> Refund:
        """Give back `amount` in minor units, or all that is left, of the order or of some of its lines.

        See Outbox.refund for the errors. With a key, a retry is once.
        """
        if lines and amount is not None:
            raise Invalid("An amount of the whole order, or lines: not both", pointer="/amount")
        if lines and len({line.hold_id for line in lines}) < len(lines):
            raise Invalid("A line is named twice", pointer="/lines")
        order = await self.get_order(principal, order_id)
        return await self._outbox.refund(order, amount, refund_id_for(principal.account_id, key), lines)

    async def cancel(self, principal: Principal, order_id: OrderId) -> Order:
        """Undo an order of one's own before its money is taken; an operator any. Raises NotFound, Conflict."""
        return await self._outbox.cancel(await self.get_order(principal, order_id))

    async def parked(self, show_id: ShowId, cursor: str | None = None, limit: int = 50) -> OutboxPage:
        """What could not be said to the payment provider and waits for an operator, oldest first."""
        (after,) = from_cursor(cursor, tuple[int]) or (0,)
        limit = min(max(limit, 1), PAGE_MOST)
        entries = await self._outbox.parked(show_id, after=after, limit=limit + 1)
        items = entries[:limit]
        return OutboxPage(items=items, next_cursor=to_cursor((items[-1].entry_id,)) if len(entries) > limit else None)

    async def retry(self, show_id: ShowId, entry_id: int) -> OutboxEntry:
        """Say it once more. Raises NotFound."""
        return await self._outbox.retry(show_id, entry_id)

    async def differences(self, show_id: ShowId, cursor: str | None = None, limit: int = 50) -> PaymentDifferencePage:
        """Payments of which the provider's record and ours disagree at the moment, oldest first."""
        after = from_cursor(cursor, tuple[int, str]) or (0, "")
        limit = min(max(limit, 1), PAGE_MOST)
        found = await self._reconciler.open(show_id, after=after, limit=limit + 1)
        items = found[:limit]
        more = len(found) > limit
        next_cursor = to_cursor((items[-1].found_at_ms, items[-1].payment_id)) if more else None
        return PaymentDifferencePage(items=items, next_cursor=next_cursor)

    async def webhook(self, body: bytes, headers: Mapping[str, str]) -> None:
        """A payment provider says that something happened: remember it once, then ask what. Raises WebhookForged."""
        payment_id = await self._till.webhook(body, headers)
        if payment_id:
            self._spawn(self._till.look(payment_id))

    # -- inside -------------------------------------------------------------------------------------------------

    async def _shelf_on_sale(self, product: Product) -> Shelf:
        if product not in self._shelves:
            # One at a time, and before the first tap: a rush that begins cold would go to Postgres as a whole.
            async with self._cold:
                if product not in self._shelves:
                    await self.stock_of(ShowId(product.show_id), VariantId(product.variant_id))
                    await self._shelf_of(product).refresh()
        return self._shelf_of(product)

    def _shelf_of(self, product: Product) -> Shelf:
        """The shelf of a product that has a stock row, so there are never more shelves than such rows."""
        if product not in self._shelves:
            self._shelves[product] = self._by_key[key_of(product)] = Shelf(
                product,
                gate=self._gate,
                truth=self._truth,
                listener=self._listener,
                counts=self.counts,
                refusals=self._refusals,
                confirming=self._confirming,
                spawn=self._spawn,
                hold_ms=self._hold_ms,
                offer_ms=self._offer_ms,
            )
        return self._shelves[product]

    def _spawn(self, work: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
        """A task of the desk's: it ends with the desk, and its failure is its own."""
        if self._closing:
            work.close()
            raise RuntimeError("the desk is closed")
        task = asyncio.create_task(_guarded(work))
        self._works.add(task)
        task.add_done_callback(self._works.discard)
        return task

    def _heard(self, key: str) -> None:
        if shelf := self._by_key.get(key):
            shelf.heard()

    def _missed(self) -> None:
        for shelf in self._shelves.values():
            shelf.heard()

    async def _recover(self) -> None:
        """What a dead desk left: units nobody committed, payments nobody heard of, words not said."""
        if await self.leads():
            await self._truth.fetch(sql("outbox_unpark"))
        for shelf in await self._on_sale():
            await shelf.refresh()

    async def _on_sale(self) -> list[Shelf]:
        """The shelves of what can be bought, also of what another process put on sale."""
        rows = await self._truth.fetch(sql("on_sale"))
        return [self._shelf_of(Product(row["show_id"], row["variant_id"])) for row in rows]

    async def leads(self) -> bool:
        """True if this desk looks after what one of several has to."""
        return self._lead is None or await self._lead.is_mine()

    def _keep(self) -> list["asyncio.Task[None]"]:
        pace = self._pace
        rounds = (
            self.news.run(),
            _every(pace.confirm_s, self._confirming.replay),
            _every(pace.sweep_s, self._if_leading(self._sweep)),
            _every(pace.poll_s, self._if_leading(self._till.poll)),
            _every(pace.outbox_s, self._drain, self._outbox.work),
            _every(pace.reconcile_s, self._doubt),
            _every(pace.reconcile_s, self._if_leading(self._reconcile)),
            _every(pace.tidy_s, self._if_leading(self._tidy)),
            _every(pace.payments_s, self._if_leading(self._reconciler.look)),
        )
        return [asyncio.create_task(each) for each in rounds]

    def _if_leading(self, act: Callable[[], Awaitable[None]]) -> Callable[[], Awaitable[None]]:
        if self._lead is None:
            return act

        async def led() -> None:
            if await self.leads():
                await act()

        return led

    async def _drain(self) -> None:
        """What this desk decided it says at once, whoever leads; what others left undone is the leader's."""
        if self._outbox.work.is_set() or await self.leads():
            await self._outbox.drain()

    async def _sweep(self) -> None:
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
            self.counts.expired += len(expired)
            ended = await self._truth.fetch(sql("holds_by_id"), expired)
            await self._shelf_of(product).ended(done["item"], [(hold["hold_id"], hold["quantity"]) for hold in ended])
        return len(expired)

    async def _tidy(self) -> None:
        """Idempotency keys are kept for good; fences need not be."""
        await self._truth.fetch(sql("old_fences"))

    async def _doubt(self) -> None:
        """Build the gate anew after a call was repeated.

        The first one had perhaps happened, and nobody told the gate. Two such silences may leave its sums right and its
        holds wrong, which no reconciliation sees.
        """
        if self._truth.is_down or self._confirming.is_needed:
            return  # nothing can be built yet, and what the gate admits meanwhile is written down (confirming.py)
        seen, self._retries_seen = self._retries_seen, self.counts.truth_retries
        if seen != self._retries_seen:
            for shelf in self._shelves.values():
                shelf.distrust()

    async def _reconcile(self) -> None:
        before_ms = self._clock() - self._pace.orphan_ms
        if self._lead:
            await self._on_sale()
        for shelf in list(self._shelves.values()):
            item = await self._truth.one(sql("stock"), shelf.product.show_id, shelf.product.variant_id)
            if item:
                shelf.tell(item)
                await shelf.reconcile(item, orphans_before_ms=before_ms)


async def _end(tasks: Collection["asyncio.Task[None]"]) -> None:
    """Cancel, and again: a cancellation that meets a connection in the middle of its own timeout can be swallowed."""
    for _ in range(CANCELS_MOST):
        for task in tasks:
            task.cancel()
        if not tasks:
            return
        _, tasks = await asyncio.wait(tasks, timeout=CANCEL_S)
    log.error("desk_tasks_left", count=len(tasks))


def _seen_by(principal: Principal, hold: Hold) -> Hold:
    """What owner() says in a WHERE, of a hold that is no row."""
    account_id, show_id = owner(principal)
    if account_id not in {None, hold.buyer_id} or show_id not in {None, hold.show_id}:
        raise NotFound("There is no such hold")
    return hold


async def _guarded(work: Coroutine[Any, Any, None]) -> None:
    try:
        await work
    except Exception as error:  # noqa: BLE001 - one batch's failure must not take the desk with it
        log.error("desk_work_failed", error=repr(error)[:300])


async def _every(seconds: float, act: Callable[[], Awaitable[None]], wake: asyncio.Event | None = None) -> None:
    """Do `act` for ever, every so often or when woken; a failure waits for the next time."""
    while True:
        try:
            await act()
        except Exception as error:  # noqa: BLE001 - the keeper of the desk never dies of one round
            log.warning("desk_round_failed", what=getattr(act, "__name__", ""), error=repr(error)[:300])
        if wake is None:
            await asyncio.sleep(seconds)
            continue
        try:
            async with asyncio.timeout(seconds):
                await wake.wait()
        except TimeoutError:
            pass
