"""The outbox: what must still be said to the payment provider once an order stands, and the refunds that end up there.

Owns: captures, refunds and cancels on their way to the provider.
Invariant: an entry was committed by the transaction that decided it, and is said until the provider has answered;
units come back only once the provider has let go of their money.
"""

import asyncio
from collections.abc import Sequence

import asyncpg
import structlog

from checkout.core import order as order_core
from checkout.core.idempotency import derived_id
from checkout.givebacks import give_back
from checkout.payments import Payment, PaymentProvider, PaymentState, ProviderFailed, ProviderRefused
from checkout.ports import BuyerListener
from checkout.rows import Row, order_of, refund_of
from checkout.side_by_side import side_by_side
from checkout.trade import Trade
from checkout.truth import sql
from schema.errors import Conflict, IdempotencyMismatch, Invalid, NotFound
from schema.ids import HoldId, new_id
from schema.money import Money
from schema.order import Order, OrderState, Refund, RefundLine
from schema.payment import OutboxEntry

log = structlog.get_logger()

AT_ONCE = 16
LEASE_MS = 15_000
ATTEMPTS = 20
CAPTURE_WAIT_S = 5.0


def backoff_ms(attempts: int) -> int:
    """How long to wait after so many failed tries: doubling from 200 ms to 30 s."""
    return min(200 << min(max(attempts - 1, 0), 8), 30_000)


class Outbox:
    """Captures, refunds and cancels of one desk. Raises Unavailable when Postgres does not answer."""

    def __init__(self, trade: Trade, buyers: BuyerListener | None = None) -> None:
        self._truth, self._provider, self._counts = trade.truth, trade.provider, trade.counts
        self._shelf_of, self._buyers = trade.shelf_of, buyers
        self.work = asyncio.Event()
        """Set when there is something to say."""

    async def drain(self) -> None:
        """Say to the provider what is due, until nothing is."""
        self.work.clear()
        while rows := await self._truth.fetch("SELECT * FROM claim_outbox($1, $2)", AT_ONCE, LEASE_MS):
            await side_by_side(self._say(row) for row in rows)

    async def _say(self, entry: Row) -> None:
        try:
            await {"capture": self._capture, "refund": self._give_back, "cancel": self._cancel}[entry["kind"]](entry)
        except ProviderFailed as error:
            await self._later(entry, str(error), park=entry["attempts"] >= ATTEMPTS)
        except ProviderRefused as error:
            await self._later(entry, str(error), park=True)
        else:
            await self._truth.fetch(sql("outbox_done"), entry["outbox_id"])

    async def _later(self, entry: Row, why: str, *, park: bool) -> None:
        self._counts.parked += park
        log.warning("outbox_later", kind=entry["kind"], order=entry["order_id"], parked=park, why=why)
        await self._truth.fetch(sql("outbox_later"), entry["outbox_id"], backoff_ms(entry["attempts"]), park, why)

    async def _capture(self, entry: Row) -> None:
        """Undo: none, it is the last step; what it cannot take is given up and the units return."""
        amount = Money(amount=entry["amount"], currency=entry["currency"])
        try:
            seen = await self._provider.capture(entry["payment_id"], amount)
        except ProviderRefused:
            # Only what the provider has let go of for sure may go back on the shelf.
            seen = await self._provider.cancel(entry["payment_id"])
        captured = _final(seen) is PaymentState.CAPTURED
        row = await self._truth.one("SELECT * FROM settle_capture($1, $2)", entry["order_id"], captured)
        self._counts.captures += captured
        self._counts.captures_failed += not captured and row["code"] == "ok"
        if not captured:
            log.error("capture_failed", order=entry["order_id"])
            await give_back(self._shelf_of, row["items"], row["basket"])
            await self._tell(entry["order_id"])

    async def _tell(self, order_id: str) -> None:
        if self._buyers:
            order = order_of(await self._truth.one(sql("order"), order_id, None, None))
            self._buyers.capture_failed(order.show_id, order.buyer_id, order.order_id)

    async def _give_back(self, entry: Row) -> None:
        if entry["amount"]:
            amount = Money(amount=entry["amount"], currency=entry["currency"])
            await self._provider.refund(entry["payment_id"], entry["refund_id"], amount)
        await self._truth.fetch(sql("refund_settled"), entry["refund_id"])

    async def _cancel(self, entry: Row) -> None:
        """Undo: none. Money that was taken all the same, by a capture that was on its way, is given back."""
        payment_id = entry["payment_id"]
        if _final(await self._provider.cancel(payment_id)) is PaymentState.CAPTURED:
            await give_back_stray(self._provider, payment_id, entry["currency"])
            self._counts.stray_captures += 1
        await self._truth.fetch(sql("payment_cancelled"), payment_id)

    # -- the operator's view ---------------------------------------------------------------------------------------

    async def parked(self, show_id: str, *, after: int = 0, limit: int = 50) -> list[OutboxEntry]:
        """What was said in vain so often, or refused so clearly, that it waits for an operator; the oldest first."""
        return [_entry_of(row) for row in await self._truth.fetch(sql("outbox_parked"), show_id, after, limit)]

    async def retry(self, show_id: str, entry_id: int) -> OutboxEntry:
        """Give a parked entry another round. Raises NotFound for one that is no longer waiting, or not of the show."""
        row = await self._truth.one(sql("outbox_retry"), show_id, entry_id)
        if row is None:
            raise NotFound("No such entry is waiting")
        self.work.set()
        return _entry_of(row)

    # -- cancelling ------------------------------------------------------------------------------------------------

    async def cancel(self, order: Order) -> Order:
        """Undo an order whose money has not been taken; twice is once. Raises Conflict for any other."""
        row = await self._truth.one("SELECT * FROM cancel_order($1)", order.order_id)
        if row["code"] == "late":
            order_core.cancel(OrderState(row["o"]["state"]))
        self._counts.cancellations += row["code"] == "ok"
        self.work.set()
        await give_back(self._shelf_of, row["items"], [hold for hold in row["basket"] if hold["returned"]])
        return order_of(await self._truth.one(sql("order"), order.order_id, None, None))

    # -- refunds ---------------------------------------------------------------------------------------------------

    async def refund(
        self, order: Order, amount: int | None, refund_id: str, lines: Sequence[RefundLine] | None = None
    ) -> Refund:
        """Give money back, and with the last of it the units. Waits up to 5 s for a capture that is on its way.

        With `lines`, and no amount, only of these; a line emptied by name returns its units.
        Raises Conflict where there is not so much, or nothing, left to give back, Invalid for a line of another order.
        """
        holds = [line.hold_id for line in lines] if lines else None
        amounts = [line.amount for line in lines] if lines else None
        row = await self._refund_when_captured(order.order_id, amount, refund_id, holds, amounts)
        code, decided = row["code"], row["r"]
        if code == "known":
            asked = (decided["order_id"], decided["asked"], decided["asked_holds"], decided["asked_amounts"])
            if asked != (order.order_id, amount, holds, amounts):
                raise IdempotencyMismatch
            return refund_of(decided)
        if code == "pending":
            raise Conflict("The payment is not captured yet", retry_after_ms=1000)
        if code == "line":
            raise Invalid("Not all of these are lines of this order", pointer="/lines")
        if code != "ok":
            _explain(row["o"], amount, of_lines=holds is not None)
        self._counts.refunds += 1
        self.work.set()
        await give_back(self._shelf_of, row["items"], [hold for hold in row["basket"] if hold["returned"]])
        return refund_of(decided)

    async def _refund_when_captured(
        self,
        order_id: str,
        amount: int | None,
        refund_id: str,
        holds: list[HoldId] | None,
        amounts: list[int | None] | None,
    ) -> Row:
        loop = asyncio.get_running_loop()
        end = loop.time() + CAPTURE_WAIT_S
        while True:
            try:
                row: Row = await self._truth.one(
                    "SELECT * FROM refund_order($1, $2, $3, $4, $5)", order_id, amount, refund_id, holds, amounts
                )
            except asyncpg.CheckViolationError:  # guard_order_move: there is no way on from there
                raise Conflict(f"An order that is {OrderState.CANCELLED} cannot be refunded") from None
            if row["code"] != "pending" or loop.time() >= end:
                return row
            self.work.set()
            await asyncio.sleep(0.1)


def _final(seen: Payment) -> PaymentState:
    """The provider's last word on a payment. Raises ProviderFailed while it has not spoken it."""
    if seen.state in {PaymentState.PENDING, PaymentState.AUTHORIZED}:
        raise ProviderFailed(f"the payment is still {seen.state}")
    return seen.state


def refund_id_for(account_id: str, key: str) -> str:
    """With a key, the refund's id follows from it, and a retry names the same refund."""
    return derived_id("ref", account_id, key) if key else new_id("ref")


async def give_back_stray(provider: PaymentProvider, payment_id: str, currency: str) -> int:
    """Give back money that was taken without an order: all that is left of it, once. Returns how much."""
    seen = await provider.retrieve(payment_id)
    left = seen.captured - seen.refunded if seen else 0
    if left > 0:
        log.error("stray_capture", payment=payment_id, amount=left)
        await provider.refund(payment_id, f"{payment_id}_stray", Money(amount=left, currency=currency))
    return left


def _entry_of(row: Row) -> OutboxEntry:
    return OutboxEntry(
        entry_id=row["outbox_id"],
        kind=row["kind"],
        state=row["state"],
        payment_id=row["payment_id"],
        order_id=row["order_id"],
        amount=Money(amount=row["amount"], currency=row["currency"]),
        attempts=row["attempts"],
        why=row["why"],
    )


def _explain(o: Row, amount: int | None, *, of_lines: bool) -> None:
    if not of_lines or (OrderState(o["state"]), order_core.OrderEvent.REFUND_REST) not in order_core.TRANSITIONS:
        order_core.refund(
            OrderState(o["state"]), total=o["total"], refunded=o["refunded"], quantity=o["quantity"], amount=amount
        )
        raise AssertionError("the core would have refunded what Postgres refused")
    raise Conflict("Of these lines there is not so much left to refund", left=o["total"] - o["refunded"])
