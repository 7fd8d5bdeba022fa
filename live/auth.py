"""Who is calling: short-lived signed tokens, and the middleware that reads them.

Owns: the shape of a token. The key comes from the settings.
Invariant: one algorithm (HS256), one type, one issuer and one audience are accepted (RFC 8725 sections 3.1, 3.11,
3.8, 3.9), never what the token says of itself. A token that is presented and does not hold is a 401 everywhere, also
where none is needed: its bearer believes to be somebody.
"""

import hmac
import time
from typing import Any, Protocol

import jwt
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from live.limits import Strangers
from schema.errors import Unauthenticated
from schema.ids import AccountId, ShowId, new_id
from schema.people import Principal, Role

ALGORITHM = "HS256"
TOKEN_TYPE = "showfloor+jwt"  # noqa: S105 - a media type, not a secret
ISSUER = AUDIENCE = "showfloor"
GUEST_TTL_S = 12 * 3600
"""A guest's holds and orders belong to this token, so it outlives a long show and the evening after it."""
LEEWAY_S = 5
KNOWN_MAX = 4096
"""Tokens that need not be verified anew: a page shows its own with every request, twice for each join."""
_REQUIRED = ["iss", "aud", "exp", "iat", "sub", "role", "name"]


class Tokens:
    """Issues and verifies tokens under one secret."""

    def __init__(self, secret: str) -> None:
        if len(secret.encode()) < 32:
            raise ValueError("token_secret must have 32 bytes or more (RFC 7518 section 3.2)")
        self._secret = secret.encode()
        self._known: dict[str, tuple[Principal, float]] = {}
        """Who a token that held stands for, and until when in seconds; the oldest first."""

    def issue(self, principal: Principal, ttl_s: int = GUEST_TTL_S) -> str:
        """A token for `principal` that holds for `ttl_s` seconds."""
        now_s = int(time.time())
        claims: dict[str, Any] = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "iat": now_s,
            "exp": now_s + ttl_s,
            "sub": principal.account_id,
            "role": principal.role.value,
            "name": principal.name,
        }
        if principal.show_id is not None:
            claims["show"] = principal.show_id
        if principal.network:
            claims["net"] = principal.network
        return jwt.encode(claims, self._secret, ALGORITHM, headers={"typ": TOKEN_TYPE})

    def mark(self, text: str) -> str:
        """A stand-in for `text`: the same for the same, and nobody reads the text from a token that carries it."""
        return hmac.new(self._secret, b"mark:" + text.encode(), "sha256").hexdigest()[:24]

    def verify(self, token: str) -> Principal:
        """The bearer of `token`. Raises Unauthenticated, which says whether it lapsed but never what it held."""
        known, until_s = self._known.get(token, (None, 0))
        if known is not None and time.time() < until_s:
            return known
        return self._read(token)

    def _read(self, token: str) -> Principal:
        try:
            decoded = jwt.decode_complete(
                token,
                self._secret,
                [ALGORITHM],
                issuer=ISSUER,
                audience=AUDIENCE,
                leeway=LEEWAY_S,
                options={"require": _REQUIRED},
            )
            principal = _principal(decoded["header"], decoded["payload"])
        except jwt.ExpiredSignatureError:
            raise _refusal("The token has expired") from None
        except (jwt.InvalidTokenError, ValueError, UnicodeError, RecursionError):
            raise _refusal("The token is not valid") from None
        self._known.pop(token, None)
        if len(self._known) >= KNOWN_MAX:
            del self._known[next(iter(self._known))]
        self._known[token] = principal, float(decoded["payload"]["exp"])
        return principal


def _principal(header: dict[str, Any], claims: dict[str, Any]) -> Principal:
    show, network = claims.get("show"), claims.get("net", "")
    texts = (claims["sub"], claims["name"], show or "", network)
    if header.get("typ") != TOKEN_TYPE or not all(isinstance(text, str) for text in texts):
        raise ValueError
    return Principal(
        account_id=AccountId(claims["sub"]),
        role=Role(claims["role"]),
        name=claims["name"],
        show_id=None if show is None else ShowId(show),
        network=network,
    )


def _refusal(detail: str) -> Unauthenticated:
    return Unauthenticated(detail, headers={"WWW-Authenticate": 'Bearer error="invalid_token"'})


class Secretive(Protocol):
    """What `issue_token` needs of the settings."""

    @property
    def token_secret(self) -> str:
        """The key all tokens are signed with."""


def issue_token(settings: Secretive, show: str | None, role: Role, name: str, hours: float) -> str:
    """A token for a person at the command line; the account is new each time. `show` None: every show."""
    principal = Principal(
        account_id=AccountId(new_id("acct")), role=role, name=name, show_id=None if show is None else ShowId(show)
    )
    return Tokens(settings.token_secret).issue(principal, int(hours * 3600))


def bearer(headers: Headers) -> str | None:
    """The Bearer token of a request, None if it presents none (RFC 6750 section 2.1)."""
    scheme, _, token = headers.get("authorization", "").partition(" ")
    if not scheme:
        return None
    if scheme.lower() != "bearer":
        raise _refusal("The Authorization header must carry a Bearer token")
    return token.strip()


class Authentication:
    """Middleware: leaves the Principal behind the Bearer token, or None, in `scope["principal"]`."""

    def __init__(self, app: ASGIApp, tokens: Tokens) -> None:
        self._app = app
        self._tokens = tokens

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            scope["principal"] = await self._principal(scope)
        await self._app(scope, receive, send)

    async def _principal(self, scope: Scope) -> Principal | None:
        try:
            token = bearer(Headers(scope=scope))
            return None if token is None else self._tokens.verify(token)
        except Unauthenticated:
            strangers: Strangers | None = scope.get("state", {}).get("strangers")
            if strangers is not None:
                await strangers.turned_away((scope.get("client") or ("",))[0])
            raise
