"""uvicorn's `http=` class: a connection until its first bytes say what it wants.

A socket's handshake that came in one piece goes straight to the gateway: uvicorn's HTTP protocol, which would parse it,
write it anew and hand it on, costs as much as all the rest of a join. Whatever else comes is `BoundedHttp`'s from its
first byte on.

Owns: the connections of which nothing was heard yet, and a timer for each.
Invariant: what goes past the HTTP parser has the shape of `HANDSHAKE`: one whole head, nothing behind it, and no header
that two readers could read in two ways (RFC 9112 section 11.2).
What it relies on of uvicorn, which is not documented, is pinned by tests/live/test_door.py.
"""

import asyncio
import re
from typing import Any, cast

from live.bounded_http import CONNECTIONS_MAX, HEAD_DEADLINE_S, BoundedHttp

HANDSHAKE = re.compile(
    rb"GET /ws/[!-~]+ HTTP/1\.1\r\n"
    rb"(?:(?!(?i:content-length|transfer-encoding):)[-!#$%&'*+.^_`|~0-9A-Za-z]+:[\t -~\x80-\xff]*\r\n)+"
    rb"\r\n"
)
"""Each header is tried once: 4 us for a browser's, and no head makes it slow."""
UPGRADE = b"\r\nupgrade: websocket\r\n"
HANDSHAKE_MAX_BYTES = 8192


def is_handshake(data: bytes) -> bool:
    """Whether these first bytes are a whole handshake of a show's socket that the gateway may read itself."""
    return len(data) <= HANDSHAKE_MAX_BYTES and UPGRADE in data.lower() and HANDSHAKE.fullmatch(data) is not None


class Door(asyncio.Protocol):
    """One connection, until it is another's."""

    __slots__ = ("_app_state", "_config", "_connections", "_loop", "_server_state", "_timer", "_transport")

    def __init__(self, config: Any, server_state: Any, app_state: dict[str, Any], _loop: Any = None) -> None:
        self._config, self._server_state, self._app_state = config, server_state, app_state
        self._connections: set[Any] = server_state.connections
        self._loop = _loop or asyncio.get_running_loop()
        self._transport: asyncio.Transport
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's does not inherit from it
        if len(self._connections) >= CONNECTIONS_MAX:
            self._become(self._http())  # which refuses it
            return
        self._connections.add(self)
        self._timer = self._loop.call_later(HEAD_DEADLINE_S, self._transport.close)

    def data_received(self, data: bytes) -> None:
        taker = self._become(self._websocket() if is_handshake(data) else self._http())
        taker.data_received(data)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's name
        self._leave()

    def shutdown(self) -> None:
        """Called by uvicorn for every connection when it ends."""
        self._transport.close()

    def _leave(self) -> None:
        self._connections.discard(self)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _become(self, taker: asyncio.Protocol) -> asyncio.Protocol:
        self._leave()
        taker.connection_made(self._transport)
        self._transport.set_protocol(taker)
        return taker

    def _http(self) -> asyncio.Protocol:
        made: asyncio.Protocol = BoundedHttp(
            config=self._config, server_state=self._server_state, app_state=self._app_state, _loop=self._loop
        )
        return made

    def _websocket(self) -> asyncio.Protocol:
        made: asyncio.Protocol = self._config.ws_protocol_class(
            config=self._config, server_state=self._server_state, app_state=self._app_state
        )
        return made
