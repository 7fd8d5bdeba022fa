"""The bounds of a connection, over real sockets on a real uvicorn."""

import asyncio
import contextlib
import inspect
import json
import socket
from collections.abc import AsyncIterator

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.routing import Route
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from live import bounded_http
from live.bounded_http import CONNECTIONS_MAX, HEAD_DEADLINE_S, HEAD_MAX_BYTES, BoundedHttp
from live.server import KEEP_ALIVE_S
from realtime.gateway import gateway_class

DEADLINE_S = 10
HEAD = b"GET / HTTP/1.1\r\nHost: x\r\n"


class Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self):
        yield


class Site:
    """A server whose one page waits for `answer`."""

    def __init__(self) -> None:
        self.port = 0
        self.answer = asyncio.Event()
        self.answer.set()
        self.asked = asyncio.Event()
        self.server: Server

    async def page(self, _: Request) -> PlainTextResponse:
        self.asked.set()
        await self.answer.wait()
        return PlainTextResponse("here")

    async def half(self, _: Request) -> StreamingResponse:
        async def body() -> AsyncIterator[bytes]:
            yield b"h"
            self.asked.set()
            await self.answer.wait()

        return StreamingResponse(body())

    async def open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self.port)


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    made = Site()
    app = Starlette(routes=[Route("/", made.page, methods=["GET", "POST"]), Route("/half", made.half)])
    listener = socket.create_server(("127.0.0.1", 0))
    made.port = listener.getsockname()[1]
    config = uvicorn.Config(
        app,
        http=BoundedHttp,
        ws=gateway_class(),
        log_config=None,
        lifespan="off",
        timeout_keep_alive=KEEP_ALIVE_S,  # longer than any test waits, so that it is never this that closes
    )
    made.server = Server(config)
    task = asyncio.create_task(made.server.serve(sockets=[listener]))
    async with asyncio.timeout(DEADLINE_S):
        while not made.server.started:
            await asyncio.sleep(0)
    yield made
    made.server.should_exit = True
    async with asyncio.timeout(DEADLINE_S):
        await task


async def rest(reader: asyncio.StreamReader) -> bytes:
    """Everything until the server closes."""
    got = b""
    async with asyncio.timeout(DEADLINE_S):
        with contextlib.suppress(ConnectionError):
            while more := await reader.read(4096):
                got += more
    return got


def problem(answer: bytes) -> dict[str, object]:
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"content-type: application/problem+json" in head
    assert b"connection: close" in head
    return json.loads(body)


def test_the_bounds_are_those_that_were_decided():
    assert (HEAD_MAX_BYTES, HEAD_DEADLINE_S, CONNECTIONS_MAX, KEEP_ALIVE_S) == (64 * 1024, 10.0, 50_000, 65)


def test_uvicorns_class_is_as_we_rely_on():
    """Its contract is not documented. Should this fail after an upgrade, read live/bounded_http.py."""
    for name in (
        "connection_made", "data_received", "connection_lost", "on_message_begin", "on_headers_complete", "on_body",
        "on_message_complete", "handle_websocket_upgrade", "_start_asgi_task",
    ):  # fmt: skip
        assert name in vars(HttpToolsProtocol), name
        assert name in vars(BoundedHttp), name
    made = inspect.getsource(HttpToolsProtocol.__init__)
    for attribute in ("self.loop", "self.connections", "self.transport", "self.headers", "self.cycle"):
        assert f"{attribute}:" in made or f"{attribute} =" in made, attribute
    assert "self.url = " in inspect.getsource(HttpToolsProtocol.on_message_begin)
    response = inspect.getsource(uvicorn.protocols.http.httptools_impl.RequestResponseCycle.__init__)
    assert "self.response_complete = False" in response
    assert "self.keep_alive = " in response
    assert "self.response_started = False" in response
    assert "self.disconnected = False" in response


async def test_a_whole_head_is_answered_and_the_connection_stays_for_the_next(site):
    reader, writer = await site.open()
    for _ in range(3):
        writer.write(HEAD + b"\r\n")
        async with asyncio.timeout(DEADLINE_S):
            assert (await reader.readuntil(b"here")).startswith(b"HTTP/1.1 200")
    writer.close()


@pytest.mark.parametrize(
    "head",
    [
        b"GET / HTTP/1.1\r\nx-a: " + b"y" * (8 * HEAD_MAX_BYTES),
        b"GET / HTTP/1.1\r\n" + b"".join(b"x-%d: y\r\n" % at for at in range(HEAD_MAX_BYTES)),
        b"GET /" + b"y" * (8 * HEAD_MAX_BYTES),
        HEAD + b"x-a: " + b"y" * HEAD_MAX_BYTES + b"\r\n\r\n",
        b"POST / HTTP/1.1\r\nx-a: " + b"y" * HEAD_MAX_BYTES + b"\r\nContent-Length: 3\r\n\r\nabc",
        b"GET / HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nx-a: " + b"y" * HEAD_MAX_BYTES + b"\r\n\r\n",
    ],
    ids=["one header", "many headers", "an address", "a whole head", "with a body", "an upgrade"],
)
async def test_a_head_beyond_the_limit_is_refused_and_not_kept(site, head):
    reader, writer = await site.open()
    writer.write(head)
    answer = await rest(reader)
    if answer:  # else the reset, for what we still had to say, overtook it
        assert answer.startswith(b"HTTP/1.1 431")
        assert problem(answer)["code"] == "head_too_large"
    assert not site.asked.is_set()
    writer.close()


async def test_a_head_of_many_small_pieces_is_refused_with_431(site):
    reader, writer = await site.open()
    writer.write(HEAD)
    piece = b"x-a: " + b"y" * 1017 + b"\r\n"
    for _ in range(HEAD_MAX_BYTES // len(piece)):  # one more would meet a closed connection
        await asyncio.sleep(0)
        writer.write(piece)
        await writer.drain()
    answer = await rest(reader)
    assert answer.startswith(b"HTTP/1.1 431")
    assert problem(answer)["type"] == "/docs#problem-head_too_large"
    writer.close()


@pytest.mark.parametrize("begun", [b"", HEAD, b"\r\n\r\n"], ids=["nothing", "half a head", "blank lines"])
async def test_a_head_that_does_not_end_is_cut_off(site, monkeypatch, begun):
    monkeypatch.setattr(bounded_http, "HEAD_DEADLINE_S", 0.2)
    reader, writer = await site.open()
    writer.write(begun)
    assert await rest(reader) == b""
    writer.close()


async def test_dripping_a_head_buys_no_time(site, monkeypatch):
    monkeypatch.setattr(bounded_http, "HEAD_DEADLINE_S", 0.2)
    reader, writer = await site.open()
    writer.write(HEAD)

    async def drip() -> None:
        with contextlib.suppress(ConnectionError):
            while not writer.is_closing():
                writer.write(b"x: y\r\n")
                await writer.drain()
                await asyncio.sleep(0.02)

    dripping = asyncio.create_task(drip())
    assert await rest(reader) == b""
    writer.close()
    await dripping


@pytest.mark.parametrize("begun", [HEAD, b"\r\n"], ids=["half a head", "a blank line"])
async def test_the_head_of_a_following_request_has_the_same_time(site, monkeypatch, begun):
    monkeypatch.setattr(bounded_http, "HEAD_DEADLINE_S", 0.2)
    reader, writer = await site.open()
    writer.write(HEAD + b"\r\n")
    async with asyncio.timeout(DEADLINE_S):
        await reader.readuntil(b"here")
    writer.write(begun)
    assert await rest(reader) == b""
    writer.close()


async def test_a_request_may_take_longer_than_its_head(site, monkeypatch):
    monkeypatch.setattr(bounded_http, "HEAD_DEADLINE_S", 0.05)
    site.answer.clear()
    reader, writer = await site.open()
    writer.write(HEAD + b"\r\n" + HEAD)  # with half of the next one
    await site.asked.wait()
    (connection,) = site.server.server_state.connections
    async with asyncio.timeout(DEADLINE_S):
        while connection._timer is not None:
            await asyncio.sleep(0.01)
    site.answer.set()
    assert (await rest(reader)).endswith(b"here")
    writer.close()


async def test_connections_beyond_the_limit_are_sent_away(site, monkeypatch):
    monkeypatch.setattr(bounded_http, "CONNECTIONS_MAX", 1)
    reader, writer = await site.open()
    writer.write(HEAD + b"\r\n")
    async with asyncio.timeout(DEADLINE_S):
        await reader.readuntil(b"here")
    second, other = await site.open()
    answer = await rest(second)
    assert answer.startswith(b"HTTP/1.1 503")
    assert problem(answer)["code"] == "unavailable"
    other.close()
    writer.write(HEAD + b"\r\n")
    async with asyncio.timeout(DEADLINE_S):
        await reader.readuntil(b"here")
    writer.close()


@pytest.mark.parametrize("begun", [False, True], ids=["not begun", "half answered"])
async def test_what_the_drain_cuts_off_is_told_to_come_back_and_is_no_failure(site, caplog, begun):
    site.answer.clear()
    reader, writer = await site.open()
    writer.write(b"GET /half HTTP/1.1\r\n\r\n" if begun else HEAD + b"\r\n")
    await site.asked.wait()
    (task,) = site.server.server_state.tasks
    task.cancel(msg="Task cancelled, timeout graceful shutdown exceeded")  # as uvicorn does
    answer = await rest(reader) if begun else await reader.readuntil(b"}")
    assert answer.startswith(b"HTTP/1.1 200" if begun else b"HTTP/1.1 503")
    assert begun or b'"code":"going_away"' in answer
    async with asyncio.timeout(DEADLINE_S):
        await asyncio.wait({task})
    assert task.exception() is None
    assert not caplog.records
    writer.close()


async def test_an_upgrade_still_reaches_the_gateway_and_leaves_no_timer(site):
    with pytest.raises(InvalidStatus) as refused:  # this site has no such route: its own answer, from the gateway
        await connect(f"ws://127.0.0.1:{site.port}/ws/x")
    assert refused.value.response.status_code in {403, 404}
