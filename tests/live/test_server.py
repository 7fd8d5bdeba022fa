"""The service as a whole coming up and going down, on stores of its own."""

import asyncio
import socket
from pathlib import Path

import asyncpg
import httpx2
import msgspec
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from live import app as live_app
from live.server import StartError, serve
from live.settings import Settings
from live.stores import find_running
from live.stores.embedded import holder_of

DEADLINE_S = 40


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings.read(environ={}, data_dir=tmp_path / "data", port=0)


class Running:
    """`serve` in a task; its settings as bound."""

    def __init__(self, settings: Settings) -> None:
        self._ready: asyncio.Future[Settings] = asyncio.get_running_loop().create_future()
        self.task = asyncio.create_task(serve(settings, ready=self._on_ready))

    async def _on_ready(self, bound: Settings) -> None:
        self._ready.set_result(bound)

    async def up(self) -> Settings:
        await asyncio.wait({self._ready, self.task}, timeout=DEADLINE_S, return_when=asyncio.FIRST_COMPLETED)
        if self.task.done():
            self.task.result()
        return self._ready.result()

    async def down(self) -> None:
        self.task.cancel()
        await asyncio.wait({self.task}, timeout=DEADLINE_S)
        assert self.task.cancelled()


async def test_it_answers_once_ready_under_the_port_it_was_given_and_leaves_nothing_behind(settings):
    running = Running(settings)
    bound = await running.up()
    assert bound.base_url == f"http://127.0.0.1:{bound.port}"
    assert bound.port != 0
    async with httpx2.AsyncClient(base_url=bound.base_url) as client:
        for path in ("/healthz", "/readyz", "/openapi.json", "/"):
            assert (await client.get(path)).status_code == 200, path
        assert "server" not in (await client.get("/healthz")).headers
    await running.down()
    assert await find_running(settings.data_dir) is None
    assert holder_of(settings.data_dir) is None
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", bound.port)) != 0


async def test_what_was_written_is_there_after_a_restart(settings):
    for _ in range(2):
        running = Running(settings)
        await running.up()
        stores = await find_running(settings.data_dir)
        connection = await asyncpg.connect(stores.database_url)
        await connection.execute(
            "INSERT INTO shows (show_id, title, starts_at_ms, currency) VALUES ('kept', 'Kept', 1, 'EUR') "
            "ON CONFLICT (show_id) DO UPDATE SET version = shows.version + 1"
        )
        version = await connection.fetchval("SELECT version FROM shows WHERE show_id = 'kept'")
        await connection.close()
        await running.down()
    assert version == 2


async def test_a_taken_port_is_refused_before_any_store_is_started(settings):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(StartError, match=rf"127\.0\.0\.1:{port} cannot be used.*SHOWFLOOR_PORT"):
            await serve(Settings.read(environ={}, data_dir=settings.data_dir, port=port))
    assert not (settings.data_dir / "pg").exists()


async def test_an_application_that_does_not_start_is_an_error_and_leaves_nothing_behind(settings, monkeypatch):
    async def refuse(*_: object) -> None:
        raise RuntimeError("on purpose")

    monkeypatch.setattr(live_app, "open_services", refuse)
    with pytest.raises(StartError, match="did not start"):
        await serve(settings)
    assert await find_running(settings.data_dir) is None
    assert holder_of(settings.data_dir) is None


async def test_a_ready_callback_that_fails_takes_the_service_down(settings):
    async def fail(_: Settings) -> None:
        raise LookupError("on purpose")

    with pytest.raises(LookupError):
        await serve(settings, ready=fail)
    assert await find_running(settings.data_dir) is None


async def test_a_request_in_flight_is_answered_on_the_way_down(settings, monkeypatch):
    arrived, answer = asyncio.Event(), asyncio.Event()

    async def slow(_: object) -> PlainTextResponse:
        arrived.set()
        await answer.wait()
        return PlainTextResponse("in time")

    def create_app(*_: object) -> Starlette:
        return Starlette(routes=[Route("/slow", slow)])

    monkeypatch.setattr(live_app, "create_app", create_app)
    running = Running(settings)
    bound = await running.up()
    async with httpx2.AsyncClient(base_url=bound.base_url, timeout=DEADLINE_S) as client:
        asked = asyncio.create_task(client.get("/slow"))
        await arrived.wait()
        running.task.cancel()
        await listening_ends(bound.port)
        answer.set()
        assert (await asked).text == "in time"
    await asyncio.wait({running.task}, timeout=DEADLINE_S)
    assert running.task.cancelled()


@pytest.mark.parametrize(
    ("trusted", "believed"),
    [((), "127.0.0.1 http"), (("127.0.0.1",), "203.0.113.9 https"), (("10.0.0.0/8",), "127.0.0.1 http")],
)
async def test_only_a_trusted_proxy_says_who_is_asking(settings, monkeypatch, trusted, believed):
    async def who(request: Request) -> PlainTextResponse:
        return PlainTextResponse(f"{request.client.host} {request.url.scheme}")

    monkeypatch.setattr(live_app, "create_app", lambda *_: Starlette(routes=[Route("/who", who)]))
    running = Running(msgspec.structs.replace(settings, trusted_proxies=trusted))
    bound = await running.up()
    claimed = {"X-Forwarded-For": "203.0.113.9", "X-Forwarded-Proto": "https"}
    async with httpx2.AsyncClient(base_url=bound.base_url) as client:
        assert (await client.get("/who", headers=claimed)).text == believed
    await running.down()


KEY = "dGhlIHNhbXBsZSBub25jZQ=="


@pytest.mark.parametrize("trusted", [("127.0.0.1",), ()])
async def test_behind_a_trusted_proxy_strangers_are_counted_by_their_own_address(settings, trusted):
    """Without one they are all the proxy's, so that few of them shut out the rest: what the setting is for."""
    running = Running(msgspec.structs.replace(settings, trusted_proxies=trusted))
    bound = await running.up()
    for ask in (ask_for_a_socket, ask_for_a_show):
        answers = {await ask(bound.port, f"203.0.113.{number % 100}") for number in range(150)}
        assert answers <= {401, 429}
        assert (429 in answers) is not bool(trusted), ask
    if trusted:
        assert {await ask_for_a_socket(bound.port, "198.51.100.1") for _ in range(150)} == {401, 429}
    await running.down()


async def ask_for_a_socket(port, address):
    """The status of a socket's handshake with a ticket that never was."""
    return await status_of(
        port,
        "GET /ws/demo?ticket=no HTTP/1.1",
        f"x-forwarded-for: 192.0.2.1, {address}",  # the first is what the stranger made up
        *("upgrade: websocket", "connection: Upgrade", "sec-websocket-version: 13", f"sec-websocket-key: {KEY}"),
    )


async def ask_for_a_show(port, address):
    """The status of a request with a token that never was."""
    made_up = f"x-forwarded-for: 192.0.2.1, {address}"
    return await status_of(port, "GET /api/v1/shows HTTP/1.1", made_up, "authorization: Bearer no", "connection: close")


async def status_of(port, *lines):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write("\r\n".join([lines[0], "host: showfloor.test", *lines[1:], "", ""]).encode())
    async with asyncio.timeout(DEADLINE_S):
        status = int((await reader.readline()).split()[1])
    writer.close()
    return status


async def test_the_server_has_the_bounds_of_a_connection(settings, monkeypatch):
    monkeypatch.setattr(live_app, "create_app", lambda *_: Starlette())
    running = Running(settings)
    bound = await running.up()
    reader, writer = await asyncio.open_connection("127.0.0.1", bound.port)
    writer.write(b"GET / HTTP/1.1\r\nx-a: " + b"y" * 65_600)
    async with asyncio.timeout(DEADLINE_S):
        assert (await reader.readline()).startswith(b"HTTP/1.1 431")
    writer.close()
    await running.down()


async def listening_ends(port: int) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except (ConnectionRefusedError, ConnectionResetError):  # reset: it ended between the two
                return
            writer.close()
            await asyncio.sleep(0)
