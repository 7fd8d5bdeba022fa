"""What every answer says to a browser about whom to trust.

Owns: the security headers, the policy of content, and which origins may call from another page.
Invariant: the default of every answer is that nothing in it may run, load or be framed; a page opens exactly what it
needs, with a nonce of its own.
"""

import secrets
from collections.abc import Sequence

from msgspec import Struct
from starlette.datastructures import MutableHeaders
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

CROSS_ORIGIN_PATHS = ("/api/", "/whip/", "/whep/")
EXPOSED = ("Location", "Link", "ETag", "Retry-After", "WWW-Authenticate", "Accept-Patch")

_NOTHING = "default-src 'none'; frame-ancestors 'none'"
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
}


class PaymentOrigins(Struct, frozen=True):
    """Where a payment provider's script comes from, what it opens inside the page, and whom it asks."""

    scripts: tuple[str, ...] = ()
    frames: tuple[str, ...] = ()
    calls: tuple[str, ...] = ()


NO_PAYMENTS = PaymentOrigins()
STRIPE = PaymentOrigins(
    # docs.stripe.com/security/guide: the script, its frames, the bank's page of 3-D Secure.
    scripts=("https://js.stripe.com", "https://*.js.stripe.com"),
    frames=("https://js.stripe.com", "https://*.js.stripe.com", "https://hooks.stripe.com"),
    calls=("https://api.stripe.com",),
)


def page_policy(nonce: str, payments: PaymentOrigins = NO_PAYMENTS) -> str:
    """The Content-Security-Policy of a page: scripts with this nonce and what they import, all from this server.

    `payments`: the origins that a page in which people pay opens besides.
    """
    return "; ".join(
        (
            "default-src 'none'",
            # The nonce starts a page's own modules, 'self' what those import.
            " ".join(("script-src 'self'", f"'nonce-{nonce}'", *payments.scripts)),
            f"style-src 'self' 'nonce-{nonce}'",
            "img-src 'self' data: blob:",
            "media-src 'self' blob:",
            "font-src 'self'",
            " ".join(("connect-src 'self'", *payments.calls)),
            *([" ".join(("frame-src", *payments.frames))] if payments.frames else []),
            "manifest-src 'self'",
            "base-uri 'none'",
            "form-action 'self'",
            "frame-ancestors 'none'",
        )
    )


def fresh_nonce() -> str:
    """A nonce for one answer: 128 random bits."""
    return secrets.token_urlsafe(16)


class SecurityHeaders:
    """Middleware: the headers that hold for every answer, unless the answer brought its own."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def marked(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
                headers.setdefault("Content-Security-Policy", _NOTHING)
            await send(message)

        await self._app(scope, receive, marked)


class CrossOrigin:
    """Middleware: CORS for the interfaces that other people's pages call, and for nothing else.

    Tokens travel in a header, never in a cookie, so no credentials are allowed across origins.
    """

    def __init__(self, app: ASGIApp, origins: Sequence[str]) -> None:
        self._app = app
        self._open = CORSMiddleware(
            app,
            allow_origins=origins,
            allow_methods=("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"),
            allow_headers=("Authorization", "Content-Type", "Idempotency-Key", "If-Match", "If-None-Match"),
            expose_headers=EXPOSED,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        crosses = scope["type"] == "http" and scope["path"].startswith(CROSS_ORIGIN_PATHS)
        await (self._open if crosses else self._app)(scope, receive, send)
