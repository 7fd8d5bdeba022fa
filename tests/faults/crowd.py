"""Buyers who behave as buyers do when a page hangs: they tap again, they reload, they leave and come back.

Each wish has one Idempotency-Key for all of its tries. What they are told is written down, answer by answer.
"""

import asyncio
import contextlib
import random
import time
from dataclasses import dataclass, field, replace

import httpx2
import msgspec
from faults.judge import Told

TRY_S = 8.0
GIVE_UP_S = 40.0
HOARDERS = 4
LEAVE_FOR_EVER = 0.25
"""How likely somebody who got no answer never asks again."""
METHODS = ["fake_ok"] * 9 + ["fake_slow"] * 6 + ["fake_declined"] * 2 + ["fake_capture_fails"]
LAST_WORDS = {400, 401, 402, 403, 404, 405, 410, 422}


@dataclass
class Moods:
    """What the plan makes of the crowd."""

    storm: bool = False
    """Each request goes out several times at once."""
    vanish: float = 0.0
    """How likely a request is given up in its middle, to be repeated."""


@dataclass
class Crowd:
    base_url: str
    show_id: str
    variants: tuple[str, ...]
    seed: int
    operator_token: str
    told: list[Told] = field(default_factory=list)
    moods: Moods = field(default_factory=Moods)
    sent: int = 0
    vanished: int = 0
    _open: bool = True

    async def __aenter__(self) -> "Crowd":
        limits = httpx2.Limits(max_connections=200, max_keepalive_connections=200)
        self.http = httpx2.AsyncClient(base_url=self.base_url, timeout=TRY_S, limits=limits)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.http.aclose()

    async def shop(self, buyers: dict[str, str]) -> None:
        """Until `close_doors`. `buyers`: account id -> token."""
        async with asyncio.TaskGroup() as group:
            for number, (who, token) in enumerate(buyers.items()):
                kind = Hoarder if number < HOARDERS else Buyer
                group.create_task(kind(self, who, token, random.Random(self.seed * 1000 + number)).live())

    async def look_back(self, buyers: dict[str, str]) -> None:
        """Whoever was told to wait asks once more, when all is over."""
        waited = {told.hold_id: told.who for told in self.told if told.op == "hold" and told.state == "confirming"}
        for hold_id, who in waited.items():
            buyer = Buyer(self, who, buyers[who], random.Random(self.seed))
            await buyer.ask("look", "GET", f"/api/v1/holds/{hold_id}", "", None, hold_id)

    def close_doors(self) -> None:
        self._open = False

    @property
    def is_open(self) -> bool:
        return self._open


class Buyer:
    def __init__(self, crowd: Crowd, who: str, token: str, dice: random.Random) -> None:
        self.crowd, self.who, self.dice = crowd, who, dice
        self.headers = {"Authorization": f"Bearer {token}"}
        self._keys = 0

    def key(self, what: str) -> str:
        self._keys += 1
        return f"{what}-{self.who}-{self._keys}"

    async def live(self) -> None:
        await asyncio.sleep(self.dice.random() * 1.5)
        while self.crowd.is_open:
            await self.buy()
            await asyncio.sleep(0.3 + self.dice.random())

    async def buy(self) -> None:
        crowd, key = self.crowd, self.key("tap")
        variant, quantity = self.dice.choice(crowd.variants), self.dice.choice((1, 1, 1, 2))
        body = {"variant_id": variant, "quantity": quantity}
        hold = await self.ask("hold", "POST", f"/api/v1/shows/{crowd.show_id}/holds", key, body)
        if hold.status != 201:
            return
        if self.dice.random() < 0.2:
            await asyncio.sleep(self.dice.random())  # a page that was closed and opened again
            await self.ask("hold", "POST", f"/api/v1/shows/{crowd.show_id}/holds", key, body)
        choice = self.dice.random()
        if choice < 0.12 and await self.buy_both(hold):
            return
        choice = self.dice.random()
        if choice < 0.12:
            await self.ask("release", "DELETE", f"/api/v1/holds/{hold.hold_id}", "", None, hold.hold_id)
        elif choice < 0.9:
            await self.pay(hold.hold_id)

    async def buy_both(self, first: Told) -> bool:
        """Another product, and one payment for the two."""
        crowd = self.crowd
        other = next(variant for variant in crowd.variants if variant != first.variant_id)
        body = {"variant_id": other, "quantity": 1}
        second = await self.ask("hold", "POST", f"/api/v1/shows/{crowd.show_id}/holds", self.key("tap"), body)
        if second.status == 201:
            wish = {"hold_ids": [first.hold_id, second.hold_id], "total": first.amount + second.amount}
            await self.pay(first.hold_id, f"/api/v1/shows/{crowd.show_id}/baskets/pay", wish)
        return second.status == 201

    async def pay(self, hold_id: str, path: str = "", wish: dict | None = None) -> None:
        key, body = self.key("pay"), (wish or {}) | {"payment_method": self.dice.choice(METHODS)}
        path = path or f"/api/v1/holds/{hold_id}/pay"
        answer = await self.ask("pay", "POST", path, key, body, hold_id)
        end = time.monotonic() + GIVE_UP_S
        while answer.status == 202 and self.crowd.is_open and time.monotonic() < end:
            await asyncio.sleep(0.7)
            answer = await self.ask("pay", "POST", path, key, body, hold_id)
        if answer.status == 200:
            await self.regret(answer)

    async def regret(self, paid: Told) -> None:
        """Some want it undone at once, some their money back."""
        choice = self.dice.random()
        if choice < 0.06:
            await self.ask(
                "cancel", "POST", f"/api/v1/orders/{paid.order_id}/cancel", self.key("cancel"), {}, paid.hold_id
            )
        elif choice < 0.2:
            await self.refund(paid)

    async def refund(self, paid: Told) -> None:
        body = {} if self.dice.random() < 0.5 else {"amount": max(1, paid.amount // 3)}
        operator = {"Authorization": f"Bearer {self.crowd.operator_token}"}
        path = f"/api/v1/orders/{paid.order_id}/refund"
        await self.ask("refund", "POST", path, self.key("refund"), body, paid.hold_id, operator)

    # -- one wish -----------------------------------------------------------------------------------------------

    async def ask(self, op, method, path, key, body, hold_id="", headers=None) -> Told:
        """The last word on it; status 0 if there was none before the doors closed."""
        headers = (headers or self.headers) | ({"Idempotency-Key": key} if key else {})
        end = time.monotonic() + GIVE_UP_S
        while True:
            times = 3 if self.crowd.moods.storm and key else 1
            tries = (self._try(op, method, path, key, body, hold_id, headers) for _ in range(times))
            answers = await asyncio.gather(*tries)
            for answer in answers:
                if _is_last_word(answer):
                    return answer
            gone = answers[0].status == 0 and self.dice.random() < LEAVE_FOR_EVER
            if gone or time.monotonic() > end or not self.crowd.is_open:
                return answers[0]
            await asyncio.sleep(0.1 + self.dice.random() * 0.5)

    async def _try(self, op, method, path, key, body, hold_id, headers) -> Told:
        crowd = self.crowd
        crowd.sent += 1
        told = Told(op=op, who=self.who, key=key, status=0, hold_id=hold_id, asked_s=time.monotonic())
        patience = self.dice.random() * 0.03 if self.dice.random() < crowd.moods.vanish else TRY_S
        try:
            async with asyncio.timeout(patience):
                answer = await crowd.http.request(method, path, json=body, headers=headers)
        except (httpx2.HTTPError, OSError):  # TimeoutError among them: the request was cancelled in its middle
            crowd.vanished += patience < 1
            return self._note(told)
        return self._note(replace(_read(op, self.who, key, hold_id, answer), asked_s=told.asked_s))

    def _note(self, told: Told) -> Told:
        told = replace(told, told_s=time.monotonic())
        self.crowd.told.append(told)
        return told


class Hoarder(Buyer):
    """Wants all there is, and pays for none of it: runs into the limit, again and again."""

    async def buy(self) -> None:
        key = self.key("grab")
        body = {"variant_id": self.crowd.variants[0], "quantity": 2}
        await self.ask("hold", "POST", f"/api/v1/shows/{self.crowd.show_id}/holds", key, body)


def _is_last_word(told: Told) -> bool:
    if told.status == 202:
        return told.op != "hold"  # being confirmed: asked again with the same key
    if told.status == 409:
        return told.code != "idempotency_in_flight"
    return 0 < told.status < 300 or told.status in LAST_WORDS


def _read(op: str, who: str, key: str, hold_id: str, answer: httpx2.Response) -> Told:
    body = {}
    with contextlib.suppress(msgspec.DecodeError):
        body = msgspec.json.decode(answer.content) if answer.content else {}
    total = body.get("total") or body.get("amount") or {}
    return Told(
        op=op,
        who=who,
        key=key,
        status=answer.status_code,
        code=body.get("code", ""),
        variant_id=body.get("variant_id", ""),
        hold_id=body.get("hold_id") or hold_id,
        order_id=body.get("order_id") or "",
        quantity=body.get("quantity", 0),
        amount=total.get("amount", 0) if isinstance(total, dict) else 0,
        expires_at_ms=body.get("expires_at_ms", 0),
        state=body.get("state", ""),
    )
