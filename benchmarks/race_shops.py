"""What a race needs of a shop, and ours: `showfloor serve`, over its public interface alone. The peers: race_peers.py.

What belongs to a show or a store (region, shipping, a product with one unit) is made over the operator's interface.
Each shop counts in the end what it has ordered and charged by its own books, not by what buyers were told.
"""

import asyncio
import itertools
import os
import re
import socket
import sqlite3
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import httpx2

from live.auth import Tokens
from schema.ids import AccountId
from schema.people import Principal, Role

TIMEOUT_S = 120.0
READY_S = 60.0
LAPSE_S, LAPSE_LOOKS = 30.0, 150
PREPARED_AT_ONCE = 5
ORDERED = "ordered"
_names = itertools.count(1)


@dataclass(frozen=True, kw_only=True)
class Books:
    """What a shop says of one product."""

    ordered: int
    """Units in orders that stand."""
    charged: int
    """Buyers of it with money reserved or taken, and not given back."""
    charged_without_order: int


@dataclass
class Goods:
    """One product with one unit, and everybody who came for it."""

    id: str
    buyers: list["Buyer"] = field(default_factory=list)


@dataclass
class Buyer:
    """Somebody who has only to say the last word."""

    goods: Goods
    id: str = ""
    token: str = ""
    hold_id: str = ""


class Shop(Protocol):
    """What a race needs of a shop."""

    name: str

    async def goods(self) -> Goods:
        """A new product, one unit of it in stock."""

    async def comes(self, goods: Goods) -> Buyer:
        """Somebody before the call that decides."""

    async def buys(self, buyer: Buyer) -> str:
        """The rest, to the payment; ORDERED, or how it was refused."""

    async def lingers(self, goods: Goods) -> Buyer:
        """Somebody at the payment, with whatever that promises, for longer than it is promised."""

    async def pays(self, buyer: Buyer) -> str:
        """That payment."""

    async def books(self, goods: Goods) -> Books: ...


def word_of(answer: httpx2.Response) -> str:
    """A refusal, short enough for a table."""
    try:
        body = answer.json()
    except ValueError:
        body = {}
    return short(answer.status_code, body.get("code") or body.get("type") or "", body.get("message", ""))


def short(*words: object) -> str:
    """Without the ids in it, which would make each answer another one."""
    return re.sub(r"\S*_\S*\d\S*", "...", " ".join(str(word) for word in words if word))[:90]


class Web:
    """A client that raises on what was not to be refused."""

    def __init__(self, base_url: str) -> None:
        limits = httpx2.Limits(max_connections=200, max_keepalive_connections=200)
        self.http = httpx2.AsyncClient(base_url=base_url, timeout=TIMEOUT_S, limits=limits)

    async def do(self, method: str, path: str, body: object = None, **headers: str) -> Any:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        answer = await self.http.request(method, path, json=body, headers=sent)
        if answer.status_code >= 300:
            raise RuntimeError(f"{method} {path}: {answer.status_code} {answer.text[:300]}")
        return answer.json() if answer.content else None


class Showfloor:
    """`showfloor serve`, with its own stores and payment network. A hold is what lingering promises."""

    name = "Showfloor"

    def __init__(self, web: Web, operator: str, record: Path) -> None:
        self._web, self._record = web, record
        self._operator = {"Authorization": f"Bearer {operator}"}

    async def goods(self) -> Goods:
        number = next(_names)
        show, variant = f"race-{number}", f"pot-{number}"
        do = self._web.do
        await do("POST", "/api/v1/shows", {"show_id": show, "title": show, "starts_at_ms": 0}, **self._operator)
        product = {"title": variant, "product_id": f"p-{variant}"}
        priced = [{"variant_id": variant, "price_amount": 4900}]
        await do("POST", "/api/v1/products", product | {"variants": priced}, **self._operator)
        item = {"variant_id": variant, "opening_stock": 1, "limit_per_buyer": 1}
        await do("POST", f"/api/v1/shows/{show}/items", item, **self._operator)
        await do("PUT", f"/api/v1/shows/{show}/state", {"state": "live"}, **self._operator)
        return Goods(show)

    async def comes(self, goods: Goods) -> Buyer:
        joined = await self._web.do("POST", f"/api/v1/shows/{goods.id}/guests")
        return Buyer(goods, id=joined["viewer_id"], token=joined["viewer_token"])

    async def buys(self, buyer: Buyer) -> str:
        answer = await self._hold(buyer)
        return await self.pays(buyer) if answer.status_code == 201 else word_of(answer)

    async def lingers(self, goods: Goods) -> Buyer:
        buyer = await self.comes(goods)
        (await self._hold(buyer)).raise_for_status()
        for _ in range(LAPSE_LOOKS):
            if (await self._ask("GET", f"/api/v1/holds/{buyer.hold_id}", buyer)).json()["state"] != "held":
                return buyer
            await asyncio.sleep(LAPSE_S / LAPSE_LOOKS)
        raise TimeoutError("the hold does not lapse")

    async def pays(self, buyer: Buyer) -> str:
        answer = await self._ask("POST", f"/api/v1/holds/{buyer.hold_id}/pay", buyer, {"payment_method": "fake_ok"})
        return ORDERED if answer.status_code == 200 else word_of(answer)

    async def books(self, goods: Goods) -> Books:
        path = f"/api/v1/shows/{goods.id}/orders"
        orders = (await self._web.do("GET", path, **self._operator))["items"]
        standing = [order for order in orders if order["state"] not in {"cancelled", "capture_failed", "refunded"}]
        ours = {buyer.hold_id for buyer in goods.buyers if buyer.hold_id}
        with closing(sqlite3.connect(f"file:{self._record}?mode=ro", uri=True)) as record:
            rows = record.execute("SELECT reference FROM payments WHERE state IN ('authorized', 'captured')").fetchall()
        charged = {reference for (reference,) in rows} & ours
        with_order = {order["hold_id"] for order in standing}
        return Books(
            ordered=sum(line["quantity"] for order in standing for line in order["lines"]),
            charged=len(charged),
            charged_without_order=len(charged - with_order),
        )

    async def _hold(self, buyer: Buyer) -> httpx2.Response:
        wish = {"variant_id": buyer.goods.id.replace("race", "pot"), "quantity": 1}
        answer = await self._ask("POST", f"/api/v1/shows/{buyer.goods.id}/holds", buyer, wish)
        if answer.status_code == 201:
            buyer.hold_id = answer.json()["hold_id"]
        return answer

    async def _ask(self, method: str, path: str, buyer: Buyer, body: object = None) -> httpx2.Response:
        headers = {"Authorization": f"Bearer {buyer.token}", "Idempotency-Key": f"{path}-{buyer.id}"}
        return await self._web.http.request(method, path, json=body, headers=headers)


@asynccontextmanager
async def showfloor(folder: Path, hold_s: int) -> AsyncIterator[Showfloor]:
    """Our service as a process of its own; it ends with the context."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    secret = "a secret of these races, long enough for the service"
    env = {name: value for name, value in os.environ.items() if not name.startswith("SHOWFLOOR_")}
    env |= {"SHOWFLOOR_TOKEN_SECRET": secret, "SHOWFLOOR_HOLD_SECONDS": str(hold_s), "SHOWFLOOR_LOG_LEVEL": "warning"}
    command = [sys.executable, "-m", "live", "serve", "--port", str(port), "--load", "--data-dir", str(folder)]
    process = await asyncio.create_subprocess_exec(*command, env=env, cwd=Path(__file__).parents[1])
    try:
        web = Web(f"http://127.0.0.1:{port}")
        await _ready(web)
        operator = Principal(account_id=AccountId("op"), role=Role.OPERATOR, name="Op")
        yield Showfloor(web, Tokens(secret).issue(operator, 86_400), folder / "fakepay.sqlite")
    finally:
        process.terminate()
        await asyncio.wait_for(process.wait(), 30)


async def _ready(web: Web) -> None:
    end = time.monotonic() + READY_S
    while True:
        try:
            if (await web.http.get("/readyz")).status_code == 200:
                return
        except httpx2.HTTPError:
            pass
        if time.monotonic() > end:
            raise TimeoutError("our service does not become ready")
        await asyncio.sleep(0.1)
