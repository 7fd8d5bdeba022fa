"""Serves the pages and what they load.

Owns: the digest of `live/web/static` and the texts of the pages, read once at start.
Invariant: a page gets a nonce of its own on every answer; a static file's address changes with any byte of the whole
directory, so that it may be kept for ever; nothing outside the directory is served.

In a page `{{nonce}}` stands for the nonce of its Content-Security-Policy and `{{static}}` for the address of the
static files, such as `/static/4f1c...`, `{{ice}}` for "ask" or "none", and `{{payments}}` for "fake" or for a
provider's name and its publishable key.
"""

import hashlib
from collections.abc import Awaitable, Callable, Iterator
from html import escape
from pathlib import Path

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from live.security import NO_PAYMENTS, PaymentOrigins, fresh_nonce, page_policy

ROOT = Path(__file__).parent
PAGES = {
    "/": "hub.html",
    "/watch/{show}": "watch.html",
    "/studio/{show}": "studio.html",
    "/console/{show}": "console.html",
    "/audit/{show}": "audit.html",
}

PAYING = "watch.html"
"""The page in which people pay."""

_FOREVER = b"public, max-age=31536000, immutable"
_HOUR = b"public, max-age=3600"


def page_routes(
    root: Path = ROOT, *, asks_for_ice: bool = False, payments: str = "fake", origins: PaymentOrigins = NO_PAYMENTS
) -> list[BaseRoute]:
    """The routes of all pages that are there, of the static files, and of the images under a lasting address.

    `payments` is told to the watch page, whose policy alone lets the `origins` of a payment provider in.
    """
    static = root / "static"
    prefix = static_prefix(root)
    files: list[BaseRoute] = [Mount(prefix, _kept(StaticFiles(directory=static), _FOREVER), name="static")]
    if (static / "images").is_dir():
        # Products refer to these for years: no digest in the address, and an hour in the cache.
        files.append(Mount("/images", _kept(StaticFiles(directory=static / "images"), _HOUR), name="images"))

    def page(name: str) -> Callable[[Request], Awaitable[Response]]:
        text = _told((root / name).read_text(encoding="utf-8"), asks_for_ice).replace("{{payments}}", escape(payments))
        return _page(text, prefix, origins if name == PAYING else NO_PAYMENTS)

    return [*files, *(Route(path, page(name), name=name) for path, name in PAGES.items() if (root / name).exists())]


def static_prefix(root: Path = ROOT) -> str:
    """The address of the static files."""
    return f"/static/{digest_of(root / 'static')}"


def digest_of(directory: Path) -> str:
    """12 hex digits that change with any name or byte under `directory`."""
    digest = hashlib.sha256()
    for path in _files(directory):
        digest.update(f"{path.relative_to(directory).as_posix()}\0{path.stat().st_size}\0".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


def _files(directory: Path) -> Iterator[Path]:
    return (path for path in sorted(directory.rglob("*")) if path.is_file())


def html_answer(html: str, nonce: str, origins: PaymentOrigins = NO_PAYMENTS) -> Response:
    """A page with its policy. Not stored: its nonce is for once."""
    return HTMLResponse(
        html,
        headers={
            "Content-Security-Policy": page_policy(nonce, origins),
            "Cache-Control": "no-store",
            "Permissions-Policy": "camera=(self), microphone=(self), display-capture=(self), geolocation=()",
        },
    )


def _told(template: str, asks_for_ice: bool) -> str:  # noqa: FBT001 - it is the one thing told
    """Whether a page is to ask for ICE servers before it offers: without any it saves itself the round trip."""
    return template.replace("{{ice}}", "ask" if asks_for_ice else "none")


def _page(template: str, prefix: str, origins: PaymentOrigins) -> Callable[[Request], Awaitable[Response]]:
    filled = template.replace("{{static}}", prefix)

    async def endpoint(_request: Request) -> Response:
        nonce = fresh_nonce()
        return html_answer(filled.replace("{{nonce}}", nonce), nonce, origins)

    return endpoint


def _kept(files: ASGIApp, how_long: bytes) -> ASGIApp:
    """Static files with a Cache-Control; a 404 is not kept."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        async def marked(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] < 400:
                message["headers"] = [*message.get("headers", ()), (b"cache-control", how_long)]
            await send(message)

        await files(scope, receive, marked)

    return app
