"""What a worker does for a request that another one has to answer, or all of them together.

The kernel gives a connection to any worker, but a media session lives in one: its id ends in `.w<number>`. So its
PATCH and DELETE go on to that one, over a socket of our own, as they came, and it asks the token itself. What only the
worker with the host knows (the clock that a pin names, its picture) goes on to that one. What each knows a share of
(the numbers of a show's video) is asked of all, over the same sockets, and added up by who got the request.

Owns: the connections to the other workers. Invariant: what came from a sibling is never sent on again; a sibling
that does not answer has ended, and its sessions with it: 404.
"""

import asyncio
import re
from collections.abc import Mapping
from http import HTTPStatus
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx2
import msgspec
import structlog
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from live.core.exposition import merged
from live.place import Place
from media.links import Links
from schema.api import read_body
from schema.errors import NotFound, Unavailable
from schema.ids import ShowId

log = structlog.get_logger()
T = TypeVar("T")

ASK_S = 5.0
SHARE_S = 1.0
"""For a share of numbers: who is late is left out."""
BODY_MAX_BYTES = 64 * 1024
SESSION = re.compile(r"^/(?:whip|whep)/[^/]+/[^/]+\.w(\d{1,3})$")
OF_THE_HOST = re.compile(r"^/api/v1/shows/([^/]+)/(?:pins|thumbnail)$")
_ON = ("authorization", "content-type", "idempotency-key", "if-match", "if-none-match", "accept")
_BACK = (
    *("content-type", "etag", "location", "link", "retry-after", "www-authenticate", "cache-control", "accept-post"),
    *("last-modified", "content-disposition"),
)


def session_suffix(place: Place | None) -> str:
    """What the ids of a worker's media sessions end in."""
    return f".w{place.worker}" if place else ""


class Others:
    """The other workers, to be asked. An async context manager."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self._clients = {
            worker: httpx2.AsyncClient(
                transport=httpx2.AsyncHTTPTransport(uds=str(place.http(worker))),
                base_url=f"http://worker-{worker}",
                timeout=ASK_S,
            )
            for worker in place.others
        }

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for client in self._clients.values():
            await client.aclose()

    async def ask(
        self,
        worker: int,
        method: str,
        path: str,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        *,
        within_s: float = ASK_S,
    ) -> httpx2.Response | None:
        """A sibling's answer; None if it does not answer in time."""
        client = self._clients.get(worker)
        if client is None:
            return None
        try:
            async with asyncio.timeout(within_s):  # the client's own timeouts begin anew with each piece that comes
                return await client.request(method, path, headers=dict(headers or {}), content=body)
        except (httpx2.HTTPError, OSError) as error:  # TimeoutError is an OSError
            log.info("sibling_silent", sibling=worker, path=path, error=type(error).__name__)
            return None

    async def ask_all(self, path: str) -> dict[int, httpx2.Response]:
        """GET `path` of every sibling that answers."""
        answers = await asyncio.gather(*(self.ask(worker, "GET", path) for worker in self._clients))
        return {worker: answer for worker, answer in zip(self._clients, answers, strict=True) if answer is not None}

    async def shares(self, path: str, kind: type[T]) -> dict[int, T]:
        """GET `path` of every sibling that answers within SHARE_S with what is a `kind`."""
        found = await asyncio.gather(*(self._share(worker, path, kind) for worker in self._clients))
        return {worker: share for worker, share in zip(self._clients, found, strict=True) if share is not None}

    async def _share(self, worker: int, path: str, kind: type[T]) -> T | None:
        answer = await self.ask(worker, "GET", path, within_s=SHARE_S)
        if answer is None or answer.status_code != HTTPStatus.OK:
            return None
        try:
            return msgspec.msgpack.decode(answer.content, type=kind)
        except msgspec.MsgspecError as error:
            log.warning("share_unreadable", sibling=worker, path=path, error=str(error))
            return None


class Siblings:
    """Middleware of a worker among several; `request.state.others` is its `Others`."""

    def __init__(self, app: ASGIApp, place: Place) -> None:
        self._app = app
        self._place = place

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or is_from_sibling(scope):
            await self._app(scope, receive, send)
            return
        there = self._whose(scope)
        if there is not None and there != self._place.worker:
            answer = await _sent_on(Request(scope, receive), there)
            await answer(scope, receive, send)
        elif scope["path"] == "/metrics" and scope["method"] == "GET":
            await self._with_all(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    def _whose(self, scope: Scope) -> int | None:
        """The worker that a request is for, if it is for one."""
        if found := SESSION.match(scope["path"]):
            return int(found[1])
        if found := OF_THE_HOST.match(scope["path"]):
            links: Links = scope["state"]["links"]
            return links.host_worker(ShowId(found[1]))
        return None

    async def _with_all(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Our own metrics and those of the others."""
        others: Others = scope["state"]["others"]
        own, answers = await asyncio.gather(_own(self._app, scope, receive), others.ask_all(scope["path"]))
        texts = {self._place.worker: own[1].decode()} | {n: a.text for n, a in answers.items() if a.status_code == 200}
        text = merged(dict(sorted(texts.items())))
        await Response(text, headers=own[0])(scope, receive, send)


async def _own(app: ASGIApp, scope: Scope, receive: Receive) -> tuple[dict[str, str], bytes]:
    """The type and the body of what this worker answers."""
    headers: dict[str, str] = {}
    body = bytearray()

    async def keep(message: Any) -> None:
        if message["type"] == "http.response.start":
            headers.update({k.decode(): v.decode() for k, v in message["headers"] if k == b"content-type"})
        else:
            body.extend(message.get("body", b""))

    await app(scope, receive, keep)
    return headers, bytes(body)


async def _sent_on(request: Request, worker: int) -> Response:
    others: Others = request.state.others
    headers = {name: request.headers[name] for name in _ON if name in request.headers}
    body = await read_body(request, BODY_MAX_BYTES)
    path = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    answer = await others.ask(worker, request.method, path, headers, body)
    if answer is None:
        if SESSION.match(request.url.path):
            raise NotFound("The session has ended")
        raise Unavailable("The host is just moving; ask again", retry_after_ms=1000)
    kept = {name: answer.headers[name] for name in _BACK if name in answer.headers}
    return Response(answer.content, answer.status_code, kept)


def is_from_sibling(scope: Scope) -> bool:
    """True for a request that came over our unix socket: uvicorn then knows no port."""
    server = scope.get("server")
    return server is not None and server[1] is None
