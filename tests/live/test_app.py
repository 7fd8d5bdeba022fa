"""The whole story through the public interface: HTTP and the socket of a served app, on real stores."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx2
import msgspec
import pytest
from websockets.asyncio.client import connect

from checkout.verify import verify
from live.auth import issue_token
from live.server import serve
from live.settings import Settings
from schema.people import Role
from schema.wire import SUBPROTOCOL_JSON

DEADLINE_S = 20


@asynccontextmanager
async def served(settings: Settings) -> AsyncIterator[Settings]:
    """The service as `showfloor serve` runs it, on a free port."""
    up: asyncio.Future[Settings] = asyncio.get_running_loop().create_future()

    async def ready(bound: Settings) -> None:
        up.set_result(bound)

    task = asyncio.create_task(serve(settings, ready=ready))
    try:
        await asyncio.wait({task, up}, return_when=asyncio.FIRST_COMPLETED, timeout=DEADLINE_S)
        if task.done():
            task.result()
        yield await up
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@pytest.fixture
def settings(settings, redis_url, database_url):
    return msgspec.structs.replace(settings, port=0, base_url="", redis_url=redis_url, database_url=database_url)


class Api:
    """A client with a token of each role."""

    def __init__(self, http: httpx2.AsyncClient, settings: Settings) -> None:
        self._http = http
        self.tokens = {role: issue_token(settings, None, role, role.value, 1) for role in (Role.HOST, Role.OPERATOR)}

    async def ask(self, method, path, body=None, token=None, key=None):
        headers = {}
        if token is not None:
            headers["Authorization"] = f"Bearer {self.tokens.get(token, token)}"
        if key is not None:
            headers["Idempotency-Key"] = key
        answer = await self._http.request(method, f"/api/v1{path}", json=body, headers=headers)
        assert answer.status_code < 300, answer.text
        return answer.json() if answer.content else None


class Screen:
    """What one viewer sees: the events so far, and the last value of each state key."""

    def __init__(self, socket) -> None:
        self._socket = socket
        self.events, self.state, self.frames = [], {}, []

    async def until(self, seen):
        """Read frames until `seen(self)`."""
        async with asyncio.timeout(DEADLINE_S):
            while not seen(self):
                frame = json.loads(await self._socket.recv())
                self.frames.append(frame)
                self.events += frame.get("ev", [])
                self.state |= frame.get("st", {})
        return self

    def kinds(self):
        return [event["t"] for event in self.events]


@asynccontextmanager
async def screen(base_url: str, show: str, ticket: str, query: str = ""):
    url = f"{base_url.replace('http', 'ws', 1)}/ws/{show}?ticket={ticket}{query}"
    async with connect(url, subprotocols=[SUBPROTOCOL_JSON]) as socket:
        yield Screen(socket)


async def open_show(api: Api) -> None:
    await api.ask("POST", "/shows", {"title": "Kitchen", "starts_at_ms": 1, "show_id": "demo"}, Role.OPERATOR)
    product = {"title": "Cookbook", "variants": [{"price_amount": 2000, "variant_id": "book"}]}
    await api.ask("POST", "/products", product, Role.OPERATOR)
    item = {"variant_id": "book", "opening_stock": 1, "limit_per_buyer": 2}
    await api.ask("POST", "/shows/demo/items", item, Role.OPERATOR)
    await api.ask("PUT", "/shows/demo/state", {"state": "live"}, Role.HOST)


async def test_a_show_sells_its_last_unit_and_takes_it_back(settings):
    async with served(settings) as bound, httpx2.AsyncClient(base_url=bound.base_url) as http:
        api = Api(http, bound)
        await open_show(api)
        guest = await api.ask("POST", "/shows/demo/guests", {"name": "Ann"})
        async with screen(bound.base_url, "demo", guest["ticket"]) as ann:
            await ann.until(lambda seen: seen.state.get("viewers") == 1)
            assert ann.frames[0]["snapshot"] is True
            assert (ann.state["show"], ann.state["sales"]) == ("live", True)
            assert ann.state["stock.book"]["available"] == 1

            await api.ask("POST", "/shows/demo/pins", {"variant_id": "book"}, Role.HOST)
            await ann.until(lambda seen: "pin" in seen.kinds())
            await api.ask("PUT", "/shows/demo/items/book/price", {"price_amount": 1500}, Role.HOST)
            await ann.until(lambda seen: "price" in seen.kinds())

            hold = await api.ask("POST", "/shows/demo/holds", {"variant_id": "book"}, guest["viewer_token"], "tap")
            assert hold["total"] == {"amount": 1500, "currency": "EUR"}
            await ann.until(lambda seen: "sold_out" in seen.kinds() and seen.state["stock.book"]["held"] == 1)
            pay = f"/holds/{hold['hold_id']}/pay"
            order = await api.ask("POST", pay, {"payment_method": "fake_ok"}, guest["viewer_token"], "pay")
            await ann.until(lambda seen: seen.state["stock.book"]["sold"] == 1)

            refund = await api.ask("POST", f"/orders/{order['order_id']}/refund", {}, Role.OPERATOR)
            assert (refund["amount"]["amount"], refund["units_returned"]) == (1500, 1)
            await ann.until(lambda seen: "back_in_stock" in seen.kinds())
            await ann.until(lambda seen: seen.state["stock.book"]["available"] == 1)
            offsets = [event["o"] for event in ann.events]
            assert offsets == sorted(set(offsets))
        report = await verify(bound.database_url, "demo")
        assert report.ok, report.problems


async def test_a_late_viewer_sees_what_is_pinned_now_and_nothing_that_went(settings):
    async with served(settings) as bound, httpx2.AsyncClient(base_url=bound.base_url) as http:
        api = Api(http, bound)
        await open_show(api)
        await api.ask("POST", "/shows/demo/pins", {"variant_id": "book"}, Role.HOST)
        early = await api.ask("POST", "/shows/demo/guests")
        async with screen(bound.base_url, "demo", early["ticket"]) as one:
            await one.until(lambda seen: seen.frames)
            assert [event["t"] for event in one.events] == ["pin"]
        await api.ask("DELETE", "/shows/demo/pins/book", token=Role.HOST)
        late = await api.ask("POST", "/shows/demo/guests")
        async with screen(bound.base_url, "demo", late["ticket"]) as two:
            await two.until(lambda seen: seen.frames)
            assert two.events == []


async def test_a_kill_switch_is_felt_by_the_next_tap(settings):
    async with served(settings) as bound, httpx2.AsyncClient(base_url=bound.base_url) as http:
        api = Api(http, bound)
        await open_show(api)
        guest = await api.ask("POST", "/shows/demo/guests")
        await api.ask("PUT", "/shows/demo/sales", {"open": False}, Role.OPERATOR)
        headers = {"Authorization": f"Bearer {guest['viewer_token']}", "Idempotency-Key": "tap"}
        tap = await http.post("/api/v1/shows/demo/holds", json={"variant_id": "book"}, headers=headers)
        assert (tap.status_code, tap.json()["code"]) == (409, "sales_closed")
        await api.ask("PUT", "/shows/demo/sales", {"open": True}, Role.OPERATOR)
        held = await api.ask("POST", "/shows/demo/holds", {"variant_id": "book"}, guest["viewer_token"], "tap two")
        assert held["state"] == "held"


async def test_nothing_is_sold_before_the_show(settings):
    async with served(settings) as bound, httpx2.AsyncClient(base_url=bound.base_url) as http:
        api = Api(http, bound)
        await api.ask("POST", "/shows", {"title": "Soon", "starts_at_ms": 1, "show_id": "soon"}, Role.OPERATOR)
        product = {"title": "Cookbook", "variants": [{"price_amount": 2000, "variant_id": "book"}]}
        await api.ask("POST", "/products", product, Role.OPERATOR)
        await api.ask("POST", "/shows/soon/items", {"variant_id": "book", "opening_stock": 1}, Role.OPERATOR)
        guest = await api.ask("POST", "/shows/soon/guests")
        headers = {"Authorization": f"Bearer {guest['viewer_token']}", "Idempotency-Key": "tap"}
        tap = await http.post("/api/v1/shows/soon/holds", json={"variant_id": "book"}, headers=headers)
        assert (tap.status_code, tap.json()["code"]) == (409, "sales_closed")


async def test_after_a_restart_the_show_stands_as_it_stood(settings):
    async with served(settings) as bound, httpx2.AsyncClient(base_url=bound.base_url) as http:
        api = Api(http, bound)
        await open_show(api)
        await api.ask("POST", "/shows/demo/pins", {"variant_id": "book"}, Role.HOST)
        guest = await api.ask("POST", "/shows/demo/guests")
        hold = await api.ask("POST", "/shows/demo/holds", {"variant_id": "book"}, guest["viewer_token"], "tap")
        before = await api.ask("GET", "/shows/demo")
    async with served(settings) as bound, httpx2.AsyncClient(base_url=bound.base_url) as http:
        api = Api(http, bound)
        assert await api.ask("GET", "/shows/demo") == before
        assert await api.ask("GET", f"/holds/{hold['hold_id']}", token=guest["viewer_token"]) == hold
        ticket = await api.ask("POST", "/shows/demo/tickets", token=guest["viewer_token"])
        async with screen(bound.base_url, "demo", ticket["ticket"]) as ann:
            await ann.until(lambda seen: seen.frames)
            assert [event["t"] for event in ann.events] == ["pin"]
            assert ann.state["stock.book"] == before["items"][0]["stock"]


async def test_a_ticket_opens_one_socket(settings):
    async with served(settings) as bound, httpx2.AsyncClient(base_url=bound.base_url) as http:
        api = Api(http, bound)
        await open_show(api)
        guest = await api.ask("POST", "/shows/demo/guests")
        async with screen(bound.base_url, "demo", guest["ticket"]) as ann:
            await ann.until(lambda seen: seen.frames)
            with pytest.raises(Exception, match="401"):
                async with screen(bound.base_url, "demo", guest["ticket"]):
                    pass
