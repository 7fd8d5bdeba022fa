"""A payment network in memory, and one desk's way to it."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

from faults.virtual.line import Line, Weather

from checkout.fakepay import METHODS
from checkout.payments import Payment, PaymentState, ProviderEvent, ProviderFailed, ProviderRefused, WebhookForged
from schema.money import Money

SLOW_S = 0.7
SLOWLY_DECLINED = 0.2


class Network:
    """What really happened to money; survives everything. `send` posts a webhook to whichever desk is up."""

    def __init__(self, dice: random.Random, removed: frozenset[str] = frozenset()) -> None:
        self.payments: dict[str, dict[str, Any]] = {}
        self.refunds: dict[str, int] = {}
        self.weather, self.dice, self.removed = Weather(), dice, removed
        self.mail = Weather()
        """For webhooks: lost_before drops them, delayed makes them late and out of order."""
        self.send: Callable[[str, str, bool], None] = lambda *_: None
        self._events = 0

    def authorize(self, payment_id: str, amount: int, method: str, reference: str) -> dict:
        if "a payment's id is the provider's key" in self.removed:
            payment_id = f"{payment_id}-{len(self.payments)}"
        if payment_id not in self.payments:
            state = METHODS.get(method, PaymentState.DECLINED).value
            self._insert(payment_id, reference, method, amount, state)
            if state == "pending":
                asyncio.get_running_loop().call_later(SLOW_S, self._decide, payment_id)
            if "capture after the sale" in self.removed and state == "authorized":
                self.capture(payment_id, amount)
        return self.payments[payment_id]

    def _insert(self, payment_id: str, reference: str, method: str, amount: int, state: str) -> None:
        self.payments[payment_id] = {
            "payment_id": payment_id, "reference": reference, "method": method, "amount": amount, "state": state,
            "captured": 0, "captures": 0, "refunded": 0,
            "created_at_ms": int(asyncio.get_running_loop().time() * 1000),
        }  # fmt: skip

    def _decide(self, payment_id: str) -> None:
        payment = self.payments[payment_id]
        if payment["state"] == "pending":
            payment["state"] = "declined" if self.dice.random() < SLOWLY_DECLINED else "authorized"
            self._events += 1
            self._mail(f"evt_{self._events}", payment_id)

    def _mail(self, event_id: str, payment_id: str) -> None:
        if self.dice.random() < self.mail.lost_before:
            return
        wait = 0.01 + self.dice.random() * (6 if self.dice.random() < self.mail.delayed else 0.05)
        asyncio.get_running_loop().call_later(wait, self.send, event_id, payment_id, True)
        if self.dice.random() < self.mail.duplicated:
            self._mail(event_id, payment_id)

    def capture(self, payment_id: str, amount: int) -> dict | None:
        payment = self.payments.get(payment_id)
        if payment is None or payment["state"] not in {"authorized", "captured"} or "fails" in payment["method"]:
            return None
        if payment["state"] == "authorized" or "a capture is once" in self.removed:
            payment.update(state="captured", captured=payment["captured"] + amount, captures=payment["captures"] + 1)
        return payment

    def cancel(self, payment_id: str) -> dict:
        if payment_id not in self.payments:
            self._insert(payment_id, "", "", 0, "cancelled")
        if self.payments[payment_id]["state"] in {"pending", "authorized"}:
            self.payments[payment_id]["state"] = "cancelled"
        return self.payments[payment_id]

    def refund(self, payment_id: str, refund_id: str, amount: int) -> dict | None:
        payment = self.payments.get(payment_id)
        if refund_id not in self.refunds:
            if payment is None or amount > payment["captured"] - payment["refunded"]:
                return None
            self.refunds[refund_id] = amount
            payment["refunded"] += amount
        return payment


class Provider:
    """A PaymentProvider at the end of a line."""

    name = "fake"

    def __init__(self, network: Network, line: Line) -> None:
        self._network, self.line = network, line

    def knows(self, method: str) -> bool:
        return method in METHODS

    async def authorize(self, payment_id: str, amount: Money, method: str, reference: str) -> Payment:
        return await self._ask(lambda: self._network.authorize(payment_id, amount.amount, method, reference))

    async def retrieve(self, payment_id: str) -> Payment | None:
        found = await self._say(lambda: self._network.payments.get(payment_id))
        return _payment(found) if found else None

    async def since(self, at_ms: int) -> AsyncIterator[Payment]:
        for row in await self._say(lambda: list(map(dict, self._network.payments.values()))):
            if row["created_at_ms"] >= at_ms:
                yield _payment(row)

    async def capture(self, payment_id: str, amount: Money) -> Payment:
        return await self._ask(lambda: self._network.capture(payment_id, amount.amount))

    async def cancel(self, payment_id: str) -> Payment:
        return await self._ask(lambda: self._network.cancel(payment_id))

    async def refund(self, payment_id: str, refund_id: str, amount: Money) -> Payment:
        return await self._ask(lambda: self._network.refund(payment_id, refund_id, amount.amount))

    def verify_webhook(self, body: bytes, headers: Mapping[str, str]) -> ProviderEvent:
        if headers["signature"] != "good" and "a webhook is signed" not in self._network.removed:
            raise WebhookForged("it is not signed by the network")
        return ProviderEvent(event_id=headers["webhook-id"], payment_id=body.decode())

    async def _ask(self, act: Callable[[], dict | None]) -> Payment:
        found = await self._say(act)
        if found is None:
            raise ProviderRefused("409 from the provider")
        return _payment(found)

    async def _say(self, act: Callable[[], Any]) -> Any:
        try:
            async with asyncio.timeout(5):
                found = await self.line.ask(act)
        except OSError as error:
            raise ProviderFailed(str(error)) from error
        return found


def _payment(row: Mapping[str, Any]) -> Payment:
    return Payment(
        payment_id=row["payment_id"],
        state=PaymentState(row["state"]),
        amount=row["amount"],
        captured=row["captured"],
        refunded=row["refunded"],
        reference=row["reference"],
        created_at_ms=row["created_at_ms"],
    )
