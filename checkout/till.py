"""The till: from a hold to an order to its money, and back.

Owns: what is said to the payment provider, and when.
Invariant: the provider is asked under an id that Postgres already has; what it answers is applied by one
compare-and-set; the money is taken only after the sale has been committed.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec
import structlog

from checkout.core import order as order_core
from checkout.core.idempotency import derived_id, fingerprint, may_answer
from checkout.counts import Counts
from checkout.gate import Product
from checkout.payments import Payment, PaymentProvider, PaymentState, ProviderFailed, ProviderRefused
from checkout.rows import Row, hold_of, order_of, refund_of
from checkout.shelf import Shelf
from checkout.truth import Truth, sql
from schema.errors import Conflict, HoldLapsed, IdempotencyMismatch, NotFound, PaymentDeclined
from schema.ids import new_id
from schema.money import Money
from schema.order import Hold, HoldState, Order, OrderState, Refund

log = structlog.get_logger()

PAY_MS = 600_000
"""An undecided payment is cancelled after this, and the hold follows what the provider then says."""
UNHEARD_MS = 30_000
"""A payment the provider never heard of is cancelled after this: its request cannot be on its way any more."""
CHECK_MS = 2_000
LEASE_MS = 15_000
AT_ONCE = 16
OUTBOX_ATTEMPTS = 20
CAPTURE_WAIT_S = 5.0

_DECIDED = {
    PaymentState.AUTHORIZED: "authorized",
    PaymentState.CAPTURED: "authorized",
    PaymentState.DECLINED: "declined",
    PaymentState.CANCELLED: "declined",
}
_orders = msgspec.json.Decoder(Order)


def backoff_ms(attempts: int) -> int:
    """How long to wait after so many failed tries: doubling from 200 ms to 30 s."""
    return min(200 << min(max(attempts - 1, 0), 8), 30_000)


class Till:
    """Payments, captures and refunds of one desk. Raises Unavailable when Postgres does not answer."""

    def __init__(
        self, truth: Truth, provider: PaymentProvider, counts: Counts, shelf_of: Callable[[Product], Shelf]
    ) -> None:
        self._truth, self._provider, self._counts, self._shelf_of = truth, provider, counts, shelf_of
        self.work = asyncio.Event()
        """Set when the outbox has something to say."""

    # -- paying -------------------------------------------------------------------------------------------------

    async def pay(self, account_id: str, hold_id: str, method: str, key: str) -> Order | Hold:
        """The order; or the hold, in state paying, while the provider is undecided.

        One key is one answer, a decline included; another key for a hold that is sold gets the same order.
        Raises PaymentDeclined, HoldLapsed, NotFound, Conflict (another method is being tried), IdempotencyInFlight,
        IdempotencyMismatch.
        """
        scope = (account_id, "pay", key)
        claim = await self._truth.one(
            "SELECT * FROM claim_key($1, $2, $3, $4, $5)", *scope, fingerprint("pay", hold_id, method), LEASE_MS
        )
        if not may_answer(claim["code"]):
            return _replay(claim["saved"])
        try:
            answer = await self._pay(account_id, hold_id, method)
        except PaymentDeclined:
            await self._truth.fetch(sql("finish_key"), *scope, PaymentDeclined.status, "{}")
            raise
        except BaseException:
            await self._truth.fetch(sql("drop_key"), *scope)
            raise
        if isinstance(answer, Order):
            await self._truth.fetch(sql("finish_key"), *scope, 200, msgspec.json.encode(answer).decode())
        else:
            await self._truth.fetch(sql("drop_key"), *scope)
        return answer

    async def _pay(self, account_id: str, hold_id: str, method: str) -> Order | Hold:
        begun = await self._truth.one(
            "SELECT * FROM begin_payment($1, $2, $3, $4, $5, $6, $7)",
            hold_id,
            account_id,
            new_id("pay"),
            self._provider.name,
            method,
            PAY_MS,
            CHECK_MS,
        )
        code, hold, payment = begun["code"], begun["hold"], begun["payment"]
        if code == "none":
            raise NotFound("There is no such hold")
        if code == "lapsed":
            raise HoldLapsed
        if code == "sold":
            return await self._order(hold["order_id"])
        if payment["method"] != method:
            raise Conflict("This hold is being paid for with another method")
        seen = await self._authorize(payment)
        return await self._conclude(hold, payment["payment_id"], seen)

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

    async def _conclude(self, hold: Row, payment_id: str, seen: Payment | None) -> Order | Hold:
        outcome = _DECIDED.get(seen.state) if seen else None
        if outcome is None:
            return hold_of(hold)
        settled = await self._settle(payment_id, outcome)
        if settled["hold"]["state"] == HoldState.SOLD:
            return await self._order(settled["hold"]["order_id"])
        if outcome == "declined":
            raise PaymentDeclined(hold_state=settled["hold"]["state"], expires_at_ms=settled["hold"]["expires_at_ms"])
        return hold_of(settled["hold"])

    async def _settle(self, payment_id: str, outcome: str) -> Row:
        """Apply the provider's decision, and tell the shelf what it did to the stock."""
        settled: Row = await self._truth.one(
            "SELECT * FROM settle_payment($1, $2, $3)", payment_id, outcome, new_id("ord")
        )
        code, hold, item = settled["code"], settled["hold"], settled["item"]
        if code == "sold":
            self._counts.orders += 1
            self.work.set()
            self._shelf(hold).tell(item)
        elif code == "void":
            self.work.set()
        elif code == "released" or (code == "settled" and hold["state"] == HoldState.RELEASED):
            await self._shelf(hold).ended(item, [(hold["hold_id"], hold["quantity"])])
        return settled

    async def _order(self, order_id: str) -> Order:
        return order_of(await self._truth.one(sql("order"), order_id, None, None))

    def _shelf(self, row: Row) -> Shelf:
        return self._shelf_of(Product(row["show_id"], row["variant_id"]))

    # -- payments that were left undecided ----------------------------------------------------------------------

    async def webhook(self, body: bytes, headers: Mapping[str, str]) -> str | None:
        """The payment to look at; None for an event that was seen before. Raises WebhookForged."""
        event = self._provider.verify_webhook(body, headers)
        new = await self._truth.one(sql("new_event"), self._provider.name, event.event_id, event.payment_id)
        # A repetition after a lost answer finds the event stored and the payment still undecided: the poll's.
        return event.payment_id if new else None

    async def check(self, payment_id: str, age_ms: int = 0) -> None:
        """Ask the provider what became of a payment, and apply it. Too old, it is cancelled first."""
        try:
            seen = await self._provider.retrieve(payment_id)
            if age_ms > PAY_MS or (seen is None and age_ms > UNHEARD_MS):
                seen = await self._provider.cancel(payment_id)
        except (ProviderFailed, ProviderRefused) as error:
            log.info("payment_not_checked", payment=payment_id, error=str(error))
            return
        outcome = _DECIDED.get(seen.state) if seen else None
        if outcome:
            await self._settle(payment_id, outcome)

    async def poll(self) -> None:
        """Look at every payment that has been undecided for a while."""
        rows = await self._truth.fetch("SELECT * FROM claim_undecided($1, $2)", AT_ONCE, CHECK_MS)
        await _all(self.check(row["payment_id"], row["age_ms"]) for row in rows)

    # -- outbox -------------------------------------------------------------------------------------------------

    async def drain(self) -> None:
        """Say to the provider what is due, until nothing is."""
        self.work.clear()
        while rows := await self._truth.fetch("SELECT * FROM claim_outbox($1, $2)", AT_ONCE, LEASE_MS):
            await _all(self._say(row) for row in rows)

    async def _say(self, entry: Row) -> None:
        try:
            await {"capture": self._capture, "refund": self._give_back, "cancel": self._cancel}[entry["kind"]](entry)
        except ProviderFailed as error:
            await self._later(entry, str(error), park=entry["attempts"] >= OUTBOX_ATTEMPTS)
        except ProviderRefused as error:
            await self._later(entry, str(error), park=True)
        else:
            await self._truth.fetch(sql("outbox_done"), entry["outbox_id"])

    async def _later(self, entry: Row, why: str, *, park: bool) -> None:
        self._counts.parked += park
        log.warning("outbox_later", kind=entry["kind"], order=entry["order_id"], parked=park, why=why)
        await self._truth.fetch(sql("outbox_later"), entry["outbox_id"], backoff_ms(entry["attempts"]), park)

    async def _capture(self, entry: Row) -> None:
        """Undo: none, it is the last step; what it cannot take is given up and the units return."""
        amount = Money(amount=entry["amount"], currency=entry["currency"])
        try:
            seen = await self._provider.capture(entry["payment_id"], amount)
        except ProviderRefused:
            # Only what the provider has let go of for sure may go back on the shelf.
            seen = await self._provider.cancel(entry["payment_id"])
        captured = seen.state is PaymentState.CAPTURED
        if not captured and seen.state not in {PaymentState.CANCELLED, PaymentState.DECLINED}:
            raise ProviderFailed(f"the payment is still {seen.state}")
        row = await self._truth.one("SELECT * FROM settle_capture($1, $2)", entry["order_id"], captured)
        self._counts.captures += captured
        if not captured:
            log.error("capture_failed", order=entry["order_id"])
            order = await self._order(entry["order_id"])
            item = row["item"] or await self._truth.one(sql("stock"), order.show_id, order.variant_id)
            shelf = self._shelf_of(Product(order.show_id, order.variant_id))
            await shelf.ended(item, [(row["hold_id"], order.quantity)])

    async def _give_back(self, entry: Row) -> None:
        if entry["amount"]:
            amount = Money(amount=entry["amount"], currency=entry["currency"])
            await self._provider.refund(entry["payment_id"], entry["refund_id"], amount)
        await self._truth.fetch(sql("refund_settled"), entry["refund_id"])

    async def _cancel(self, entry: Row) -> None:
        await self._provider.cancel(entry["payment_id"])
        await self._truth.fetch(sql("payment_cancelled"), entry["payment_id"])

    # -- refunds ------------------------------------------------------------------------------------------------

    async def refund(self, order: Order, amount: int | None, refund_id: str) -> Refund:
        """Give money back, and with the last of it the units. Waits up to 5 s for a capture that is on its way.

        Raises Conflict where there is not so much, or nothing, left to give back.
        """
        row = await self._refund_when_captured(order.order_id, amount, refund_id)
        code, decided, item = row["code"], row["r"], row["item"]
        if code == "known":
            if decided["order_id"] != order.order_id or (amount is not None and decided["amount"] != amount):
                raise IdempotencyMismatch
            return refund_of(decided)
        if code == "pending":
            raise Conflict("The payment is not captured yet", retry_after_ms=1000)
        if code != "ok":
            _explain(row["o"], amount)
        self._counts.refunds += 1
        self.work.set()
        shelf = self._shelf_of(Product(order.show_id, order.variant_id))
        if decided["units_returned"]:
            await shelf.ended(item, [(order.hold_id, order.quantity)])
        return refund_of(decided)

    async def _refund_when_captured(self, order_id: str, amount: int | None, refund_id: str) -> Row:
        loop = asyncio.get_running_loop()
        end = loop.time() + CAPTURE_WAIT_S
        while True:
            row: Row = await self._truth.one("SELECT * FROM refund_order($1, $2, $3)", order_id, amount, refund_id)
            if row["code"] != "pending" or loop.time() >= end:
                return row
            self.work.set()
            await asyncio.sleep(0.1)


def refund_id_for(account_id: str, key: str) -> str:
    """With a key, the refund's id follows from it, and a retry names the same refund."""
    return derived_id("ref", account_id, key) if key else new_id("ref")


def _explain(o: Row, amount: int | None) -> None:
    order_core.refund(
        OrderState(o["state"]), total=o["total"], refunded=o["refunded"], quantity=o["quantity"], amount=amount
    )
    raise AssertionError("the core would have refunded what Postgres refused")


def _replay(saved: Row) -> Order:
    if saved["status"] == PaymentDeclined.status:
        raise PaymentDeclined
    return _orders.decode(saved["answer"])


async def _all(works: Any) -> None:
    """Run these side by side; each is bounded by the claim that brought it here."""
    async with asyncio.TaskGroup() as group:
        for work in works:
            group.create_task(_quietly(work))


async def _quietly(work: Awaitable[None]) -> None:
    try:
        await work
    except Exception as error:  # noqa: BLE001 - one entry's failure is not its neighbours'; its lease brings it back
        log.warning("till_work_failed", error=repr(error)[:200])
