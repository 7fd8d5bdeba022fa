"""uvicorn's `http=` class: a connection until its first bytes say what it wants.

A socket's handshake that came in one piece goes straight to the gateway: uvicorn's HTTP protocol, which would parse it,
write it anew and hand it on, costs as much as all the rest of a join. Whatever else comes is `BoundedHttp`'s from its
first byte on.

Owns: the connections of which nothing was heard yet.
Invariant: what goes past the HTTP parser has the shape of `HANDSHAKE`: one whole head, nothing behind it, and no header
that two readers could read in two ways (RFC 9112 section 11.2).
What it relies on of uvicorn, which is not documented, is pinned by tests/live/test_door.py.
"""

import asyncio
import re
from typing import cast

from live.bounded_http import CONNECTIONS_MAX, BoundedHttp
from realtime.gateway import Gateway

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


def door_class(gateway: type[Gateway]) -> type["Door"]:
    """The class for `uvicorn.Config(http=...)` beside that `gateway` as `ws=`."""
    return type("ConfiguredDoor", (Door, gateway), {"__slots__": ()})


class Door(Gateway):
    """One connection, until it is another's: a gateway that looks before it reads."""

    __slots__ = ()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if len(self.connections) >= CONNECTIONS_MAX:
            self.transport = cast(asyncio.Transport, transport)
            self._become_http()  # which refuses it
            return
        super().connection_made(transport)

    def data_received(self, data: bytes) -> None:
        if self._request is not None or is_handshake(data):
            super().data_received(data)
        else:
            self._become_http().data_received(data)

    def _become_http(self) -> BoundedHttp:
        self.connections.discard(self)
        self.deadlines.end(self)
        http = BoundedHttp(config=self._config, server_state=self._server, app_state=self._state, _loop=self._loop)
        http.connection_made(self.transport)
        self.transport.set_protocol(http)
        return http
