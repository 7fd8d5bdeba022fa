"""The whole app on real stores, asked through HTTP as a client would."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx2
import pytest
from starlette.applications import Starlette

from live.app import create_app
from live.auth import issue_token
from live.settings import Settings
from schema.people import Role

SECRET = "a secret of the tests, long enough for every HS algorithm there is"


@dataclass
class Client:
    """A client of one running app, and a token of each role for any show."""

    http: httpx2.AsyncClient
    app: Starlette
    services: dict[str, Any]
    tokens: dict[Role, str]

    async def ask(self, method: str, path: str, body: object = None, role: Role | None = None, **headers: str) -> Any:
        """One request, as the bearer of a token of `role`."""
        if role is not None:
            headers["Authorization"] = f"Bearer {self.tokens[role]}"
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.http.request(method, path, json=body, headers=named)


@asynccontextmanager
async def running(settings: Settings, redis_url: str, database_url: str) -> AsyncIterator[Client]:
    """The app inside its lifespan; ASGI without a socket in between."""
    app = create_app(settings, SimpleNamespace(redis_url=redis_url, database_url=database_url))
    async with app.router.lifespan_context(app) as state:
        transport = httpx2.ASGITransport(app=with_state(app, dict(state)), client=("192.0.2.7", 4711))
        async with httpx2.AsyncClient(transport=transport, base_url="http://showfloor.test") as http:
            tokens = {role: issue_token(settings, None, role, role.value.title(), 1) for role in Role}
            yield Client(http=http, app=app, services=dict(state), tokens=tokens)


def with_state(app: Starlette, state: dict[str, Any]) -> Any:
    """Hands each request the lifespan's state, as uvicorn does."""

    async def asgi(scope: Any, receive: Any, send: Any) -> None:
        await app({**scope, "state": state.copy()}, receive, send)

    return asgi


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(
        token_secret=SECRET, data_dir=tmp_path, media_host="127.0.0.1", allowed_origins=("https://shop.example",)
    )


@pytest.fixture
def run_app() -> Any:
    """`running`, for a test that needs other stores."""
    return running


@pytest.fixture
def fill() -> Any:
    """`stock`, for an app of a test's own."""
    return stock


@pytest.fixture
async def client(settings: Settings, redis_url: str, database_url: str) -> AsyncIterator[Client]:
    async with running(settings, redis_url, database_url) as one:
        yield one


@pytest.fixture
async def shop(client: Client) -> Client:
    """The client, with one live show "demo" that sells a pot in two colours."""
    await stock(client, "demo", {"red": 12, "blue": 8})
    answer = await client.ask("PUT", "/api/v1/shows/demo/state", {"state": "live"}, Role.HOST)
    assert answer.status_code == 200, answer.text
    return client


async def stock(client: Client, show: str, variants: dict[str, int]) -> None:
    """A scheduled show with one product, each variant of it on sale."""
    made = await client.ask(
        "POST", "/api/v1/shows", {"title": "Kitchen", "starts_at_ms": 1000, "show_id": show}, Role.OPERATOR
    )
    assert made.status_code == 201, made.text
    product = {
        "title": "Pot",
        "product_id": f"pot-{show}",
        "variants": [{"option": name, "price_amount": 4900, "variant_id": name} for name in variants],
    }
    entered = await client.ask("POST", "/api/v1/products", product, Role.OPERATOR)
    assert entered.status_code == 201, entered.text
    for name, units in variants.items():
        asked = {"variant_id": name, "opening_stock": units, "limit_per_buyer": 3}
        put = await client.ask("POST", f"/api/v1/shows/{show}/items", asked, Role.OPERATOR)
        assert put.status_code == 201, put.text
