"""How a room declares an HTTP operation, so that routing, checks and the OpenAPI document have one source.

Owns: the `Operation` record and the adapter that turns it into a Starlette route.
Invariant: a handler runs only with a principal whose role covers the operation's and whose token is for
the show in the path (a token for one show reaches no operation on all of them), a body that decoded into its struct,
and, where asked for, an Idempotency-Key. Whatever a host or an operator changes goes through the auditor.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Generic, Protocol, TypeVar

import msgspec
from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from schema.errors import (
    BadRequest,
    Forbidden,
    IdempotencyKeyMissing,
    Invalid,
    RequestTimeout,
    ShowfloorError,
    TooLarge,
    Unauthenticated,
    UnsupportedMediaType,
)
from schema.people import Principal, Role

B = TypeVar("B")

BODY_MAX_BYTES = 64 * 1024
BODY_DEADLINE_S = 15.0
"""From the end of the head to the end of the body; what phones send is a few kilobytes."""
IDEMPOTENCY_KEY_MAX_CHARS = 255

_json_encoder = msgspec.json.Encoder()


class Note(Struct, kw_only=True):
    """What a handler tells the audit log of its act, beside what was asked. Anything that msgspec writes as JSON."""

    before: Any = None
    after: Any = None


class Call(Struct, Generic[B], frozen=True, kw_only=True):
    """One request, checked and decoded. `request.state` holds the rooms' services."""

    request: Request
    body: B
    principal: Principal | None
    key: str
    """The Idempotency-Key; empty where the operation asks for none."""
    note: Note = msgspec.field(default_factory=Note)

    @property
    def who(self) -> Principal:
        """The principal of an operation that needs one."""
        assert self.principal is not None, "an operation without a role has no principal to rely on"
        return self.principal

    def path(self, name: str) -> str:
        """A parameter of the path."""
        value: str = self.request.path_params[name]
        return value


class Answer(Struct, frozen=True, kw_only=True):
    """What a handler returns; the adapter encodes it."""

    status: int = 200
    body: Struct | None = None
    headers: dict[str, str] = {}
    stream: AsyncIterator[bytes] | None = None
    """In place of a body: what is too long to be kept in memory. Its Content-Type is among the headers."""


class Operation(Struct, frozen=True, kw_only=True):
    """One HTTP operation: what it takes, what it answers, and who may call it."""

    name: str
    """The operationId, verbNoun."""
    method: str
    path: str
    summary: str
    answers: dict[int, type[Struct] | None]
    role: Role | None = None
    """The least role; None: anybody."""
    body: type[Struct] | None = None
    body_optional: bool = False
    idempotent: bool = False
    """True: an Idempotency-Key header is required."""
    errors: tuple[type[ShowfloorError], ...] = ()
    query: dict[str, str] = {}
    """Query parameters with their description."""
    tag: str = "show"
    media_type: str = "application/json"
    """Of its answers; another one has no struct."""
    of_others: bool = False
    """True: the staff may do to anybody's what a viewer may do to their own. Then it is audited."""
    for_analysts: bool = False
    """True: an analyst may as well, besides `role` and above; it changes nothing."""

    @property
    def audited(self) -> bool:
        """True if it is the staff's, and changes something."""
        return self.role is not None and self.role.covers(Role.MODERATOR) and self.method != "GET"

    def is_audited_of(self, principal: Principal | None) -> bool:
        """True if this act of theirs is to be written down: an operation of the staff's, or on what is another's."""
        by_staff = principal is not None and principal.role.covers(Role.HOST)
        return self.audited or (self.of_others and by_staff)

    @property
    def of_all_shows(self) -> bool:
        """True if its path names neither a show nor anything of one (a hold, an order: their handlers compare)."""
        return self.role is not None and "{" not in self.path


class Auditor(Protocol):
    """Writes down what the staff do; `request.state.audit`."""

    async def around(self, operation: Operation, call: Call[Any], act: Callable[[], Awaitable[Answer]]) -> Answer:
        """Write what is asked, do it, write how it ended. Nothing is done that could not be written down before."""


def route(operation: Operation, handler: Callable[[Call[Any]], Awaitable[Answer]]) -> Route:
    """A Starlette route for `operation`. `route.operation` leads back to the record, for the OpenAPI document."""

    async def endpoint(request: Request) -> Response:
        principal = admit(request, operation.role, for_analysts=operation.for_analysts)
        if operation.of_all_shows and principal is not None and principal.show_id is not None:
            raise Forbidden("The token is for one show; this needs one for all shows")
        key = request.headers.get("idempotency-key", "")
        if operation.idempotent and not key:
            raise IdempotencyKeyMissing
        if len(key) > IDEMPOTENCY_KEY_MAX_CHARS:
            raise BadRequest(f"Idempotency-Key is longer than {IDEMPOTENCY_KEY_MAX_CHARS} characters")
        body = await decode(request, operation.body, optional=operation.body_optional) if operation.body else None
        call = Call(request=request, body=body, principal=principal, key=key)
        # A room's own tests serve its routes without the others' services; a test of live asks that it is there.
        auditor: Auditor | None = getattr(request.state, "audit", None) if operation.is_audited_of(principal) else None
        answer = await (auditor.around(operation, call, lambda: handler(call)) if auditor else handler(call))
        return encode(answer)

    made = Route(operation.path, endpoint, methods=[operation.method], name=operation.name)
    made.operation = operation  # type: ignore[attr-defined]
    return made


def admit(request: Request, needed: Role | None, *, for_analysts: bool = False) -> Principal | None:
    """The principal behind the request, put into the scope by the authentication middleware.

    Raises Unauthenticated without one where `needed` asks for it, Forbidden where the role or the show differ.
    """
    principal: Principal | None = request.scope.get("principal")
    if needed is None:
        return principal
    if principal is None:
        raise Unauthenticated(headers={"WWW-Authenticate": "Bearer"})
    if not (principal.role.covers(needed) or (for_analysts and principal.role is Role.ANALYST)):
        raise Forbidden(f"This needs the role {needed}; the token's is {principal.role}")
    show = request.path_params.get("show")
    if show is not None and principal.show_id is not None and principal.show_id != show:
        raise Forbidden("The token is for another show")
    return principal


async def read_body(request: Request, limit_bytes: int = BODY_MAX_BYTES) -> bytes:
    """The whole body; TooLarge as soon as it exceeds `limit_bytes`, RequestTimeout after BODY_DEADLINE_S."""
    chunks, size = [], 0
    try:
        async with asyncio.timeout(BODY_DEADLINE_S):
            async for chunk in request.stream():
                size += len(chunk)
                if size > limit_bytes:
                    raise TooLarge(f"The body is larger than {limit_bytes} bytes")
                chunks.append(chunk)
    except TimeoutError:
        # The rest of the body may still come, so the connection cannot carry another request.
        raise RequestTimeout(headers={"Connection": "close"}) from None
    return b"".join(chunks)


async def decode(request: Request, kind: type[Struct], *, optional: bool = False) -> Struct:
    """The JSON body as `kind`. Raises UnsupportedMediaType, TooLarge, BadRequest (not JSON) or Invalid (not `kind`)."""
    data = await read_body(request)
    if not data and optional:
        return kind()
    content_type = request.headers.get("content-type", "application/json").partition(";")[0].strip().lower()
    if content_type != "application/json":
        raise UnsupportedMediaType(f"The body must be application/json, not {content_type}")
    try:
        return msgspec.json.decode(data, type=kind)
    except msgspec.ValidationError as error:
        what, _, path = str(error).partition(" - at `$")
        raise Invalid(what, pointer="/" + path.rstrip("`").lstrip(".").replace(".", "/")) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadRequest(f"The body is not JSON: {error}") from None
    except RecursionError:
        raise BadRequest("The body is nested too deeply") from None


def encode(answer: Answer) -> Response:
    """The HTTP response of an answer."""
    if answer.stream is not None:
        return StreamingResponse(answer.stream, status_code=answer.status, headers=answer.headers)
    if answer.body is None:
        return Response(status_code=answer.status, headers=answer.headers)
    return Response(
        _json_encoder.encode(answer.body),
        status_code=answer.status,
        headers=answer.headers,
        media_type="application/json",
    )
