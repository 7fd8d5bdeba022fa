"""A server with the realtime room alone: real uvicorn, real Valkey, sockets of `websockets`.

The ports that `live` fills in production (tickets, limits, chat rules) are small in-memory ones here.
"""

import asyncio
import contextlib
import itertools
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any

import msgspec
import pytest
import redis.asyncio
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from realtime.chat import ChatService
from realtime.core.chat import Rules as Decided
from realtime.gateway import gateway_class
from realtime.hub import Hub
from realtime.routes import routes
from realtime.socket import problem
from schema.errors import Conflict, RateLimited, ShowfloorError
from schema.ids import AccountId, ShowId
from schema.people import Principal, Role
from schema.wire import SUBPROTOCOL_JSON, SUBPROTOCOL_MSGPACK

DEADLINE_S = 10.0
_numbers = itertools.count(1)


async def until(condition: Callable[[], Any], what: str = "the condition") -> None:
    """Wait until `condition()` holds; fail after a deadline."""
    async with asyncio.timeout(DEADLINE_S):
        while not condition():
            await asyncio.sleep(0.005)


class Tickets:
    """Tickets that work once."""

    def __init__(self) -> None:
        self.people: dict[str, Principal] = {}
        self.gate: asyncio.Event | None = None

    def issue(self, name: str = "ann", role: Role = Role.VIEWER, show: str | None = None) -> str:
        ticket = f"ticket{next(_numbers)}"
        self.people[ticket] = Principal(
            account_id=AccountId(f"acc_{name}"), role=role, name=name, show_id=ShowId(show) if show else None
        )
        return ticket

    async def redeem(self, _show: ShowId, tickets: Sequence[str]) -> list[Principal | None]:
        if self.gate is not None:
            await self.gate.wait()
        return [self.people.pop(ticket, None) for ticket in tickets]


class Limits:
    def __init__(self) -> None:
        self.left: dict[str, int] = {}

    async def check(self, rule: str, subject: str) -> None:
        if self.left.get(rule, 1) <= 0:
            raise RateLimited(retry_after_ms=1500)
        if rule in self.left:
            self.left[rule] -= 1


class Rules:
    def __init__(self) -> None:
        self.slow_ms = 0
        self.missing: set[str] = set()
        self.decided = Decided()
        self.forgotten: list[str] = []

    async def exists(self, show_id: ShowId) -> bool:
        return show_id not in self.missing

    async def rules(self, show_id: ShowId) -> Decided:
        return self.decided._replace(slow_mode_ms=self.slow_ms)

    async def forget(self, show_id: ShowId, message_id: str) -> None:
        self.forgotten.append(message_id)


class Server(uvicorn.Server):
    """Without signal handlers: pytest's stay."""

    @contextlib.contextmanager
    def capture_signals(self):
        yield


class Reports:
    """Hears what pages say about their picture, and forgets it."""

    def heard(self, _principal, _show, _watched):
        return


class Crowd:
    """What an audience did, by account."""

    def __init__(self) -> None:
        self.deeds: list[tuple[Any, ...]] = []

    async def react(self, principal: Principal, _show: ShowId, kind: str, count: int) -> None:
        self.deeds.append((principal.account_id, kind, count))

    async def vote(self, principal: Principal, _show: ShowId, poll: str, option: int) -> None:
        if option > 1:
            raise Conflict("There is no such option")
        self.deeds.append((principal.account_id, poll, option))

    async def ask(self, principal: Principal, _show: ShowId, text: str) -> str:
        self.deeds.append((principal.account_id, text))
        return "que_1"

    async def want(self, principal: Principal, _show: ShowId, question: str) -> None:
        self.deeds.append((principal.account_id, question))


class Running:
    """One process's worth of server."""

    def __init__(self, hub: Hub, port: int, tickets: Tickets, limits: Limits, rules: Rules, chat: ChatService) -> None:
        self.hub, self.port, self.tickets, self.limits, self.rules, self.chat = hub, port, tickets, limits, rules, chat
        self.clients: list[Client] = []
        self.crowd = Crowd()
        self.server: Server

    def url(self, show: str, ticket: str, **more: Any) -> str:
        query = "&".join(f"{key}={value}" for key, value in {"ticket": ticket, **more}.items())
        return f"ws://127.0.0.1:{self.port}/ws/{show}?{query}"

    async def join(
        self, show: str, name: str = "ann", role: Role = Role.VIEWER, *, binary: bool = False, **more: Any
    ) -> "Client":
        subprotocol = SUBPROTOCOL_MSGPACK if binary else SUBPROTOCOL_JSON
        connection = await connect(
            self.url(show, self.tickets.issue(name, role), **more),
            subprotocols=[subprotocol],
            compression=None,
            ping_interval=None,
            close_timeout=1,
        )
        client = Client(connection)
        self.clients.append(client)
        return client


class Client:
    """Reads frames as a page does, and remembers what it saw."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection
        self.frames: list[dict[str, Any]] = []
        self.events: list[dict[str, Any]] = []
        self.state: dict[str, Any] = {}
        self.replies: list[dict[str, Any]] = []
        self.private: list[dict[str, Any]] = []
        self.epoch, self.offset = "", 0
        self.code: int | None = None
        self._reader = asyncio.create_task(self._read())

    async def _read(self) -> None:
        try:
            async for data in self.connection:
                one = json.loads(data) if isinstance(data, str) else msgspec.msgpack.decode(data)
                if "re" in one:
                    self.replies.append(one)
                    continue
                if "private" in one:
                    self.private.append(one["private"])
                    continue
                if one.get("snapshot"):
                    self.state = {}
                self.frames.append(one)
                self.events += one["ev"]
                self.state |= one["st"]
                self.epoch, self.offset = one["e"], one["o"]
        except ConnectionClosed:
            pass
        self.code = self.connection.close_code

    async def until(self, condition: Callable[["Client"], Any]) -> None:
        await until(lambda: condition(self))

    def texts(self) -> list[str]:
        return [event["text"] for event in self.events if event["t"] == "chat"]

    def offsets(self) -> list[int]:
        return [event["o"] for event in self.events]

    async def close(self) -> None:
        await self.connection.close()
        await self._reader


@contextlib.asynccontextmanager
async def serve(
    url: str, *, tick_ms: int = 20, origins: tuple[str, ...] = (), port: int = 0, client: Any = redis.asyncio.Redis
) -> AsyncIterator[Running]:
    """A server on `port` (0: a free one), until the end of the block."""
    async with contextlib.AsyncExitStack() as stack:
        hub = Hub(await stack.enter_async_context(client.from_url(url)), tick_ms=tick_ms)
        tickets, limits, rules = Tickets(), Limits(), Rules()
        chat = ChatService(hub, limits, rules, most_a_second=0)

        @contextlib.asynccontextmanager
        async def lifespan(_: Starlette):
            async with hub:
                yield {
                    "hub": hub,
                    "chat": chat,
                    "doorkeeper": tickets,
                    "reports": Reports(),
                    "audience": running.crowd,
                }

        async def translate(_: Request, error: Exception) -> Response:
            assert isinstance(error, ShowfloorError)
            return problem(error)

        mounted = [*routes, Mount("/inside", routes=routes)]
        app = Starlette(routes=mounted, lifespan=lifespan, exception_handlers={ShowfloorError: translate})

        async def with_principal(scope: Any, receive: Any, send: Any) -> None:
            bearer = dict(scope.get("headers", ())).get(b"authorization", b"").decode().removeprefix("Bearer ")
            if bearer:
                name, _, role = bearer.partition(":")
                scope["principal"] = Principal(account_id=AccountId(f"acc_{name}"), role=Role(role), name=name)
            await app(scope, receive, send)

        listener = socket.create_server(("127.0.0.1", port))
        config = uvicorn.Config(
            with_principal, ws=gateway_class(origins), http="httptools", log_config=None, access_log=False
        )
        server = Server(config)
        running = Running(hub, listener.getsockname()[1], tickets, limits, rules, chat)
        running.server = server
        task = asyncio.create_task(server.serve(sockets=[listener]))
        await until(lambda: server.started or task.done())
        try:
            yield running
        finally:
            for one in running.clients:
                await one.close()
            server.should_exit = True
            async with asyncio.timeout(DEADLINE_S):
                await task


@pytest.fixture
async def running(redis_url: str) -> AsyncIterator[Running]:
    async with serve(redis_url) as server:
        yield server


@pytest.fixture
async def second(redis_url: str) -> AsyncIterator[Running]:
    """Another process's worth of server on the same Redis."""
    async with serve(redis_url) as server:
        yield server


@pytest.fixture(name="serve")
def serve_fixture() -> Callable[..., contextlib.AbstractAsyncContextManager[Running]]:
    return serve


@pytest.fixture(name="until")
def until_fixture() -> Callable[..., Awaitable[None]]:
    return until


@pytest.fixture
def show() -> str:
    """A show of this test's own: the bus is shared by all logical databases."""
    return f"show{next(_numbers)}"


@pytest.fixture
def say(running: Running, show: str) -> Callable[..., Awaitable[Any]]:
    async def do(text: str, name: str = "ann", role: Role = Role.VIEWER) -> Any:
        principal = Principal(account_id=AccountId(f"acc_{name}"), role=role, name=name)
        return await running.chat.say(principal, ShowId(show), text)

    return do
