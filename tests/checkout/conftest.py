"""A shop with one show, its desk, and the fake payment network behind it, on real stores."""

import asyncio
import itertools
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field

import asyncpg
import httpx2
import pytest
import redis.asyncio
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from checkout import audit_routes, office_routes, webhook_routes
from checkout.desk import Desk, Pace
from checkout.fake_client import FakeProvider
from checkout.fakepay import FakePay
from checkout.routes import routes
from checkout.verify import Report, verify
from schema.errors import ShowfloorError
from schema.hold import Hold, HoldRequest
from schema.ids import AccountId, OrderId, ShowId, VariantId
from schema.order import Order
from schema.payment import PayRequest
from schema.people import Principal, Role
from schema.show import Stock

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
SHOW, POT = ShowId("gala"), VariantId("pot")
OPERATOR = Principal(account_id=AccountId("op"), role=Role.OPERATOR, name="Op")
IDLE = Pace(sweep_s=3600, poll_s=3600, outbox_s=3600, reconcile_s=3600)
"""Nothing runs by itself but what an order wakes."""

_keys = itertools.count()


def viewer(name: str) -> Principal:
    return Principal(account_id=AccountId(name), role=Role.VIEWER, name=name.title())


def dead_redis() -> redis.asyncio.Redis:
    """A client of an address where nobody listens."""
    return redis.asyncio.Redis(host="127.0.0.1", port=1, socket_connect_timeout=0.2, retry=None)


async def eventually(check: Callable[[], Awaitable[bool]], within_s: float = 15.0) -> None:
    """Wait until `check` holds; the deadline only catches a hang."""
    async with asyncio.timeout(within_s):
        while not await check():
            await asyncio.sleep(0.02)


@dataclass
class Listener:
    seen: list[tuple[str, str, Stock]] = field(default_factory=list)
    low: list[tuple[str, int | None]] = field(default_factory=list)

    def stock_changed(self, show_id: ShowId, variant_id: VariantId, stock: Stock, version: int) -> None:
        assert stock.on_hand == stock.available + stock.held
        self.seen.append((show_id, variant_id, stock))

    def stock_low(self, show_id: ShowId, variant_id: VariantId, since_ms: int | None, version: int) -> None:
        self.low.append((variant_id, since_ms))


class NoLimit:
    async def check(self, rule: str, subject: str) -> None:
        pass


@dataclass
class Shop:
    """Everything a test of the desk needs."""

    pg: asyncpg.Pool
    redis: redis.asyncio.Redis
    database_url: str
    pay: FakePay
    provider: FakeProvider
    listener: Listener
    stack: AsyncExitStack
    desk: Desk = None  # type: ignore[assignment]
    audit: object = None
    services: dict[str, object] = field(default_factory=dict)
    limits = NoLimit
    show_id = SHOW
    operator = OPERATOR
    idle = IDLE
    viewer = staticmethod(viewer)
    dead_redis = staticmethod(dead_redis)
    eventually = staticmethod(eventually)

    async def open(self, **options: object) -> Desk:
        """Another desk on the same stores; the newest one gets the webhooks."""
        redis_client = options.pop("redis", self.redis)
        pool = options.pop("pool", self.pg)
        self.desk = Desk(pool, redis_client, self.provider, self.listener, **options)  # type: ignore[arg-type]
        return await self.stack.enter_async_context(self.desk)

    async def item(self, variant: str = POT, *, stock: int, price: int = 4900, limit: int = 2) -> None:
        await self.pg.execute("INSERT INTO products VALUES ($1, $1) ON CONFLICT DO NOTHING", f"p-{variant}")
        await self.pg.execute(
            "INSERT INTO variants (variant_id, product_id, price_amount, currency) VALUES ($1, $2, $3, 'EUR')",
            variant,
            f"p-{variant}",
            price,
        )
        await self.pg.execute("INSERT INTO show_items VALUES ($1, $2, 0, $3, 'EUR', $4)", SHOW, variant, price, limit)
        await self.desk.allocate(SHOW, VariantId(variant), stock)
        await self.desk.set_sales(SHOW, open=True)

    async def tap(self, who: str, *, quantity: int = 1, key: str | None = None, variant: str = POT) -> Hold:
        request = HoldRequest(variant_id=VariantId(variant), quantity=quantity)
        return await self.desk.hold(viewer(who), SHOW, request, key or f"key-{next(_keys)}")

    async def pay_for(
        self, who: str, hold: Hold, method: str = "fake_ok", key: str | None = None, email: str = ""
    ) -> Order | Hold:
        request = PayRequest(payment_method=method, email=email)
        return await self.desk.pay(viewer(who), hold.hold_id, request, key or f"key-{next(_keys)}")

    async def buy(self, who: str, *, quantity: int = 1) -> Order:
        order = await self.pay_for(who, await self.tap(who, quantity=quantity))
        assert isinstance(order, Order)
        return order

    async def hold_state(self, hold: Hold) -> str:
        return (await self.desk.get_hold(OPERATOR, hold.hold_id)).state

    async def authorized(self, who: str, method: str = "fake_ok") -> tuple[Hold, str]:
        """A hold in state paying, and its payment, which the network has authorized and nobody has settled."""
        hold, payment_id = await self.tap(who), f"pay_{next(_keys)}"
        begin = "SELECT * FROM begin_payment($1, $2, $3, 'fake', $4, 600000, 600000)"
        await self.pg.execute(begin, hold.hold_id, who, payment_id, method)
        await self.provider.authorize(payment_id, hold.total, method, hold.hold_id)
        return hold, payment_id

    async def sold_without_capture(self, who: str, method: str = "fake_ok") -> OrderId:
        """What a desk leaves that dies between the sale and the capture."""
        _, payment_id = await self.authorized(who, method)
        order_id = OrderId(f"ord_{next(_keys)}")
        await self.pg.execute("SELECT * FROM settle_payment($1, 'authorized', $2)", payment_id, order_id)
        return order_id

    async def say_what_is_due(self) -> None:
        """One round of the outbox."""
        await self.desk._outbox.drain()

    async def all_said(self) -> None:
        """Wait until the provider has heard everything."""

        async def is_empty() -> bool:
            return not await self.pg.fetchval("SELECT count(*) FROM outbox WHERE state <> 'done'")

        await eventually(is_empty)

    async def lapse(self) -> None:
        """Every hold's time is over: the machine's pace decides nothing."""
        await self.pg.execute("UPDATE holds SET held_until_ms = created_at_ms, expires_at_ms = created_at_ms")

    async def captured(self, order: Order) -> None:
        async def is_captured() -> bool:
            return (await self.desk.get_order(OPERATOR, order.order_id)).state != "paid"

        await eventually(is_captured)

    async def outcome(self, work: Awaitable[object]) -> str:
        """What a call comes to: ok, or the code of its error."""
        try:
            await work
        except ShowfloorError as error:
            return error.code
        return "ok"

    async def rush(self, *, buyers: int, taps: int) -> Counter[str]:
        """So many taps at once, dealt out to so many buyers."""
        work = (self.outcome(self.tap(f"b{i % buyers}")) for i in range(taps))
        return Counter(await asyncio.gather(*work))

    async def stock(self, variant: str = POT) -> Stock:
        return await self.desk.stock_of(SHOW, VariantId(variant))

    async def gate_available(self, variant: str = POT) -> int:
        return int(await self.redis.hget(f"sf:{{{SHOW}}}:gate:{variant}", "available"))

    async def verify(self) -> Report:
        return await verify(self.database_url)

    @property
    def app(self) -> Starlette:
        """The room's routes, with the principal that `X-Who: <role>:<account>` names."""

        async def problem(_: Request, error: Exception) -> Response:
            assert isinstance(error, ShowfloorError)
            return JSONResponse({"code": error.code, "detail": error.detail, **error.extra}, status_code=error.status)

        app = Starlette(
            routes=[*routes, *audit_routes.routes, *webhook_routes.routes, *office_routes.routes],
            exception_handlers={ShowfloorError: problem},
        )

        async def with_state(scope, receive, send):
            who = dict(scope["headers"]).get(b"x-who", b"").decode()
            if who:
                role, _, account = who.partition(":")
                scope["principal"] = Principal(account_id=AccountId(account), role=Role(role), name=account)
            scope["state"] = {"desk": self.desk, "limiter": NoLimit(), "audit": self.audit, **self.services}
            await app(scope, receive, send)

        return with_state  # type: ignore[return-value]

    def client(self, who: str = "") -> httpx2.AsyncClient:
        headers = {"x-who": who} if who else {}
        return httpx2.AsyncClient(transport=httpx2.ASGITransport(self.app), base_url="http://test", headers=headers)


@pytest.fixture
async def shop(pg, redis, database_url, tmp_path) -> AsyncIterator[Shop]:
    """A show without a desk yet."""
    made: list[Shop] = []

    async def post(url: str, body: bytes, headers: dict[str, str]) -> int:
        if made[0].desk is None:
            return 503
        async with made[0].client() as client:
            return (await client.post(url, content=body, headers=headers)).status_code

    async with AsyncExitStack() as stack:
        network = FakePay(
            tmp_path / "fake.db", webhook_url="/api/v1/payments/webhooks/fake", secret=SECRET, post=post, slow_ms=300
        )
        await stack.enter_async_context(network)
        provider = FakeProvider("http://pay", secret=SECRET, transport=httpx2.ASGITransport(network.app))
        await stack.enter_async_context(provider)
        await pg.execute("INSERT INTO shows VALUES ($1, 'Gala', '', 'live', $2, 'EUR')", SHOW, int(time.time() * 1000))
        made.append(Shop(pg, redis, database_url, network, provider, Listener(), stack))
        yield made[0]


@pytest.fixture
async def desk(shop: Shop) -> Desk:
    """The shop with its desk open."""
    return await shop.open()


class Wire:
    """Stands before a store's socket: can cut every connection, or swallow one answer."""

    def __init__(self, upstream: str, path: str) -> None:
        self._upstream, self.path = upstream, path
        self._is_cut = False
        self._lose = False
        self.lost = 0
        self._writers: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None
        self.pool: asyncpg.Pool = None  # type: ignore[assignment]

    async def __aenter__(self) -> "Wire":
        self._server = await asyncio.start_unix_server(self._serve, self.path)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server
        self.cut()
        self._server.close()
        await self._server.wait_closed()

    def cut(self) -> None:
        self._is_cut = True
        for writer in self._writers:
            writer.close()

    def mend(self) -> None:
        self._is_cut = False

    def lose_next_answer(self) -> None:
        """The next answer that says a reservation was made is swallowed, and its connection dies."""
        self._lose = True

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._is_cut:
            writer.close()
            return
        up_reader, up_writer = await asyncio.open_unix_connection(self._upstream)
        self._writers |= {writer, up_writer}
        swallow = [False]

        async def upwards() -> None:
            while data := await reader.read(65536):
                # The call that reserves carries the hold's id.
                swallow[0] = swallow[0] or (self._lose and b"hold_" in data)
                up_writer.write(data)

        async def downwards() -> None:
            while data := await up_reader.read(65536):
                if swallow[0]:
                    self._lose, self.lost = False, self.lost + 1
                    return
                writer.write(data)

        tasks = [asyncio.create_task(upwards()), asyncio.create_task(downwards())]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            for each in (writer, up_writer):
                each.close()
                self._writers.discard(each)


@pytest.fixture
async def pg_wire(database_url, pg, tmp_path_factory) -> AsyncIterator[Wire]:
    """Postgres behind a wire that can be cut; `.pool` goes through it."""
    directory = tmp_path_factory.mktemp("w")
    address = await pg.fetchval("SELECT current_setting('unix_socket_directories')")
    port = await pg.fetchval("SELECT current_setting('port')")
    async with Wire(f"{address}/.s.PGSQL.{port}", str(directory / f".s.PGSQL.{port}")) as wire:
        options = {"host": str(directory), "port": int(port), "min_size": 1, "max_size": 4}
        async with asyncpg.create_pool(database_url, **options) as wire.pool:
            yield wire
            wire.mend()


@pytest.fixture
async def redis_wire(redis, tmp_path_factory) -> AsyncIterator[Wire]:
    """Redis behind a wire that can be cut."""
    upstream = redis.connection_pool.connection_kwargs["path"]
    async with Wire(upstream, str(tmp_path_factory.mktemp("w") / "s")) as wire:
        yield wire


@pytest.fixture
async def wired_redis(redis, redis_wire) -> AsyncIterator[redis.asyncio.Redis]:
    """A client that goes through the wire."""
    database = redis.connection_pool.connection_kwargs["db"]
    async with type(redis)(unix_socket_path=redis_wire.path, db=database) as client:
        yield client


@dataclass
class Receiver:
    """A webhook receiver on loopback: what it heard, and what it is to answer, 200 in the end."""

    port: int = 0
    heard: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    answers: list[tuple[int, str, dict[str, str]]] = field(default_factory=list)
    silent: bool = False

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            head = {":path": lines[0].split()[1]}
            head |= {name.lower(): value for name, _, value in (line.partition(": ") for line in lines[1:] if line)}
            self.heard.append((head, await reader.readexactly(int(head.get("content-length", 0)))))
            if self.silent:
                await reader.read()  # until the caller hangs up
                return
            status, text, more = self.answers.pop(0) if self.answers else (200, "", {})
            fields = "".join(f"{name}: {value}\r\n" for name, value in more.items())
            writer.write(f"HTTP/1.1 {status} So\r\nContent-Length: {len(text)}\r\n{fields}\r\n{text}".encode())
            await writer.drain()
        except (OSError, EOFError):
            pass  # the caller had enough
        finally:
            writer.close()


@pytest.fixture
async def receivers() -> AsyncIterator[Callable[[], Awaitable[Receiver]]]:
    """Open a receiver."""
    servers = []

    async def opened() -> Receiver:
        made = Receiver()
        server = await asyncio.start_server(made.serve, "127.0.0.1", 0)
        servers.append(server)
        made.port = server.sockets[0].getsockname()[1]
        return made

    yield opened
    for server in servers:
        server.close()


@pytest.fixture
async def receiver(receivers: Callable[[], Awaitable[Receiver]]) -> Receiver:
    return await receivers()
