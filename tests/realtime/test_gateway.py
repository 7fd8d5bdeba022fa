import asyncio
import contextlib
import inspect
import socket

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from realtime.core.handshake import Refused, parse
from realtime.gateway import EARLY_MAX_BYTES, Gateway, gateway_class

REQUEST = (
    b"GET /ws/x?ticket=nope HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: %b\r\nSec-WebSocket-Key: %b\r\n\r\n"
)
KEY = b"dGhlIHNhbXBsZSBub25jZQ=="


async def answer(port: int, data: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(data)
    async with asyncio.timeout(10):
        got = await reader.read()
    writer.close()
    return got


def test_uvicorn_makes_and_feeds_the_class_as_we_rely_on():
    """The contract of `ws=`, which uvicorn does not document. Should this fail after an upgrade, read gateway.py."""
    source = inspect.getsource(HttpToolsProtocol.handle_websocket_upgrade)
    for line in (
        "config=self.config,",
        "server_state=self.server_state,",
        "app_state=self.app_state,",
        "protocol.connection_made(self.transport)",
        'protocol.data_received(b"".join(output))',
        "self.transport.set_protocol(protocol)",
    ):
        assert line in source
    assert source.index("data_received") < source.index("set_protocol")
    state = ServerState()
    assert (state.connections, state.tasks, state.default_headers) == (set(), set(), [])


def test_the_configured_class_takes_uvicorns_arguments():
    made = gateway_class(["https://Shop.example/"])
    assert issubclass(made, Gateway)
    assert made.origins == {"https://shop.example"}
    assert not hasattr(made.__new__(made), "__dict__")
    assert list(inspect.signature(made).parameters) == ["config", "server_state", "app_state", "_loop"]


async def test_nothing_but_the_viewer_is_left_after_the_handshake(running, show, until):
    client = await running.join(show)
    await client.until(lambda it: it.frames)
    state = running.server.server_state
    assert [type(one).__name__ for one in state.connections] == ["Viewer"]
    await until(lambda: not state.tasks)
    (viewer,) = state.connections
    assert not hasattr(viewer, "__dict__")
    assert (viewer._parser, viewer._inbox, viewer._allowance) == (None, None, None)
    await client.close()
    await until(lambda: not state.connections)


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (REQUEST % (b"8", KEY), b"426"),
        (REQUEST % (b"13", b"short"), b"400"),
        (REQUEST % (b"13", KEY), b"401"),
        (REQUEST.replace(b"GET", b"POST") % (b"13", KEY), b"405"),
    ],
)
async def test_a_refusal_is_a_whole_http_answer_and_closes(running, data, status):
    got = await answer(running.port, data)
    head, _, body = got.partition(b"\r\n\r\n")
    assert head.split(b" ")[1] == status
    assert b"content-type: application/problem+json" in head
    assert f"content-length: {len(body)}".encode() in head
    if status == b"426":
        assert b"sec-websocket-version: 13" in head


async def test_a_handshake_that_does_not_end_is_cut_off(running, show, monkeypatch, until):
    monkeypatch.setattr("realtime.gateway.HANDSHAKE_S", 0.05)
    running.tickets.gate = asyncio.Event()
    assert await answer(running.port, REQUEST % (b"13", KEY)) == b""
    await until(lambda: not running.server.server_state.tasks)


async def test_a_client_that_leaves_during_the_handshake_leaves_nothing_behind(running, show, until):
    running.tickets.gate = asyncio.Event()
    state = running.server.server_state
    with socket.create_connection(("127.0.0.1", running.port)) as raw:
        raw.sendall(REQUEST % (b"13", KEY))
        await until(lambda: state.tasks)
    await until(lambda: not state.connections)
    running.tickets.gate.set()
    await until(lambda: not state.tasks)
    assert not state.connections


async def test_a_client_that_talks_before_its_time_is_heard_after_the_handshake_or_cut_off(running, show, until):
    running.tickets.gate = asyncio.Event()
    ticket = running.tickets.issue()
    request = (REQUEST % (b"13", KEY)).replace(b"/ws/x?ticket=nope", f"/ws/{show}?ticket={ticket}".encode())
    reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
    writer.write(request)
    await until(lambda: running.server.server_state.tasks)
    writer.write(b"\x89\x80\x00\x00\x00\x00")  # a ping
    await writer.drain()
    running.tickets.gate.set()
    async with asyncio.timeout(10):
        await reader.readuntil(b"\r\n\r\n")
        await reader.readuntil(b"\x8a\x00")
    writer.close()


async def test_what_comes_before_the_101_is_kept_up_to_a_bound(running, monkeypatch, until):
    monkeypatch.setattr("realtime.gateway.HANDSHAKE_S", 60)  # it is not this that ends it
    running.tickets.gate = asyncio.Event()
    reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
    writer.write(REQUEST % (b"13", KEY))
    await until(lambda: running.server.server_state.tasks)
    (gateway,) = (one for one in running.server.server_state.connections if isinstance(one, Gateway))
    assert EARLY_MAX_BYTES == 16 * 1024
    writer.write(b"x" * EARLY_MAX_BYTES)
    await until(lambda: len(gateway.early) == EARLY_MAX_BYTES)
    assert not gateway.transport.is_closing()
    writer.write(b"x")
    async with asyncio.timeout(10):
        with contextlib.suppress(ConnectionResetError):
            assert await reader.read() == b""
    writer.close()
    running.tickets.gate.set()


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.sampled_from([b"Upgrade", b"Connection", b"X", b"Origin"]), st.binary(max_size=30))))
def test_whatever_the_headers_are_the_answer_is_a_refusal(extra):
    lines = b"".join(name + b": " + value + b"\r\n" for name, value in extra)
    with pytest.raises(Refused):
        parse(REQUEST[:-2] % (b"12", KEY) + lines + b"\r\n")


async def test_an_app_without_this_route_answers_in_http(running):
    with pytest.raises(InvalidStatus) as caught:
        async with connect(f"ws://127.0.0.1:{running.port}/elsewhere"):
            pass
    assert caught.value.response.status_code in {403, 404}
