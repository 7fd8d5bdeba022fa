"""Buyers in virtual time: each wish has one key for all of its tries, and every answer is written down."""

import asyncio
import random
from dataclasses import replace
from typing import Any

from faults.judge import Told
from faults.virtual.shop import BUNDLE, COUPONS, OPENING, SHOW, Shop

from schema.basket import BasketPayRequest, PayingBasket, Quote, QuoteRequest
from schema.errors import ShowfloorError
from schema.hold import Hold, HoldRequest
from schema.order import Order
from schema.payment import PayRequest
from schema.people import Principal, Role
from schema.waitlist import WaitlistEntry

METHODS = ["fake_ok"] * 8 + ["fake_slow"] * 5 + ["fake_declined"] * 3 + ["fake_capture_fails"]
TRIES = 12
LEAVE_FOR_EVER = 0.2
"""How likely somebody without a final answer never asks again."""
AGAIN = {0, 202, 429, 503}
OPERATOR = Principal(account_id="op", role=Role.OPERATOR, name="Op")


class Crowd:
    def __init__(self, shop: Shop, buyers: int) -> None:
        self.shop, self.told, self.errors = shop, [], []
        self.is_open, self.storm, self.vanish = True, False, 0.0
        self._buyers = [Shopper(self, f"b{n}", random.Random(shop.seed * 100 + n)) for n in range(buyers)]

    async def live(self) -> None:
        async with asyncio.TaskGroup() as group:
            for buyer in self._buyers:
                group.create_task(buyer.live())

    async def look_back(self) -> None:
        """Whoever was told to wait asks once more, when all is over."""
        buyers = {buyer.who: buyer for buyer in self._buyers}
        waited = {told.hold_id: told.who for told in self.told if told.op == "hold" and told.state == "confirming"}
        for hold_id, who in waited.items():
            await buyers[who].look(hold_id)


class Shopper:
    def __init__(self, crowd: Crowd, who: str, dice: random.Random) -> None:
        self.crowd, self.shop, self.who, self.dice = crowd, crowd.shop, who, dice
        self.me = Principal(account_id=who, role=Role.VIEWER, name=who)
        self._keys = 0

    def key(self) -> str:
        self._keys += 1
        return f"{self.who}-{self._keys}"

    async def live(self) -> None:
        await asyncio.sleep(self.dice.random() * 4)
        while self.crowd.is_open:
            await self.buy()
            await asyncio.sleep(0.5 + self.dice.random() * 2)

    async def buy(self) -> None:
        variant, quantity, key = self.dice.choice(list(OPENING)), self.dice.choice((1, 1, 2)), self.key()
        if self.dice.random() < 0.12:
            variant, quantity = BUNDLE, 1
        request = HoldRequest(variant_id=variant, quantity=quantity)
        told = await self.ask("hold", key, "", lambda desk: desk.hold(self.me, SHOW, request, key))
        if told.state == "confirming" and self.dice.random() < 0.3:
            await self.change_of_mind(told.hold_id)
        if told.status == 201 and self.dice.random() < 0.2:
            await self.ask("hold", key, "", lambda desk: desk.hold(self.me, SHOW, request, key))
        if told.code == "sold_out" and variant != BUNDLE and self.dice.random() < 0.3:
            await self.wait(request)
        elif told.status == 201 and variant != BUNDLE and self.dice.random() < 0.15:
            await self.buy_both(told)
        elif told.status == 201 and self.dice.random() < 0.35:
            await self.pay_with_coupon(told.hold_id)
        elif told.status == 201:
            await self.go_on(told.hold_id)

    async def buy_both(self, first: Told) -> None:
        """Another product, and one payment for the two."""
        key, other = self.key(), next(variant for variant in OPENING if variant != first.variant_id)
        request = HoldRequest(variant_id=other)
        second = await self.ask("hold", key, "", lambda desk: desk.hold(self.me, SHOW, request, key))
        if second.status != 201:
            await self.go_on(first.hold_id)
            return
        pay_key, method = self.key(), self.dice.choice(METHODS)
        ids, total = [first.hold_id, second.hold_id], first.amount + second.amount
        wish = BasketPayRequest(hold_ids=ids, total=total, payment_method=method)
        await self.ask("pay", pay_key, first.hold_id, lambda desk: desk.pay_basket(self.me, SHOW, wish, pay_key))

    async def change_of_mind(self, hold_id: str) -> None:
        """Of somebody who is still told to wait: they give it back, or would pay at once."""
        if self.dice.random() < 0.5:
            await self.ask("release", "", hold_id, lambda desk: desk.release(self.me, hold_id))
        else:
            await self.pay(hold_id)

    async def look(self, hold_id: str) -> None:
        """What became of it?"""
        await self.ask("look", "", hold_id, lambda desk: desk.get_hold(self.me, hold_id))

    async def pay_with_coupon(self, hold_id: str) -> None:
        """At the total that they were quoted."""
        code = self.dice.choice(list(COUPONS))
        wish = QuoteRequest(hold_ids=[hold_id], coupon=code)
        quoted = await self.ask("quote", "", hold_id, lambda desk: desk.quote(self.me, SHOW, wish))
        if quoted.status != 200 or quoted.state:
            await self.pay(hold_id)
            return
        key, method = self.key(), self.dice.choice(METHODS)
        pay = BasketPayRequest(hold_ids=[hold_id], coupon=code, total=quoted.amount, payment_method=method)
        told = await self.ask("pay", key, hold_id, lambda desk: desk.pay_basket(self.me, SHOW, pay, key))
        await self.regret(told, hold_id)

    async def go_on(self, hold_id: str) -> None:
        await asyncio.sleep(self.dice.random())
        choice = self.dice.random()
        if choice < 0.15:
            await self.ask("release", "", hold_id, lambda desk: desk.release(self.me, hold_id))
        elif choice < 0.85:
            await self.pay(hold_id)

    async def wait(self, request: HoldRequest) -> None:
        told = await self.ask("wait", "", "", lambda desk: desk.waitlist.join(self.me, SHOW, request))
        await asyncio.sleep(1 + self.dice.random() * 2)
        if told.order_id:  # the entry
            entry = await self.ask("wait", "", "", lambda desk: desk.waitlist.entry(self.me, told.order_id))
            if entry.hold_id:
                await self.go_on(entry.hold_id)
            elif self.dice.random() < 0.5:
                await self.ask("wait", "", "", lambda desk: desk.waitlist.leave(self.me, told.order_id))

    async def pay(self, hold_id: str) -> None:
        key, request = self.key(), PayRequest(payment_method=self.dice.choice(METHODS))
        told = await self.ask("pay", key, hold_id, lambda desk: desk.pay(self.me, hold_id, request, key))
        await self.regret(told, hold_id)

    async def regret(self, told: Told, hold_id: str) -> None:
        """Some want it undone at once, some their money back."""
        choice = self.dice.random()
        if told.status == 200 and choice < 0.1:
            await self.ask("cancel", "", hold_id, lambda desk: desk.cancel(self.me, told.order_id))
        elif told.status == 200 and choice < 0.3:
            key, amount = self.key(), self.dice.choice((None, 500))
            await self.ask("refund", key, hold_id, lambda desk: desk.refund(OPERATOR, told.order_id, amount, key))

    async def ask(self, op: str, key: str, hold_id: str, work: Any) -> Told:
        told = Told(op=op, who=self.who, key=key, status=0)
        for _ in range(TRIES):
            times = 3 if self.crowd.storm and key else 1
            answers = await asyncio.gather(*(self._try(op, key, hold_id, work) for _ in range(times)))
            told = next((a for a in answers if a.status not in AGAIN and a.code != "idempotency_in_flight"), answers[0])
            if told is not answers[0] or (told.status not in AGAIN and told.code != "idempotency_in_flight"):
                break
            gone = told.status in {0, 202, 503} and self.dice.random() < LEAVE_FOR_EVER
            if gone or not self.crowd.is_open:
                break
            await asyncio.sleep(0.1 + self.dice.random() * 0.6)
        return told

    async def _try(self, op: str, key: str, hold_id: str, work: Any) -> Told:
        patience = self.dice.random() * 0.02 if self.dice.random() < self.crowd.vanish else 8.0
        loop = self.shop.loop
        base = {"op": op, "who": self.who, "key": key, "hold_id": hold_id, "asked_s": loop.time()}
        try:
            answer = await self.shop.call(work, patience)
        except ShowfloorError as error:
            told = Told(**base, status=error.status, code=error.code)
        except OSError:
            told = Told(**base, status=0)
        except Exception as error:
            self.crowd.errors.append(f"{op}: {error!r}")
            told = Told(**base, status=500)
        else:
            told = Told(**(base | read(op, answer)))
        told = replace(told, told_s=loop.time())
        self.crowd.told.append(told)
        return told


def _status(op: str, hold: Hold) -> int:
    if op == "look":
        return 200
    return 201 if op == "hold" and hold.state != "confirming" else 202


def read(op: str, answer: Any) -> dict[str, Any]:
    """An answer of the desk as its HTTP handler would give it."""
    match answer:
        case Hold():
            return {
                "status": _status(op, answer), "hold_id": answer.hold_id, "variant_id": answer.variant_id,
                "quantity": answer.quantity, "expires_at_ms": answer.expires_at_ms, "state": answer.state,
                "amount": answer.total.amount,
            }  # fmt: skip
        case PayingBasket():
            return {"status": 202, "hold_id": answer.holds[0].hold_id, "state": answer.state}
        case Order():
            return {
                "status": 200, "hold_id": answer.hold_id, "order_id": answer.order_id, "amount": answer.total.amount,
                "quantity": answer.quantity,
            }  # fmt: skip
        case Quote():
            return {"status": 200, "amount": answer.total.amount, "state": answer.coupon_refused or ""}
        case WaitlistEntry():
            return {"status": 200, "hold_id": answer.hold_id or "", "order_id": answer.entry_id}
    return {"status": 200}
