"""uvicorn's `ws=` class: the handshake of one socket, then nothing.

`realtime.socket.enter` asks who it is and calls `hand_over`, and the socket belongs to a slotted `Viewer`: no task, no
scope, no queue and no `ServerProtocol` is left (2 KB a viewer where `websockets` takes 14 KB). `/ws/{show}` goes there
past the application, whose middleware and hundred routes have nothing to say about it.

Owns: one handshake, for at most `HANDSHAKE_S`.
Invariant: a socket ends up with a viewer, or closed. uvicorn's contract, which is not documented, is pinned by
tests/realtime/test_gateway.py: the constructor's keywords, `connection_made`, one `data_received` with the whole
head written anew, `set_protocol`, and `shutdown()` for each member of `server_state.connections`.
"""

import asyncio
import http
import json
import re
from collections.abc import Awaitable, Callable, Collection
from typing import Any, cast

import structlog
from starlette.responses import Response
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from realtime.core.handshake import Refused, Request, accept, parse
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

MakeViewer = Callable[[asyncio.Transport, set[Any], bytes], asyncio.Protocol]
"""Of the transport, uvicorn's connections, and the head of our answer, which goes out with the first frame."""
Enter = Callable[["Gateway", str, bytes, list[str], dict[str, Any]], Awaitable[None]]
"""What decides about a request: its show, query and subprotocols, and the application's state."""


def gateway_class(origins: Collection[str] = ()) -> type[asyncio.Protocol]:
    """The class for `uvicorn.Config(ws=...)`. `origins`: other sites whose pages may open sockets, `https://shop.example`."""
    from realtime.socket import enter  # noqa: PLC0415 - which needs this module

    allowed = frozenset(origin.lower().rstrip("/") for origin in origins)
    members = {"origins": allowed, "enter": staticmethod(enter), "__slots__": ()}
    return type("ConfiguredGateway", (Gateway,), members)


class Gateway(asyncio.Protocol):
    """One handshake."""

    __slots__ = (
        "_accepted",
        "_app",
        "_config",
        "_default_headers",
        "_early",
        "_given",
        "_request",
        "_state",
        "_status",
        "_task",
        "_tasks",
        "_timer",
        "_wait_closed",
        "connections",
        "transport",
    )

    origins: frozenset[str] = frozenset()
    enter: Enter

    def __init__(self, config: Any, server_state: Any, app_state: dict[str, Any], _loop: Any = None) -> None:
        self._app = config.loaded_app
        self._config = config
        self.connections: set[Any] = server_state.connections
        self._tasks: set[Any] = server_state.tasks
        self._default_headers: list[tuple[bytes, bytes]] = server_state.default_headers
        self._state = app_state
        self.transport: asyncio.Transport
        self._request: Request | None = None
        self._task: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._wait_closed: asyncio.Future[None] | None = None
        self._early = b""
        self._accepted = False
        self._given = False
        self._status = 0

    # -- asyncio.Protocol ---------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's does not inherit from it
        self.connections.add(self)
        self._timer = asyncio.get_running_loop().call_later(HANDSHAKE_S, self._give_up)

    def data_received(self, data: bytes) -> None:
        if self._request is not None:
            self._early += data
            if len(self._early) > EARLY_MAX_BYTES:
                self.transport.abort()
            return
        try:
            self._request = parse(data, origins=self.origins)
        except Refused as refused:
            self._refuse(refused)
            return
        work = self._run(self._request)
        self._task = asyncio.get_running_loop().create_task(work, name="handshake")
        self._tasks.add(self._task)
        self._task.add_done_callback(self._tasks.discard)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's name
        self.connections.discard(self)
        self._stop_timer()
        if self._wait_closed is not None and not self._wait_closed.done():
            self._wait_closed.set_result(None)
        if self._task is not None and not self._given:
            self._task.cancel()

    def shutdown(self) -> None:
        """The server ends; so does a handshake."""
        self.transport.close()

    def _give_up(self) -> None:
        log.info("handshake_timed_out")
        self.transport.abort()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    async def _decide(self, request: Request) -> None:
        found = SHOW_PATH.fullmatch(request.path)
        if found and "hub" in self._state:
            await self.enter(self, found[1], request.query, request.subprotocols, self._state)
        else:
            await self._app(self._scope(request), self._receive, self._send)

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
            await forwarded(cast(Any, scope), self._receive, cast(Any, self._send))
        client = scope["client"]
        return client[0] if client else ""

    async def _run(self, request: Request) -> None:
        try:
            await self._decide(request)
        except Exception:
            log.exception("handshake_failed")
            if not self._accepted and not self._status:
                self._refuse(Refused(500, "Something went wrong on our side"))
        finally:
            self._stop_timer()
            if not self._given:
                self.transport.close()

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
        elif kind == "websocket.close" and not self._accepted:
            self._refuse(Refused(403, "Not here"))
        else:
            raise RuntimeError(f"{kind}: after the handshake the socket belongs to a viewer; use hand_over")

    def _acceptance(self, subprotocol: str | None) -> bytes:
        assert self._request is not None
        lines = [b"%b: %b\r\n" % one for one in self._default_headers]
        if subprotocol is not None:
            lines.append(b"sec-websocket-protocol: %b\r\n" % subprotocol.encode())
        return ACCEPTED % (accept(self._request.key), b"".join(lines))

    def _write_head(self, status: int, headers: Collection[tuple[bytes, bytes]]) -> None:
        self.transport.write(_head(status, [*self._default_headers, *headers, (b"connection", b"close")]))

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

    def hand_over(self, subprotocol: str | None, make: MakeViewer) -> asyncio.Protocol | None:
        """The socket is open and belongs to what `make` makes of it; None if the peer left meanwhile."""
        if self.transport.is_closing():
            return None
        self._accepted = self._given = True
        self._stop_timer()
        self.connections.discard(self)
        viewer = make(self.transport, self.connections, self._acceptance(subprotocol))
        self.transport.set_protocol(viewer)
        early, self._early = self._early, b""
        if early:
            viewer.data_received(early)
        return viewer


async def _nothing(*_: Any) -> None:
    """Instead of an application."""


def _head(status: int, headers: list[tuple[bytes, bytes]]) -> bytes:
    phrase = http.HTTPStatus(status).phrase.encode()
    return b"".join(
        [b"HTTP/1.1 %d %b\r\n" % (status, phrase), *(b"%b: %b\r\n" % (name, value) for name, value in headers), b"\r\n"]
    )
