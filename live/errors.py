"""Errors become answers: RFC 9457 problem documents, and nothing of the inside leaks.

Owns: the translation. Rooms raise; only this module knows HTTP's way of saying it.
Invariant: every refusal of this server is `application/problem+json`; an unforeseen failure is logged with its
traceback and answered with its class of error alone.
"""

from typing import Any

import asyncpg
import msgspec
import redis.exceptions
import structlog
from msgspec import Struct
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from schema.errors import Invalid, ShowfloorError, Unavailable, problem_type

log = structlog.get_logger()

PROBLEM_TYPE = "application/problem+json"

_encoder = msgspec.json.Encoder()
_STORE_AWAY = (
    OSError,
    TimeoutError,
    redis.exceptions.ConnectionError,
    redis.exceptions.TimeoutError,
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
)
"""What the drivers raise when a server is away, going away, or full."""
_CODES = {400: "bad_request", 404: "not_found", 405: "method_not_allowed", 413: "too_large"}


class Problem(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """RFC 9457. `code` is for programs, `detail` for people; further members depend on the code."""

    type: str
    """Where the code is explained."""
    title: str
    status: int
    detail: str
    code: str
    pointer: str | None = None
    """A JSON pointer (RFC 6901) to the field at fault."""


def problem(error: ShowfloorError) -> Response:
    """The answer for one of the family, with `Retry-After` in whole seconds, rounded up."""
    known = Problem(
        type=problem_type(error.code),
        title=error.title,
        status=error.status,
        detail=error.detail,
        code=error.code,
        pointer=error.pointer,
    )
    headers = dict(error.headers)
    extra = dict(error.extra)
    if error.retry_after_ms is not None:
        headers["Retry-After"] = str(max(1, -(-error.retry_after_ms // 1000)))
        extra["retry_after_ms"] = error.retry_after_ms
    return _respond(known, extra, headers)


async def on_http_exception(_request: Request, error: Exception) -> Response:
    """Starlette's own refusals (no such route, method not allowed, body too large) in the same shape."""
    assert isinstance(error, HTTPException)
    if error.status_code in {204, 304}:
        return Response(status_code=error.status_code, headers=error.headers)
    code = _CODES.get(error.status_code, "http")
    known = Problem(
        type=problem_type(code), title=error.detail, status=error.status_code, detail=error.detail, code=code
    )
    return _respond(known, {}, dict(error.headers or {}))


def _respond(known: Problem, extra: dict[str, Any], headers: dict[str, str]) -> Response:
    document = {**extra, **msgspec.to_builtins(known)}
    headers.setdefault("Cache-Control", "no-store")
    return Response(_encoder.encode(document), known.status, headers=headers, media_type=PROBLEM_TYPE)


class Problems:
    """Middleware: whatever is raised below becomes a problem document, unless the answer has begun."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun = False

        async def watched(message: Message) -> None:
            nonlocal begun
            begun = begun or message["type"] == "http.response.start"
            await send(message)

        try:
            await self._app(scope, receive, watched)
        except ClientDisconnect:
            log.debug("client_hung_up", method=scope["method"], path=scope["path"])
        except Exception as error:
            if begun:
                raise
            await problem(_told(error, scope))(scope, receive, send)


def _told(error: Exception, scope: Scope) -> ShowfloorError:
    if isinstance(error, ShowfloorError):
        return error
    if isinstance(error, asyncpg.DataError):
        # What a struct lets through and Postgres cannot hold: a NUL in a text, a number beyond bigint.
        log.warning("value_not_storable", method=scope["method"], path=scope["path"], error=type(error).__name__)
        return Invalid("A value cannot be stored")
    if isinstance(error, _STORE_AWAY):
        log.error("store_away", method=scope["method"], path=scope["path"], error=repr(error))
        return Unavailable("A store does not answer", retry_after_ms=1000)
    log.error("request_failed", method=scope["method"], path=scope["path"], exc_info=error)
    return ShowfloorError()
