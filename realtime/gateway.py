"""uvicorn's `ws=` class: the handshake of one socket, then nothing.

`realtime.socket` asks who it is and calls `hand_over`, and the socket belongs to a slotted `Viewer`: no task, no scope,
no queue and no `ServerProtocol` is left (2 KB a viewer where `websockets` takes 14 KB). `/ws/{show}` goes to the
`Doorway`, past the application, whose middleware and hundred routes have nothing to say about it.

Owns: one handshake, for at most `HANDSHAKE_S`.
Invariant: a socket ends up with a viewer, or closed. uvicorn's contract, which is not documented, is pinned by
tests/realtime/test_gateway.py: the constructor's keywords, `connection_made`, one `data_received` with the whole
head written anew, `set_protocol`, and `shutdown()` for each member of `server_state.connections`.
"""

import asyncio
import http
import json
import re
from collections.abc import Collection, Coroutine
from typing import Any, Protocol, cast

import structlog
from starlette.responses import Response
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from realtime.core.handshake import Refused, Request, accept, parse
from realtime.deadlines import Deadlines
from schema.errors import BadRequest, Forbidden, NotFound, TooLarge, problem_type

log = structlog.get_logger()

HANDSHAKE_S = 10.0
EARLY_MAX_BYTES = 16 * 1024
"""What a hasty client may send before it has our 101."""
EXTENSION = "showfloor.gateway"
CODES = {403: Forbidden.code, 404: NotFound.code, 413: TooLarge.code}
"""The codes of problems that are answered before an application runs; any other is a bad request."""

ACCEPTED = (
    b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\n"
    b"sec-websocket-accept: %b\r\n%b\r\n"
)
SHOW_PATH = re.compile("/ws/([^/]+)")


class Entrance(Protocol):
    """What decides about a request: `realtime.doorway.Doorway`."""

    def arrive(self, gateway: "Gateway", name: str, request: Request, services: dict[str, Any]) -> None:
        """It asks for the show of that name; `services` is the application's state."""


def gateway_class(origins: Collection[str] = ()) -> "type[Gateway]":
    """The class for `uvicorn.Config(ws=...)`. `origins`: other sites whose pages may open sockets, `https://shop.example`."""
    from realtime.doorway import Doorway  # noqa: PLC0415 - which needs this module

    allowed = frozenset(origin.lower().rstrip("/") for origin in origins)
    deadlines = Deadlines[Gateway](lambda: HANDSHAKE_S, Gateway.time_out)
    members = {"origins": allowed, "doorway": Doorway(), "deadlines": deadlines, "__slots__": ()}
    return type("ConfiguredGateway", (Gateway,), members)


class Gateway(asyncio.Protocol):
    """One handshake."""

    __slots__ = (
        "_config",
        "_given",
        "_loop",
        "_request",
        "_server",
        "_state",
        "_status",
        "_task",
        "_wait_closed",
        "connections",
        "early",
        "transport",
    )

    origins: frozenset[str] = frozenset()
    doorway: Entrance
    deadlines: "Deadlines[Gateway]"

    def __init__(self, config: Any, server_state: Any, app_state: dict[str, Any], _loop: Any = None) -> None:
        self._config, self._server, self._state = config, server_state, app_state
        self._loop = _loop or asyncio.get_running_loop()
        self.connections: set[Any] = server_state.connections
        self.transport: asyncio.Transport
        self._request: Request | None = None
        self._task: asyncio.Task[None] | None = None
        self._wait_closed: asyncio.Future[None] | None = None
        self.early = b""
        """What came after the head."""
        self._given = False
        self._status = 0

    # -- asyncio.Protocol ---------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's does not inherit from it
        self.connections.add(self)
        self.deadlines.begin(self, self._loop)

    def data_received(self, data: bytes) -> None:
        if self._request is not None:
            self.early += data
            if len(self.early) > EARLY_MAX_BYTES:
                self.transport.abort()
            return
        try:
            self._request = request = parse(data, origins=self.origins)
        except Refused as refused:
            self._refuse(refused)
            return
        found = SHOW_PATH.fullmatch(request.path)
        if found and "hub" in self._state:
            self.doorway.arrive(self, found[1], request, self._state)
        else:
            self._task = self.start(self._run(request), "handshake")

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's name
        self.connections.discard(self)
        self.deadlines.end(self)
        if self._wait_closed is not None and not self._wait_closed.done():
            self._wait_closed.set_result(None)
        if self._task is not None and not self._given:
            self._task.cancel()

    def shutdown(self) -> None:
        """The server ends; so does a handshake."""
        self.transport.close()

    def time_out(self) -> None:
        """It took too long."""
        log.info("handshake_timed_out")
        self.transport.abort()

    def start(self, work: Coroutine[Any, Any, None], name: str) -> "asyncio.Task[None]":
        """A task that uvicorn waits for when it ends."""
        task: asyncio.Task[None] = self._loop.create_task(work, name=name)
        self._server.tasks.add(task)
        task.add_done_callback(self._server.tasks.discard)
        return task

    # -- ASGI ---------------------------------------------------------------------------------------------------

    def _scope(self, request: Request) -> dict[str, Any]:
        client = self.transport.get_extra_info("peername")
        server = self.transport.get_extra_info("sockname")
        secure = bool(self.transport.get_extra_info("sslcontext"))
        return {
            "type": "websocket",
            "asgi": {"version": "3.0", "spec_version": "2.4"},
            "http_version": "1.1",
            "scheme": "wss" if secure else "ws",
            "server": tuple(server[:2]) if isinstance(server, tuple) else None,
            "client": tuple(client[:2]) if isinstance(client, tuple) else None,
            "root_path": "",
            "path": request.path,
            "raw_path": request.raw_path,
            "query_string": request.query,
            "headers": request.headers,
            "subprotocols": request.subprotocols,
            "state": self._state.copy(),
            "extensions": {"websocket.http.response": {}, EXTENSION: self},
        }

    async def address(self) -> str:
        """Whose address counts: the peer's, or the one that a trusted proxy names, by the rule that HTTP goes by."""
        assert self._request is not None
        scope = self._scope(self._request)
        if self._config.proxy_headers:
            forwarded = ProxyHeadersMiddleware(_nothing, self._config.forwarded_allow_ips)
            await forwarded(cast(Any, scope), cast(Any, self._receive), cast(Any, self._send))
        client = scope["client"]
        return client[0] if client else ""

    async def _run(self, request: Request) -> None:
        try:
            await self._config.loaded_app(self._scope(request), self._receive, self._send)
        except Exception:
            log.exception("handshake_failed")
            self.fail()
        finally:
            self.give_up()

    async def _receive(self) -> dict[str, Any]:
        """First the connect event; after that there is only the end, since messages belong to the viewer."""
        if self._wait_closed is None:
            self._wait_closed = asyncio.get_running_loop().create_future()
            return {"type": "websocket.connect"}
        await self._wait_closed
        return {"type": "websocket.disconnect", "code": 1006}

    async def _send(self, message: dict[str, Any]) -> None:
        kind = message["type"]
        if kind == "websocket.http.response.start":
            self._status = message["status"]
            self._write_head(self._status, message.get("headers", ()))
        elif kind == "websocket.http.response.body":
            self.transport.write(message.get("body", b""))
        elif kind == "websocket.close" and not self._given:
            self._refuse(Refused(403, "Not here"))
        else:
            raise RuntimeError(f"{kind}: after the handshake the socket belongs to a viewer; use hand_over")

    def _acceptance(self, subprotocol: str | None) -> bytes:
        assert self._request is not None
        lines = [b"%b: %b\r\n" % one for one in self._server.default_headers]
        if subprotocol is not None:
            lines.append(b"sec-websocket-protocol: %b\r\n" % subprotocol.encode())
        return ACCEPTED % (accept(self._request.key), b"".join(lines))

    def _write_head(self, status: int, headers: Collection[tuple[bytes, bytes]]) -> None:
        self.transport.write(_head(status, [*self._server.default_headers, *headers, (b"connection", b"close")]))

    def give_up(self) -> None:
        """Nobody will decide about it any more: unless it was handed over it ends, behind whatever was answered."""
        if not self._given:
            self.transport.close()

    def fail(self) -> None:
        """Answer, if nothing was answered yet, that something went wrong."""
        if not self._given and not self._status:
            self._refuse(Refused(500, "Something went wrong on our side"))

    def deny(self, answer: Response) -> None:
        """Answer by HTTP that there is no socket, and why."""
        self._status = answer.status_code
        self._write_head(answer.status_code, answer.raw_headers)
        self.transport.write(bytes(answer.body))
        self.transport.close()

    def _refuse(self, refused: Refused) -> None:
        status = http.HTTPStatus(refused.status)
        code = CODES.get(refused.status, BadRequest.code)
        body = json.dumps(
            {
                "type": problem_type(code),
                "title": status.phrase,
                "status": refused.status,
                "detail": str(refused),
                "code": code,
            }
        ).encode()
        head = [(b"content-type", b"application/problem+json"), (b"content-length", b"%d" % len(body))]
        self._status = refused.status
        self._write_head(refused.status, [*refused.headers, *head])
        self.transport.write(body)
        self.transport.close()

    # -- the handing over ---------------------------------------------------------------------------------------

    def hand_over(self, successor: asyncio.Protocol, subprotocol: str | None) -> bytes:
        """The socket is open and belongs to `successor`, which sends the head of our answer, returned, before all else.

        Then it is to hear what came `early`.
        """
        self._given = True
        self.deadlines.end(self)
        self.connections.discard(self)
        self.transport.set_protocol(successor)
        return self._acceptance(subprotocol)


async def _nothing(*_: Any) -> None:
    """Instead of an application."""


def _head(status: int, headers: list[tuple[bytes, bytes]]) -> bytes:
    phrase = http.HTTPStatus(status).phrase.encode()
    return b"".join(
        [b"HTTP/1.1 %d %b\r\n" % (status, phrase), *(b"%b: %b\r\n" % (name, value) for name, value in headers), b"\r\n"]
    )
