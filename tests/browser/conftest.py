"""The running service and a real Chromium in front of it: a show with two items, and whoever opens its pages."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest
import uvicorn
from playwright.async_api import expect
from starlette.applications import Starlette

from live.auth import issue_token
from live.server import serve
from live.settings import Settings
from live.web.pages import page_routes
from schema.people import Role

SHOW, POT, KNIFE = "kitchen", "pot-blue", "knife"
WAIT_MS = 20_000
"""Only to catch a hang: a page that retries over an outage takes some seconds, and a busy machine more."""
UP_S = 30

expect.set_options(timeout=WAIT_MS)

PHONE, DESKTOP = (360, 740), (1280, 800)


@dataclass
class Site:
    """One running service with one live show."""

    base_url: str
    host: str
    operator: str
    moderator: str
    merchant: str = ""
    """An operator's token for every show."""
    admin: str = ""
    """An admin's, for every show."""
    analyst: str = ""

    async def ask(self, method: str, path: str, body: object = None, token: str = "", **headers: str) -> Any:
        """One request; a refusal fails the test. Answers the decoded body."""
        if token:
            headers["Authorization"] = f"Bearer {token}"
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        async with httpx2.AsyncClient(base_url=self.base_url, timeout=30) as http:
            answer = await http.request(method, path, json=body, headers=named)
        assert answer.status_code < 400, answer.text
        return answer.json() if answer.content else None

    async def show(self) -> Any:
        return await self.ask("GET", f"/api/v1/shows/{SHOW}")

    async def stock(self, variant: str) -> dict[str, int]:
        return next(item["stock"] for item in (await self.show())["items"] if item["variant_id"] == variant)

    async def set_state(self, state: str) -> None:
        await self.ask("PUT", f"/api/v1/shows/{SHOW}/state", {"state": state}, self.host)

    async def pin(self, variant: str) -> None:
        await self.ask("POST", f"/api/v1/shows/{SHOW}/pins", {"variant_id": variant}, self.host)

    async def set_sales(self, *, is_open: bool) -> None:
        await self.ask("PUT", f"/api/v1/shows/{SHOW}/sales", {"open": is_open}, self.operator)

    async def guest(self) -> str:
        """A guest's token."""
        return (await self.ask("POST", f"/api/v1/shows/{SHOW}/guests"))["viewer_token"]

    async def say(self, text: str, token: str) -> str:
        """The message's id."""
        return (await self.ask("POST", f"/api/v1/shows/{SHOW}/chat", {"text": text}, token))["id"]

    async def hold(self, variant: str, key: str) -> tuple[str, str]:
        """Another buyer's hold, and their token."""
        token = await self.guest()
        hold = await self.ask(
            "POST", f"/api/v1/shows/{SHOW}/holds", {"variant_id": variant}, token, Idempotency_Key=f"hold-{key}"
        )
        return hold["hold_id"], token

    async def release(self, hold_id: str, token: str) -> None:
        await self.ask("DELETE", f"/api/v1/holds/{hold_id}", token=token)

    async def buy(self, variant: str, key: str) -> str:
        """Another buyer's order."""
        hold_id, token = await self.hold(variant, key)
        paid = await self.ask(
            "POST", f"/api/v1/holds/{hold_id}/pay", {"payment_method": "fake_ok"}, token, Idempotency_Key=f"pay-{key}"
        )
        return paid["order_id"]


@pytest.fixture
def open_site(tmp_path: Path, redis_url: str, database_url: str) -> Any:
    """Run the service as `showfloor serve` does, on this test's stores, with settings of the test's own."""

    def opened(**given: Any) -> Any:
        stores = {"redis_url": redis_url, "database_url": database_url}
        return running(Settings.read(environ={}, data_dir=tmp_path, port=0, **stores | given))

    return opened


@pytest.fixture
async def site(open_site: Any) -> AsyncIterator[Site]:
    """The service with its defaults."""
    async with open_site() as site:
        yield site


@contextlib.asynccontextmanager
async def running(settings: Settings) -> AsyncIterator[Site]:
    """The service with a show that is stocked and live."""
    ready: asyncio.Future[Settings] = asyncio.get_running_loop().create_future()

    async def on_ready(bound: Settings) -> None:
        ready.set_result(bound)

    task = asyncio.create_task(serve(settings, ready=on_ready))
    await asyncio.wait({ready, task}, timeout=UP_S, return_when=asyncio.FIRST_COMPLETED)
    if task.done():
        task.result()
    bound = ready.result()
    tokens = {role: issue_token(bound, SHOW, role, role.value.title(), 1) for role in Role}
    made = Site(bound.base_url, tokens[Role.HOST], tokens[Role.OPERATOR], tokens[Role.MODERATOR])
    made.merchant = issue_token(bound, None, Role.OPERATOR, "Merchant", 1)
    made.admin = issue_token(bound, None, Role.ADMIN, "Admin", 1)
    made.analyst = tokens[Role.ANALYST]
    try:
        await stock_up(made, made.merchant)
        yield made
    finally:
        task.cancel()
        await asyncio.wait({task}, timeout=UP_S)


async def stock_up(site: Site, merchant: str) -> None:
    """A live show with eight blue pots (three a buyer) and one knife."""
    await site.ask(
        "POST", "/api/v1/shows", {"show_id": SHOW, "title": "Kitchen Friday", "starts_at_ms": 1000}, merchant
    )
    goods = (
        ("Cast iron pot", "blue", POT, 4900, 8, 3),
        ("Chef's knife", "", KNIFE, 5900, 1, 1),
    )
    for title, option, variant, price, units, limit in goods:
        variants = [{"option": option, "price_amount": price, "variant_id": variant}]
        product = {"title": title, "product_id": f"p-{variant}", "variants": variants}
        await site.ask("POST", "/api/v1/products", product, merchant)
        item = {"variant_id": variant, "opening_stock": units, "limit_per_buyer": limit}
        await site.ask("POST", f"/api/v1/shows/{SHOW}/items", item, merchant)
    await site.set_state("live")


@pytest.fixture(scope="session")
async def bare_pages() -> AsyncIterator[str]:
    """The address of a server of pages and static files alone, for what needs no service."""
    server = uvicorn.Server(uvicorn.Config(Starlette(routes=page_routes()), log_config=None, lifespan="off"))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        task = asyncio.create_task(server.serve(sockets=[listener]))
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        server.should_exit = True
        await asyncio.wait({task}, timeout=UP_S)


@pytest.fixture
async def open_page(browser: Any) -> AsyncIterator[Any]:
    """Open pages, each in a context of its own. `page.problems` holds what the console and the policy complained of."""
    contexts = []

    async def opened(url: str, size: tuple[int, int] = DESKTOP, *, script: str = "", **options: Any) -> Any:
        context = await browser.new_context(viewport={"width": size[0], "height": size[1]}, locale="en-GB", **options)
        contexts.append(context)
        context.set_default_timeout(WAIT_MS)
        if script:
            await context.add_init_script(script)
        page = await context.new_page()
        page.problems = []
        page.on("pageerror", lambda error: page.problems.append(str(error)))
        page.on("console", lambda line: page.problems.append(line.text) if line.type == "error" else None)
        await page.goto(url)
        return page

    yield opened
    for context in contexts:
        await context.close()


@pytest.fixture
async def watch(site: Site, open_page: Any) -> Any:
    """A viewer of the show, the pot pinned."""
    await site.pin(POT)
    page = await open_page(f"{site.base_url}/watch/{SHOW}")
    await expect(page.get_by_test_id("viewers")).to_have_text("1")
    return page


@pytest.fixture
def until() -> Any:
    """Wait for what no locator shows: until `await condition()` is true; answers that."""

    async def wait(condition: Any, what: str, deadline_s: float = UP_S) -> Any:
        async with asyncio.timeout(deadline_s):
            while not (found := await condition()):
                await asyncio.sleep(0.1)
        assert found, what
        return found

    return wait


@pytest.fixture
def module() -> Any:
    """Run JavaScript on a page, with one of our modules as `it` and what was passed as `argument`.

    `await module(page, "money.js", "return it.digits(argument)", "JPY")` is 0.
    """

    async def run(page: Any, name: str, body: str, argument: Any = None) -> Any:
        return await page.evaluate(
            """async ([name, argument]) => {
                const base = document.querySelector("script[type=module]").src.replace(/[^/]*$/, "");
                const it = await import(base + name);
                BODY
            }""".replace("BODY", body),
            [name, argument],
        )

    return run
