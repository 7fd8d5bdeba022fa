"""Who takes a connection, by its first bytes; over real sockets on a real uvicorn."""

import asyncio
import contextlib
import inspect
import socket
import time

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from uvicorn.config import Config
from uvicorn.server import Server as Uvicorn

from live import door
from live.bounded_http import BoundedHttp
from live.door import Door, door_class, is_handshake
from realtime.gateway import gateway_class

DEADLINE_S = 20
HANDSHAKE = (
    b"GET /ws/show?ticket=t HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)


class Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self):
        yield


@pytest.fixture
async def site():
    """Its port, and the server."""

    async def page(_):
        return PlainTextResponse("here")

    app = Starlette(routes=[Route("/", page)])
    listener = socket.create_server(("127.0.0.1", 0))
    gateway = gateway_class()
    config = uvicorn.Config(app, http=door_class(gateway), ws=gateway, log_config=None, lifespan="off")
    server = Server(config)
    running = asyncio.create_task(server.serve(sockets=[listener]))
    yield listener.getsockname()[1], server
    server.should_exit = True
    async with asyncio.timeout(DEADLINE_S):
        await running


async def answer(port, *parts):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for part in parts:
        writer.write(part)
        await writer.drain()
        await asyncio.sleep(0)
    async with asyncio.timeout(DEADLINE_S):
        head = await reader.readuntil(b"\r\n\r\n")
    writer.close()
    return int(head.split()[1])


@pytest.mark.parametrize(
    "data",
    [
        HANDSHAKE.replace(b"GET", b"POST"),
        HANDSHAKE.replace(b"/ws/show", b"/other"),
        HANDSHAKE.replace(b"Upgrade: websocket\r\n", b""),
        HANDSHAKE.replace(b"HTTP/1.1", b"HTTP/1.0"),
        HANDSHAKE.replace(b"Host: x", b"Host : x"),
        HANDSHAKE.replace(b"Host: x", b"Host: x\r\n folded"),
        HANDSHAKE.replace(b"Host: x", b"Host: x\n"),
        HANDSHAKE.replace(b"Host: x", b"Host: x\0"),
        HANDSHAKE.replace(b"Host: x", b"Host: x\r\ncontent-Length: 5"),
        HANDSHAKE.replace(b"Host: x", b"Host: x\r\nTransfer-encoding: chunked"),
        HANDSHAKE + b"early",
        HANDSHAKE + HANDSHAKE,
        HANDSHAKE[:-2],
        HANDSHAKE[:-1],
        HANDSHAKE.replace(b"Host: x", b"Host: " + b"x" * 9000),
        b"",
    ],
)
def test_whatever_two_readers_could_read_in_two_ways_is_the_http_parsers(data):
    assert is_handshake(HANDSHAKE)
    assert not is_handshake(data)


def test_no_head_takes_long_to_read():
    many = b"GET /ws/x HTTP/1.1\r\n" + b"upgrade: websocket\r\n" * 400 + b"b\r\n\r\n"
    assert len(many) <= door.HANDSHAKE_MAX_BYTES
    began = time.process_time()
    assert not is_handshake(many)
    assert time.process_time() - began < 1  # it took 0.7 s for 3,000 lines when the upgrade was sought by backtracking


async def test_a_page_and_a_handshake_find_their_way_in_one_piece_and_in_two(site):
    port, _ = site
    page = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
    assert await answer(port, page) == 200
    assert await answer(port, page[:10], page[10:]) == 200
    assert await answer(port, HANDSHAKE) == 403  # there is no such route
    assert await answer(port, HANDSHAKE[:50], HANDSHAKE[50:]) == 403
    assert await answer(port, HANDSHAKE.replace(b": 13", b": 12")) == 426


async def test_who_says_nothing_is_closed_and_forgotten(site, monkeypatch):
    monkeypatch.setattr("realtime.gateway.HANDSHAKE_S", 0.05)
    port, server = site
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    async with asyncio.timeout(DEADLINE_S):
        assert await reader.read() == b""
    writer.close()
    async with asyncio.timeout(DEADLINE_S):
        while server.server_state.connections:
            await asyncio.sleep(0.01)


async def test_one_too_many_is_told_so(site, monkeypatch):
    port, _ = site
    monkeypatch.setattr(door, "CONNECTIONS_MAX", 0)
    monkeypatch.setattr("live.bounded_http.CONNECTIONS_MAX", 0)
    assert await answer(port, b"") == 503


async def test_a_server_that_ends_waits_for_no_silent_connection(site):
    port, server = site
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    async with asyncio.timeout(DEADLINE_S):
        while not server.server_state.connections:
            await asyncio.sleep(0.01)
        server.should_exit = True
        assert await reader.read() == b""
    writer.close()


def test_uvicorn_makes_the_class_as_we_rely_on():
    """The contract of `http=` as a class, which uvicorn does not document."""
    names = list(inspect.signature(Door).parameters)
    assert names == ["config", "server_state", "app_state", "_loop"]
    assert set(names) <= set(inspect.signature(BoundedHttp.__mro__[1]).parameters)
    startup = inspect.getsource(Uvicorn.startup)
    for line in ("config.http_protocol_class(", "config=config,", "server_state=self.server_state,", "app_state="):
        assert line in startup
    assert "self.ws_protocol_class" in inspect.getsource(Config.load)
    assert "connection.shutdown()" in inspect.getsource(Uvicorn.shutdown)
