"""uvicorn's HTTP protocol with the bounds that it lacks: of a head's size and time, of connections, of a drain's noise.

uvicorn has no limit on the bytes of a head and no deadline for it: 40 MB of headers were taken, and half a head stayed
open for ever. The body has its own bounds, in `schema.api.read_body`.

Owns: one timer a connection while a head is awaited. Invariant: a connection is either answering a request, idle for at
most uvicorn's keep-alive, a socket of the gateway's, or at most HEAD_DEADLINE_S away from its end.
What it relies on of uvicorn's class, which is not documented, is pinned by tests/live/test_bounded_http.py.
"""

import asyncio
from typing import Any

import structlog
from uvicorn._types import ASGI3Application
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from live.errors import problem
from schema.errors import GoingAway, HeadTooLarge, ShowfloorError, Unavailable

log = structlog.get_logger()

HEAD_MAX_BYTES = 64 * 1024
HEAD_DEADLINE_S = 10.0
"""From the connection's begin, and from the first byte of each following request."""
CONNECTIONS_MAX = 50_000
"""Of this process, sockets among them: far beyond what it carries, below what would exhaust its memory."""


def _cut_quietly(cycle: RequestResponseCycle, app: ASGI3Application) -> ASGI3Application:
    """An application that uvicorn may cancel: it cancels what has not ended within the drain, and would log it as a failure, with its traceback."""

    async def run(scope: Any, receive: Any, send: Any) -> None:
        try:
            await app(scope, receive, send)
        except asyncio.CancelledError:  # uvicorn's; this coroutine is the task's last
            log.info("request_cut", method=scope["method"], path=scope["path"])
            if cycle.response_started:
                cycle.disconnected = True
                cycle.transport.close()
            else:
                await problem(GoingAway())(scope, receive, send)

    return run


class BoundedHttp(HttpToolsProtocol):
    """One HTTP connection."""

    def __init__(self, *args: Any, **named: Any) -> None:
        super().__init__(*args, **named)
        self._timer: asyncio.TimerHandle | None = None
        self._in_head = False
        self._head_bytes = 0
        self._over = False
        """True: it was refused, and whatever still comes is not read."""

    # -- asyncio.Protocol ---------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > CONNECTIONS_MAX:
            log.warning("too_many_connections", limit=CONNECTIONS_MAX)
            self._refuse(Unavailable("This server has too many connections", retry_after_ms=5000))
            return
        self._await_head()

    def data_received(self, data: bytes) -> None:
        if self._over:
            return
        if self._idle:  # blank lines begin no request, but keep a connection as well as a head does
            self._await_head()
        if self._in_head or self._idle:
            self._head_bytes += len(data)
        super().data_received(data)
        if self._in_head and self._head_bytes > HEAD_MAX_BYTES:
            self._refuse(HeadTooLarge(f"A head has at most {HEAD_MAX_BYTES} bytes"))

    def connection_lost(self, exc: Exception | None) -> None:
        self._head_is_here()
        super().connection_lost(exc)

    # -- the parser's callbacks ---------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_head = True
        self._await_head()

    def on_headers_complete(self) -> None:
        self._in_head, self._head_bytes = False, 0
        self._head_is_here()
        if sum(len(name) + len(value) for name, value in self.headers) + len(self.url) > HEAD_MAX_BYTES:
            self._refuse(HeadTooLarge(f"A head has at most {HEAD_MAX_BYTES} bytes"))
        if not self._over:
            super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        if not self._over:
            super().on_body(body)

    def on_message_complete(self) -> None:
        self._head_bytes = 0
        if not self._over:
            super().on_message_complete()

    def handle_websocket_upgrade(self) -> None:
        if not self._over:
            super().handle_websocket_upgrade()

    # -- the application ----------------------------------------------------------------------------------------

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        super()._start_asgi_task(cycle, _cut_quietly(cycle, app))

    # -- the bounds ---------------------------------------------------------------------------------------------

    @property
    def _idle(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    def _await_head(self) -> None:
        if self._timer is None:
            self._timer = self.loop.call_later(HEAD_DEADLINE_S, self._give_up)

    def _head_is_here(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _give_up(self) -> None:
        self._timer = None
        if self._idle:
            self._over = True
            self.transport.close()
        else:  # the next request's head; the answer to this one goes out first
            self.cycle.keep_alive = False

    def _refuse(self, error: ShowfloorError) -> None:
        """Answer and close. Behind a request that is still being answered, only close: answers have their order."""
        self._over = True
        self._head_is_here()
        if self._idle:
            answer = problem(error)
            lines = [b"%b: %b\r\n" % header for header in answer.raw_headers]
            head = [STATUS_LINE[answer.status_code], *lines, b"connection: close\r\n\r\n"]
            self.transport.write(b"".join([*head, bytes(answer.body)]))
        self.transport.close()
