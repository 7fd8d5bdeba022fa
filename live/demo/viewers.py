"""The scripted viewers: a crowd over the public interface, from a process of its own.

Owns: one socket a viewer, and the deeds under way. The crowd reacts to what it sees in the show, so it plays along
with any host. Invariant: a server that goes away and comes back finds it again; nothing a server answers ends it.
"""

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import httpx2
import msgspec
import structlog
import websockets
from msgspec import Struct
from websockets.asyncio.client import connect

from live.demo import child
from live.demo.crowd import DECLINED_CARDS, Buy, Crowd, Say, Vote
from live.demo.shop import KNIFE, SHOP
from schema.ids import VariantId
from schema.wire import SUBPROTOCOL_JSON

log = structlog.get_logger()

PAUSE_S, PAUSE_MAX_S = 0.5, 5.0
DEEDS_MAX = 5000
TRIES = 3


class Pay(Struct, frozen=True):
    """Pay for a hold after a while."""

    after_s: float
    hold: str


Deed = Say | Buy | Vote | Pay


class ViewersOrders(Struct, frozen=True, kw_only=True):
    """Where to go, and as whom."""

    base_url: str
    show: str
    seed: int
    tokens: list[str]


class Audience:
    """Everybody, and what they are about to do."""

    def __init__(self, orders: ViewersOrders, http: httpx2.AsyncClient, tasks: asyncio.TaskGroup) -> None:
        self._orders, self._http, self._tasks = orders, http, tasks
        self._crowd = Crowd(orders.seed, len(orders.tokens))
        self._pending = 0
        self._knives = 0
        self._poll = ""
        self._too_late: dict[VariantId, list[int]] = {}

    async def come(self, viewer: int) -> None:
        """One viewer's evening: come in, stay, come back when the line breaks. The first one watches for all."""
        await asyncio.sleep(self._crowd.arrival_s(viewer))
        pause_s = PAUSE_S
        while True:
            try:
                await self._sit(viewer)
                pause_s = PAUSE_S
            except (OSError, TimeoutError, websockets.WebSocketException, httpx2.HTTPError, msgspec.DecodeError):
                pause_s = min(pause_s * 2, PAUSE_MAX_S)
            await asyncio.sleep(pause_s)

    async def _sit(self, viewer: int) -> None:
        answer = await self._post(viewer, f"/api/v1/shows/{self._orders.show}/tickets")
        ticket = answer.raise_for_status().json()["ticket"]
        where = self._orders.base_url.replace("http", "ws", 1) + f"/ws/{self._orders.show}?ticket={ticket}"
        async with connect(where, subprotocols=[SUBPROTOCOL_JSON], compression=None) as socket:  # type: ignore[list-item]
            async for frame in socket:
                if viewer == 0:
                    self._see(msgspec.json.decode(frame))
                elif '"t":"claim"' in str(frame):  # to decode every frame for every viewer would be most of the work
                    self._claimed(viewer, msgspec.json.decode(frame)["private"])

    async def talk(self) -> None:
        """Small talk, minute by minute."""
        minute = 0
        while True:
            for viewer in range(self._crowd.size):
                self._plan(viewer, self._crowd.small_talk(viewer, minute))
            minute += 1
            await asyncio.sleep(60)

    def _see(self, frame: dict[str, Any]) -> None:
        if frame.get("snapshot"):
            return
        for event in frame.get("ev", []):
            if event["t"] == "pin":
                self._everybody(self._crowd.on_pin, event["variant_id"])
            elif event["t"] == "price":
                self._price(event["variant_id"], event["price"]["amount"])
            elif event["t"] == "back_in_stock":
                self._offer(event["variant_id"], event["available"])
        poll = frame.get("st", {}).get("poll")
        if poll and poll["closed_at_ms"] is None and poll["poll_id"] != self._poll:
            self._poll = poll["poll_id"]
            for viewer in range(self._crowd.size):
                self._plan(viewer, self._crowd.on_poll(viewer, poll["question"], len(poll["options"])))
        if frame.get("st", {}).get("slow"):
            self._everybody(lambda viewer, _: self._crowd.on_slow_mode(viewer), VariantId(""))

    def _claimed(self, viewer: int, claim: dict[str, Any]) -> None:
        """A comment became a hold: pay for it."""
        if claim["outcome"] == "held":
            self._plan(viewer, [Pay(5.0, claim["hold_id"])])

    def _price(self, variant: VariantId, amount: int) -> None:
        """One that rises again, because a flash price is over, makes nobody run."""
        usual = next((goods.price_amount for goods in SHOP if variant in goods.variants()), 0)
        if amount < usual:
            self._everybody(self._crowd.on_price, variant)

    def _everybody(self, react: Callable[[int, VariantId], Iterable[Deed]], variant: VariantId) -> None:
        for viewer in range(self._crowd.size):
            self._plan(viewer, react(viewer, variant))

    def _offer(self, variant: VariantId, available: int) -> None:
        """Units came back: the first who came too late try again."""
        waiting = self._too_late.get(variant, [])
        lucky, self._too_late[variant] = waiting[:available], waiting[available:]
        for viewer in lucky:
            self._plan(viewer, [Buy(0.2, variant, 1, 3.0)])

    def _plan(self, viewer: int, deeds: Iterable[Deed]) -> None:
        for deed in deeds:
            if self._pending < DEEDS_MAX:
                self._pending += 1
                self._tasks.create_task(self._carry_out(viewer, deed))

    async def _carry_out(self, viewer: int, deed: Deed) -> None:
        try:
            await asyncio.sleep(deed.after_s)
            if isinstance(deed, Say):
                await self._post(viewer, f"/api/v1/shows/{self._orders.show}/chat", {"text": deed.text})
            elif isinstance(deed, Vote):
                path = f"/api/v1/shows/{self._orders.show}/polls/{self._poll}/vote"
                await self._http.put(path, json={"option": deed.option}, headers=self._as(viewer))
            elif isinstance(deed, Pay):
                await self._pay(viewer, deed.hold, "fake_ok")
            else:
                await self._buy(viewer, deed)
        except (httpx2.HTTPError, OSError, TimeoutError) as error:
            log.info("viewer_gave_up", error=repr(error))
        finally:
            self._pending -= 1

    async def _buy(self, viewer: int, deed: Buy) -> None:
        key = f"{viewer}-{deed.variant}-{time.monotonic_ns()}"
        body = {"variant_id": deed.variant, "quantity": deed.quantity}
        answer = await self._insist(
            lambda: self._post(viewer, f"/api/v1/shows/{self._orders.show}/holds", body, key=key)
        )
        if answer.status_code != 201:
            if answer.status_code == 409 and answer.json().get("code") == "sold_out":
                self._too_late.setdefault(deed.variant, []).append(viewer)
            return
        hold = answer.json()["hold_id"]
        method = self._card(deed.variant)
        await asyncio.sleep(deed.think_s)
        await self._pay(viewer, hold, method)

    async def _pay(self, viewer: int, hold: str, method: str) -> None:
        path = f"/api/v1/holds/{hold}"
        paid = await self._insist(
            lambda: self._post(viewer, f"{path}/pay", {"payment_method": method}, key=f"pay-{hold}")
        )
        if paid.status_code == 402:
            await self._http.delete(path, headers=self._as(viewer))

    def _card(self, variant: VariantId) -> str:
        if variant != KNIFE:
            return "fake_ok"
        self._knives += 1
        return "fake_declined" if self._knives <= DECLINED_CARDS else "fake_ok"

    async def _insist(self, ask: Callable[[], Awaitable[httpx2.Response]]) -> httpx2.Response:
        """Ask again, with the same key, while the server says 'later'."""
        for attempt in range(1, TRIES + 1):
            answer = await ask()
            if answer.status_code not in (429, 503) or attempt == TRIES:
                return answer
            await asyncio.sleep(float(answer.headers.get("retry-after", "1")))
        raise AssertionError("unreachable")

    async def _post(self, viewer: int, path: str, body: object = None, key: str = "") -> httpx2.Response:
        headers = self._as(viewer) | ({"Idempotency-Key": key} if key else {})
        return await self._http.post(path, json=body, headers=headers)

    def _as(self, viewer: int) -> dict[str, str]:
        return {"Authorization": f"Bearer {self._orders.tokens[viewer]}"}


async def attend(orders: ViewersOrders) -> None:
    """Play the crowd until cancelled."""
    limits = httpx2.Limits(max_connections=64, max_keepalive_connections=16)
    async with (
        httpx2.AsyncClient(base_url=orders.base_url, timeout=30, limits=limits) as http,
        asyncio.TaskGroup() as tasks,
    ):
        audience = Audience(orders, http, tasks)
        for viewer in range(len(orders.tokens)):
            tasks.create_task(audience.come(viewer))
        tasks.create_task(audience.talk())


if __name__ == "__main__":
    sys.exit(child.main(ViewersOrders, attend))
