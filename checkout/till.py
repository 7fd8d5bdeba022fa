"""The till: from holds to an order.

Owns: payments until they are decided; what follows from an order is the outbox's.
Invariant: the provider is asked under an id that Postgres already has, and what it answers is applied by one
compare-and-set.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import msgspec
import structlog

from checkout.baskets import Baskets, Bill
from checkout.charges import ChargesBook
from checkout.core.idempotency import fingerprint, may_answer
from checkout.givebacks import give_back, tell
from checkout.payers import Payers
from checkout.payments import Payment, PaymentState, ProviderFailed, ProviderRefused
from checkout.rows import Row, hold_of, order_of
from checkout.side_by_side import side_by_side
from checkout.trade import Trade
from checkout.truth import sql
from schema.basket import BasketPayRequest, PayingBasket, QuoteRequest
from schema.errors import (
    Conflict,
    CouponRefused,
    HoldLapsed,
    Invalid,
    LimitReached,
    NotFound,
    PaymentDeclined,
    PriceWasChanged,
    ShowfloorError,
)
from schema.hold import HoldState
from schema.ids import HoldId, ShowId, new_id
from schema.money import Money
from schema.order import Order
from schema.payment import PaymentStep

log = structlog.get_logger()

PAY_MS = 600_000
"""An undecided payment is cancelled after this, and the hold follows what the provider then says."""
UNHEARD_MS = 30_000
"""A payment the provider never heard of is cancelled after this: its request cannot be on its way any more."""
CHECK_MS = 2_000
LEASE_MS = 15_000
AT_ONCE = 16

_DECIDED = {
    PaymentState.AUTHORIZED: "authorized",
    PaymentState.CAPTURED: "authorized",
    PaymentState.DECLINED: "declined",
    PaymentState.CANCELLED: "declined",
}
_orders = msgspec.json.Decoder(Order)


class Till:
    """Payments of one desk; `outbox_has_work` is called after each commit that wrote an entry there.

    Raises Unavailable when Postgres does not answer.
    """

    def __init__(self, trade: Trade, outbox_has_work: Callable[[], None]) -> None:
        self._truth, self._provider, self._counts = trade.truth, trade.provider, trade.counts
        self._shelf_of, self._outbox_has_work = trade.shelf_of, outbox_has_work
        self._baskets = Baskets(trade.truth, ChargesBook(trade.truth))
        self._payers = Payers(trade.truth, trade.counts)

    # -- paying -------------------------------------------------------------------------------------------------

    async def pay(
        self, account_id: str, hold_id: HoldId, method: str, key: str, email: str = ""
    ) -> Order | PayingBasket:
        """The order; or the hold, in state paying, while the provider is undecided. A bundle is paid for as a whole.

        One key is one answer, a decline included; another key for a hold that is sold gets the same order.
        Raises PaymentDeclined, LimitReached (the card or the mailbox has, in another guest session), HoldLapsed,
        NotFound, Conflict (another method is being tried; or the show asks where it goes to), IdempotencyInFlight,
        IdempotencyMismatch.
        """

        async def attempt() -> Order | PayingBasket:
            bill = await self._alone(account_id, hold_id)
            return await self._pay(account_id, bill, method, email)

        print_ = fingerprint("pay", hold_id, method, *([email] if email else []))
        return await self._once((account_id, "pay", key), print_, attempt)

    async def pay_basket(
        self, account_id: str, show_id: ShowId, request: BasketPayRequest, key: str
    ) -> Order | PayingBasket:
        """The same for several holds, all or none, at the total the buyer was shown.

        Raises, beside what `pay` does, PriceWasChanged, CouponRefused and Invalid (a country it does not ship to).
        """

        async def attempt() -> Order | PayingBasket:
            bill = await self._baskets.bill(account_id, show_id, request)
            if bill.is_open:
                _as_shown(bill, request.total)
            answer = await self._pay(account_id, bill, request.payment_method, request.email)
            if isinstance(answer, Order) and answer.total.amount != request.total:
                raise Conflict("Some of these were paid for with others", order_id=answer.order_id)
            return answer

        wish = msgspec.json.encode(msgspec.structs.replace(request, hold_ids=sorted(set(request.hold_ids)))).decode()
        return await self._once((account_id, "basket", key), fingerprint("basket", show_id, wish), attempt)

    async def _once(
        self, scope: tuple[str, str, str], print_: str, attempt: Callable[[], Awaitable[Order | PayingBasket]]
    ) -> Order | PayingBasket:
        """Answer a request under its Idempotency-Key: for good where the answer is final."""
        claim = await self._truth.one("SELECT * FROM claim_key($1, $2, $3, $4, $5)", *scope, print_, LEASE_MS)
        if not may_answer(claim["code"]):
            return _replay(claim["saved"])
        try:
            answer = await attempt()
        except (PaymentDeclined, LimitReached) as error:
            await self._truth.fetch(sql("finish_key"), *scope, error.status, msgspec.json.encode(error.extra).decode())
            raise
        except BaseException:
            await self._truth.fetch(sql("drop_key"), *scope)
            raise
        if isinstance(answer, Order):
            await self._truth.fetch(sql("finish_key"), *scope, 200, msgspec.json.encode(answer).decode())
        else:
            await self._truth.fetch(sql("drop_key"), *scope)
        return answer

    async def _alone(self, account_id: str, hold_id: HoldId) -> Bill:
        """The bill of one hold, or of the bundle it belongs to: its price, and nothing added."""
        holds = await self._baskets.holds(account_id, [hold_id])
        if not holds:
            raise NotFound("There is no such hold")
        try:
            return await self._baskets.bill(account_id, holds[0]["show_id"], QuoteRequest(hold_ids=[hold_id]))
        except Invalid as error:
            raise Conflict("This show asks where it goes to: pay for it as a basket") from error

    async def _pay(self, account_id: str, bill: Bill, method: str, email: str) -> Order | PayingBasket:
        lines = bill.priced.lines
        begun = await self._truth.one(
            "SELECT * FROM begin_basket($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)",
            account_id,
            new_id("pay"),
            self._provider.name,
            method,
            PAY_MS,
            CHECK_MS,
            bill.hold_ids,
            [line.goods for line in lines],
            [line.discount for line in lines],
            [line.shipping for line in lines],
            [line.tax for line in lines],
            bill.coupon,
            bill.country,
            bill.shipping_method,
        )
        code, hold, payment = begun["code"], begun["hold"], begun["payment"]
        if code == "sold":
            return await self._order(hold["order_id"])
        if code not in {"ok", "paying"}:
            raise _no_payment(code)
        if payment["method"] != method:
            raise Conflict("This hold is being paid for with another method")
        await self._payers.note(payment["payment_id"], email)
        seen = await self._authorize(payment)
        return await self._conclude(begun["basket"], payment["payment_id"], seen)

    async def _authorize(self, payment: Row) -> Payment | None:
        """What the provider says; None while it says nothing. A second click joins the first: one id, one charge."""
        amount = Money(amount=payment["amount"], currency=payment["currency"])
        try:
            return await self._provider.authorize(payment["payment_id"], amount, payment["method"], payment["hold_id"])
        except ProviderFailed as error:
            log.info("authorization_undecided", payment=payment["payment_id"], error=str(error))
            return None
        except ProviderRefused:
            return await self._let_go(payment["payment_id"])

    async def _let_go(self, payment_id: str) -> Payment | None:
        try:
            return await self._provider.cancel(payment_id)
        except (ProviderFailed, ProviderRefused):
            return None

    async def _conclude(self, basket: Sequence[Row], payment_id: str, seen: Payment | None) -> Order | PayingBasket:
        outcome, refusal = await self._outcome(payment_id, seen)
        if outcome is None:
            return _undecided(basket)
        settled = await self._settle(payment_id, outcome)
        hold = settled["hold"]
        if hold["state"] == HoldState.SOLD:
            return await self._order(hold["order_id"])
        if outcome == "declined":
            raise _refused(refusal, seen, hold_state=hold["state"], expires_at_ms=hold["expires_at_ms"])
        return _undecided(settled["basket"])

    async def _outcome(self, payment_id: str, seen: Payment | None) -> tuple[str | None, str]:
        """What the provider's word comes to, and why authorized money that must not become a sale was let go of."""
        outcome = _DECIDED.get(seen.state) if seen else None
        refusal = await self._payers.refusal(seen) if seen else ""
        if refusal:
            gone = await self._let_go(payment_id)
            outcome = "declined" if gone and _DECIDED.get(gone.state) == "declined" else None
        return outcome, refusal

    async def _settle(self, payment_id: str, outcome: str) -> Row:
        """Apply the provider's decision, and tell the shelves what it did to the stock."""
        settled: Row = await self._truth.one(
            "SELECT * FROM settle_payment($1, $2, $3)", payment_id, outcome, new_id("ord")
        )
        code, basket = settled["code"], settled["basket"] or []
        if code == "sold":
            self._counts.orders += 1
            self._outbox_has_work()
            tell(self._shelf_of, settled["items"])
        elif code == "void":
            self._outbox_has_work()
        released = [hold for hold in basket if hold["state"] == HoldState.RELEASED]
        await give_back(self._shelf_of, settled["items"] or [], released)
        return settled

    async def _order(self, order_id: str) -> Order:
        return order_of(await self._truth.one(sql("order"), order_id, None, None))

    # -- payments that were left undecided ----------------------------------------------------------------------

    async def webhook(self, body: bytes, headers: Mapping[str, str]) -> str | None:
        """The payment to look at; None for an event that was seen before. Raises WebhookForged."""
        event = self._provider.verify_webhook(body, headers)
        if not event.payment_id:
            return None
        new = await self._truth.one(sql("new_event"), self._provider.name, event.event_id, event.payment_id)
        # A repetition after a lost answer finds the event stored and the payment still undecided: the poll's.
        return event.payment_id if new else None

    async def check(self, payment_id: str, age_ms: int = 0) -> Payment | None:
        """Ask the provider what became of a payment, and apply it. Too old, it is cancelled first.

        None while the provider says nothing.
        """
        try:
            seen = await self._provider.retrieve(payment_id)
            # A payment from the future: the clock was set back, and nobody knows how old it is.
            if age_ms > PAY_MS or (seen is None and (age_ms > UNHEARD_MS or age_ms < -UNHEARD_MS)):
                seen = await self._provider.cancel(payment_id)
        except (ProviderFailed, ProviderRefused) as error:
            log.info("payment_not_checked", payment=payment_id, error=str(error))
            return None
        outcome, _ = await self._outcome(payment_id, seen)
        if outcome:
            await self._settle(payment_id, outcome)
        return seen

    async def look(self, payment_id: str, age_ms: int = 0) -> None:
        """`check`, for whoever asks because time has passed or a webhook came."""
        await self.check(payment_id, age_ms)

    async def step(self, hold_id: str) -> PaymentStep:
        """Where the payment of a hold stands, by the provider's word of this moment."""
        row = await self._truth.one(sql("payment_of_hold"), hold_id)
        seen = await self.check(row["payment_id"]) if row and row["state"] == "authorizing" else None
        row = await self._truth.one(sql("payment_of_hold"), hold_id)
        if row is None:
            raise NotFound("There is no such hold")
        over = row["state"] in {"declined", "cancelled"}
        return PaymentStep(
            hold_id=row["hold_id"],
            hold_state=HoldState(row["hold_state"]),
            state={"authorizing": "pending", "capture_failed": "cancelled"}.get(row["state"], row["state"] or ""),
            client_secret=seen.client_secret if seen and row["state"] == "authorizing" else "",
            code=(row["refusal"] or PaymentDeclined.code) if over else "",
        )

    async def poll(self) -> None:
        """Look at every payment that has been undecided for a while."""
        rows = await self._truth.fetch("SELECT * FROM claim_undecided($1, $2)", AT_ONCE, CHECK_MS)
        await side_by_side(self.look(row["payment_id"], row["age_ms"]) for row in rows)


def _refused(refusal: str, seen: Payment | None, **extra: Any) -> ShowfloorError:
    if refusal == LimitReached.code:
        return LimitReached("This card or address has reached the limit for this item; nothing was charged", **extra)
    if seen and seen.reason:
        extra["reason"] = seen.reason
    return PaymentDeclined(**extra)


def _replay(saved: Row) -> Order:
    if saved["status"] in {PaymentDeclined.status, LimitReached.status}:
        extra = msgspec.json.decode(saved["answer"])
        raise _refused(LimitReached.code if saved["status"] == LimitReached.status else "", None, **extra)
    return _orders.decode(saved["answer"])


def _undecided(basket: Sequence[Row]) -> PayingBasket:
    return PayingBasket(state=HoldState(basket[0]["state"]), holds=[hold_of(hold) for hold in basket])


def _as_shown(bill: Bill, total: int) -> None:
    """Raises CouponRefused or PriceWasChanged where paying would charge another amount than the one shown."""
    if bill.coupon_refused:
        raise CouponRefused(reason=bill.coupon_refused)
    if bill.priced.total != total:
        raise PriceWasChanged(total=bill.priced.total, currency=bill.holds[0]["currency"])


def _no_payment(code: str) -> ShowfloorError:
    """Why begin_basket() began nothing."""
    match code:
        case "none":
            return NotFound("There is no such hold")
        case "lapsed":
            return HoldLapsed()
        case "busy":
            return Conflict("Some of these are being paid for, or sold")
    assert code.startswith("coupon_"), code
    return CouponRefused(reason=code)
