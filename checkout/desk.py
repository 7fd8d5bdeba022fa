"""The desk: everything one can do with stock, holds and orders.

Owns: the shelves, the till, the outbox, and the rounds that keep them true: expiry, undecided payments, reconciliation.
Invariant: "yours" is said only after Postgres committed it; whatever a dead desk left behind, the next one finishes.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import asyncpg
from msgspec import Struct
from redis.asyncio import Redis

from checkout.baskets import Baskets
from checkout.books import Books
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
from checkout.gate import Gate, Product
from checkout.givebacks import give_back
from checkout.lead import Lead
from checkout.news import News
from checkout.outbox import Outbox, refund_id_for
from checkout.payments import PaymentProvider
from checkout.ports import BuyerListener, StockListener
from checkout.reconciler import Reconciler
from checkout.rows import hold_of, order_of, stock_of
from checkout.shares import Shares, Want
from checkout.shelf import Shelf
from checkout.shelves import Shelves
from checkout.stockroom import Stockroom
from checkout.tasks import Tasks
from checkout.till import Till
from checkout.trade import Trade
from checkout.truth import Truth, sql
from checkout.upkeep import Upkeep
from checkout.waitlist import Waitlist, owner
from schema.basket import BasketPayRequest, PayingBasket, Quote, QuoteRequest
from schema.errors import (
    Conflict,
    HoldConfirming,
    IdempotencyKeyMissing,
    IdempotencyMismatch,
    Invalid,
    NotFound,
    Unavailable,
)
from schema.hold import Hold, HoldRequest, HoldState
from schema.ids import HoldId, OrderId, ShowId, VariantId, new_id
from schema.order import Order, Refund, RefundLine
from schema.payment import OutboxEntry, PaymentStep, PayRequest
from schema.people import Principal
from schema.show import Stock

FENCES_IN_A_ROW = 4
CLOSE_S = 5.0


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
        buyers: BuyerListener | None = None,
    ) -> None:
        """`lead`: for one of several desks, whether it looks after what one of them has to; None: it does.

        `journal`: the file of this desk alone in which taps wait while Postgres does not answer; None: they get 503.
        `buyers`: who hears what happens to a buyer; None: nobody, they find it when they ask.
        """
        self.counts = Counts()
        self._lead, self._listener, self._buyers, self._pace = lead, listener, buyers, pace or Pace()
        self._hold_ms, self._offer_ms = hold_ms, offer_ms
        self._tasks, self._refusals = Tasks(), Refusals()
        self._truth = Truth(pool, self.counts)
        self._gate = Gate(redis, clock=clock, scripts=scripts)
        self._shelves = Shelves(self._truth, self._new_shelf)
        shelf_of = self._shelves.of
        self._confirming = Confirming(journal, gate=self._gate, counts=self.counts, clock=clock, line_of=shelf_of)
        self._provider = provider
        self.provider = provider.name
        self.waitlist = Waitlist(self._truth, shelf_of, self.release)
        self.stockroom = Stockroom(self._truth, shelf_of)
        trade = Trade(truth=self._truth, provider=provider, counts=self.counts, shelf_of=shelf_of)
        self._outbox = Outbox(trade, buyers)
        self.bundles = Bundles(self._truth, shelf_of, hold_ms)
        self._shares = Shares(redis, self._truth, hold_ms=hold_ms, clock=clock, is_down=lambda: self._gate.is_down)
        self.charges, self.coupons, self.flashes = ChargesBook(self._truth), Coupons(self._truth), Flashes(self._truth)
        self._baskets = Baskets(self._truth, self.charges)
        self._reconciler = Reconciler(self._truth, provider, self.counts, clock, self._outbox.work.set)
        self._till = Till(trade, self._outbox.work.set)
        self.books = Books(self._truth, self._outbox, self._reconciler)
        self.upkeep = Upkeep(
            self._truth,
            self._shelves,
            self._confirming,
            self.counts,
            lead=lead,
            clock=clock,
            orphan_ms=self._pace.orphan_ms,
        )
        self.news = News(redis, about=self._shelves.heard, missed=self._shelves.missed)

    async def __aenter__(self) -> Self:
        self._confirming.open()
        await self.upkeep.recover()
        self._keep()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._tasks.finish(CLOSE_S)
        await self.abandon()

    async def abandon(self) -> None:
        """Stop at once, finishing nothing: what a kill does. The next desk recovers."""
        await self._tasks.abandon()
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
        shelf = self._shelves.of(Product(show_id, variant_id))
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
            await self._shelves.of(Product(show_id, variant_id)).adjusted(row["item"], units=quantity)
        return stock_of(row["item"])

    async def set_sales(self, show_id: ShowId, *, open: bool) -> None:  # noqa: A002 - the field's word
        """The kill switch: once it returns, no new hold is taken anywhere. Touches nothing already promised."""
        try:
            items = await self._truth.fetch("SELECT * FROM set_sales($1, $2)", show_id, open)
        except asyncpg.ForeignKeyViolationError:
            raise NotFound("There is no such show") from None
        for item in items:
            await self._shelves.of(Product(show_id, item["variant_id"])).adjusted(item, is_open=open)

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
        hold_id = derived_id("hold", principal.account_id, show_id, key, 0)
        shelf = self._shelves.get(product)
        if shelf is None:
            if parts := await self.bundles.parts(show_id, request.variant_id):
                units = [(Product(show_id, part.variant_id), part.units * request.quantity) for part in parts]
                async with self._shares.taking(principal.network, hold_id, [self._want(*each) for each in units]):
                    return await self.bundles.hold(principal, show_id, request, key)
            shelf = await self._shelves.on_sale(product)
        if not principal.network or shelf.is_sold_out:
            return await self._take(shelf, principal, show_id, request, key)
        async with self._shares.taking(principal.network, hold_id, [self._want(product, request.quantity)]):
            return await self._take(shelf, principal, show_id, request, key)

    def _want(self, product: Product, units: int) -> Want:
        return Want(product=product, units=units, stocked=self._shelves.of(product).stocked)

    async def _take(self, shelf: Shelf, principal: Principal, show_id: ShowId, request: HoldRequest, key: str) -> Hold:
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

    async def release(self, principal: Principal, hold_id: HoldId) -> None:
        """Give a hold back. Doing it twice is once. Raises Conflict while it is being paid for or sold, NotFound."""
        hold = await self.get_hold(principal, hold_id)
        if hold.state is HoldState.CONFIRMING:
            await self._give_back(hold_id)
            return
        row = await self._truth.one("SELECT * FROM release_hold($1)", hold_id)
        if row["code"] == "busy":
            move(HoldState(row["hold"]["state"]), HoldEvent.RELEASE)  # the table says why not
        if row["code"] == "ok":
            self.counts.released += len(row["basket"])
            await give_back(self._shelves.of, row["items"], row["basket"])

    async def _give_back(self, hold_id: HoldId) -> None:
        if not await self._confirming.give_back(hold_id):
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

    async def retry(self, show_id: ShowId, entry_id: int) -> OutboxEntry:
        """Say it once more. Raises NotFound."""
        return await self._outbox.retry(show_id, entry_id)

    async def webhook(self, body: bytes, headers: Mapping[str, str]) -> None:
        """A payment provider says that something happened: remember it once, then ask what. Raises WebhookForged."""
        payment_id = await self._till.webhook(body, headers)
        if payment_id:
            self._tasks.spawn(self._till.look(payment_id))

    # -- inside -------------------------------------------------------------------------------------------------

    def _new_shelf(self, product: Product) -> Shelf:
        return Shelf(
            product,
            gate=self._gate,
            truth=self._truth,
            listener=self._listener,
            counts=self.counts,
            refusals=self._refusals,
            confirming=self._confirming,
            spawn=self._tasks.spawn,
            hold_ms=self._hold_ms,
            offer_ms=self._offer_ms,
            buyers=self._buyers,
        )

    def _keep(self) -> None:
        """Begin the rounds."""
        pace, upkeep, led, repeat = self._pace, self.upkeep, self.upkeep.if_leading, self._tasks.repeat
        self._tasks.keep(self.news.run())
        repeat(pace.confirm_s, self._confirming.replay)
        repeat(pace.sweep_s, led(upkeep.sweep))
        repeat(pace.poll_s, led(self._till.poll))
        repeat(pace.outbox_s, self._drain, self._outbox.work)
        repeat(pace.reconcile_s, upkeep.doubt)
        repeat(pace.reconcile_s, led(upkeep.reconcile))
        repeat(pace.tidy_s, led(upkeep.tidy))
        repeat(pace.payments_s, led(self._reconciler.look))

    async def _drain(self) -> None:
        """What this desk decided it says at once, whoever leads; what others left undone is the leader's."""
        if self._outbox.work.is_set() or await self.upkeep.leads():
            await self._outbox.drain()


def _seen_by(principal: Principal, hold: Hold) -> Hold:
    """What owner() says in a WHERE, of a hold that is no row."""
    account_id, show_id = owner(principal)
    if account_id not in {None, hold.buyer_id} or show_id not in {None, hold.show_id}:
        raise NotFound("There is no such hold")
    return hold
