"""The opening handshake of a WebSocket, RFC 6455 section 4: from the request's bytes to a decision.

Owns: nothing. Reads no socket.
Invariant: a request that is let through is a GET with version 13, one valid key and an allowed origin.
"""

import base64
import binascii
import hashlib
from collections.abc import Collection
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
REQUEST_MAX_BYTES = 64 * 1024

Named = dict[bytes, list[bytes]]
"""The values of each header, by its name in lower case."""


class Refused(Exception):  # noqa: N818 - a decision
    """The request cannot become a WebSocket; answer with this status."""

    def __init__(self, status: int, reason: str, headers: tuple[tuple[bytes, bytes], ...] = ()) -> None:
        super().__init__(reason)
        self.status = status
        self.headers = headers


class Request(NamedTuple):
    """An upgrade that may go on to the application."""

    path: str
    raw_path: bytes
    query: bytes
    headers: list[tuple[bytes, bytes]]
    """Names in lower case."""
    key: bytes
    subprotocols: list[str]


def parse(data: bytes, *, origins: Collection[str] = ()) -> Request:
    """The request in `data`, as uvicorn hands it over: a whole head. Raises Refused.

    A browser's Origin must be the page's own host, or stand in `origins`; a client without Origin is no browser.
    """
    head, end, _ = data.partition(b"\r\n\r\n")
    if not end or len(data) > REQUEST_MAX_BYTES:
        raise Refused(400, "The request is too long")
    first, *lines = head.split(b"\r\n")
    method, target, *_ = [*first.split(b" ", 2), b"", b""]
    headers = _headers(lines)
    named: Named = {}
    for name, value in headers:
        named.setdefault(name, []).append(value)
    if method != b"GET":
        raise Refused(405, "A WebSocket opens with GET", ((b"allow", b"GET"),))
    _check_upgrade(named)
    _check_origin(named, origins)
    raw_path, _, query = target.partition(b"?")
    path = raw_path.decode("ascii", "replace")
    if "%" in path:
        path = unquote(path)
    return Request(path, raw_path, query, headers, _key(named), _tokens(named, b"sec-websocket-protocol"))


def accept(key: bytes) -> bytes:
    """The value of Sec-WebSocket-Accept, section 4.2.2 step 5.4."""
    return base64.b64encode(hashlib.sha1(key + GUID, usedforsecurity=False).digest())


def _headers(lines: list[bytes]) -> list[tuple[bytes, bytes]]:
    found = []
    for line in lines:
        name, colon, value = line.partition(b":")
        if not colon or not name:
            raise Refused(400, "A header has no name")
        found.append((name.strip().lower(), value.strip()))
    return found


def _tokens(named: Named, name: bytes) -> list[str]:
    values = named.get(name)
    if values is None:
        return []
    listed = b",".join(values).decode("latin-1")
    return [token for one in listed.split(",") if (token := one.strip())]


def _check_upgrade(named: Named) -> None:
    if "websocket" not in [token.lower() for token in _tokens(named, b"upgrade")]:
        raise Refused(400, "Upgrade must be websocket")
    if "upgrade" not in [token.lower() for token in _tokens(named, b"connection")]:
        raise Refused(400, "Connection must be Upgrade")
    if named.get(b"sec-websocket-version") != [b"13"]:
        raise Refused(426, "Only version 13 is spoken here", ((b"sec-websocket-version", b"13"),))


def _key(named: Named) -> bytes:
    keys = named.get(b"sec-websocket-key", [])
    try:
        (key,) = keys
        whole = len(base64.b64decode(key, validate=True)) == 16
    except (ValueError, binascii.Error):
        whole = False
    if not whole:
        raise Refused(400, "Sec-WebSocket-Key must be 16 bytes in base64, once")
    return keys[0]


def _check_origin(named: Named, origins: Collection[str]) -> None:
    claimed = [value.decode("latin-1").lower() for value in named.get(b"origin", [])]
    if not claimed:
        return
    hosts = [value.decode("latin-1").lower() for value in named.get(b"host", [])]
    if len(claimed) == 1 and (claimed[0] in origins or [_netloc(claimed[0])] == hosts):
        return
    raise Refused(
        403, "This page's origin may not open a socket here; allow it with the setting SHOWFLOOR_ALLOWED_ORIGINS"
    )


def _netloc(origin: str) -> str:
    try:
        return urlsplit(origin).netloc
    except ValueError:
        return ""
