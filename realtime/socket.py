"""`GET /ws/{show}?ticket=`: who comes in, with which subprotocol, from which offset.

Owns: nothing; a request becomes a `Viewer` or a problem.
Invariant: whatever can fail (ticket, show, Redis) fails before the upgrade, as an HTTP answer with a reason.
"""

import re
from collections.abc import Sequence
from typing import Any, NamedTuple, Self
from urllib.parse import parse_qsl

import msgspec
import structlog
from starlette.responses import Response
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket

from realtime.gateway import EXTENSION, Gateway
from realtime.ports import Strangers
from realtime.room import Room
from realtime.viewer import Viewer
from schema.errors import BadRequest, Banned, Forbidden, ShowfloorError, Unauthenticated, problem_type
from schema.ids import ShowId
from schema.people import Principal
from schema.wire import SUBPROTOCOL_JSON, SUBPROTOCOL_MSGPACK

log = structlog.get_logger()

PLAIN_QUERY = re.compile("ticket=([A-Za-z0-9_-]+)")
"""What almost everybody asks, in a tenth of the time."""
SUBPROTOCOLS = (SUBPROTOCOL_JSON, SUBPROTOCOL_MSGPACK)

Refusal = tuple["Arrival", ShowfloorError]


class Arrival(NamedTuple):
    """One handshake, understood."""

    gateway: Gateway
    ticket: str
    epoch: str | None
    offset: int
    subprotocol: str | None
    """Ours of those offered; None if none was offered."""

    @classmethod
    def of(cls, gateway: Gateway, query: bytes, offered: list[str]) -> Self:
        """Raises BadRequest."""
        text = query.decode("latin-1")
        chosen = choose(offered) if offered else None
        if (plain := PLAIN_QUERY.fullmatch(text)) is not None:
            return cls(gateway, plain[1], None, 0, chosen)
        asked = dict(parse_qsl(text, keep_blank_values=True))
        epoch, offset = position(asked)
        return cls(gateway, asked.get("ticket", ""), epoch, offset, chosen)


async def watch(websocket: WebSocket) -> None:
    """Let somebody in, or say why not, where an application has mounted this elsewhere than at `/ws/{show}`."""
    gateway: Gateway | None = websocket.scope.get("extensions", {}).get(EXTENSION)
    assert gateway is not None, "serve this route with uvicorn.Config(ws=realtime.gateway.gateway_class())"
    scope = websocket.scope
    try:
        arrival = Arrival.of(gateway, scope["query_string"], scope["subprotocols"])
    except ShowfloorError as error:
        gateway.deny(problem(error))
        return
    for refusal in await let_in(ShowId(websocket.path_params["show"]), [arrival], scope["state"]):
        await turn_away(refusal, scope["state"])


async def let_in(show: ShowId, arrivals: Sequence[Arrival], services: dict[str, Any]) -> list[Refusal]:
    """Let all of them into a show; those that may not come in, and why."""
    refused: list[Refusal] = []
    try:
        holders: list[Principal | None] = await services["doorkeeper"].redeem(show, [one.ticket for one in arrivals])
        people = [who for who in holders if who is not None]
        if not people:
            return [(one, _stranger(one)) for one in arrivals]
        banned = await services["chat"].banned(show, people)
        room = await _open(services["hub"], show, arrivals)
    except ShowfloorError as error:
        return [(one, error) for one in arrivals]
    for one, who in zip(arrivals, holders, strict=True):
        if who is None:
            refused.append((one, _stranger(one)))
        elif who.show_id is not None and who.show_id != show:
            refused.append((one, Forbidden("The ticket is for another show")))
        elif who.account_id in banned:
            refused.append((one, Banned()))
        else:
            _seat(one, who, room, services)
    return refused


def _stranger(arrival: Arrival) -> Unauthenticated:
    if not arrival.ticket:
        return Unauthenticated("The address needs a ticket: ?ticket=")
    return Unauthenticated("The ticket is spent, expired, or for another show")


async def _open(hub: Any, show: ShowId, arrivals: Sequence[Arrival]) -> Room:
    """The room, at least as far as the furthest of those who come back to it."""
    room: Room = await hub.open(show)
    epoch = room.channel.epoch
    ahead = max((one.offset for one in arrivals if one.epoch == epoch), default=0)
    return await hub.open(show, epoch, ahead) if ahead > room.channel.received else room


def _seat(arrival: Arrival, principal: Principal, room: Room, services: dict[str, Any]) -> None:
    gateway, hub = arrival.gateway, services["hub"]
    transport = gateway.transport
    if transport.is_closing():
        return
    commands = hub.commands(services["chat"], services["reports"], services.get("audience"))
    binary = arrival.subprotocol == SUBPROTOCOL_MSGPACK
    viewer = Viewer(
        transport, gateway.connections, hub=hub, room=room, principal=principal, commands=commands, binary=binary
    )
    try:
        head = gateway.hand_over(viewer, arrival.subprotocol)
        viewer.welcome(arrival.epoch, arrival.offset, head)
        if gateway.early:
            viewer.data_received(gateway.early)
    except Exception:  # whatever it is, it is not the others' who come at the same moment
        log.exception("handshake_failed")
        transport.abort()


async def turn_away(refusal: Refusal, services: dict[str, Any]) -> None:
    """Say why; or, to one of many without a valid ticket from an address, that it is too many."""
    arrival, error = refusal
    strangers: Strangers | None = services.get("strangers")
    if strangers is not None and isinstance(error, Unauthenticated):
        try:
            await strangers.turned_away(await arrival.gateway.address())
        except ShowfloorError as too_many:
            error = too_many
    arrival.gateway.deny(problem(error))


def choose(offered: list[str]) -> str:
    """The first subprotocol offered that is ours; JSON if none is offered. Raises BadRequest if none is ours."""
    if not offered:
        return SUBPROTOCOL_JSON
    for one in offered:
        if one in SUBPROTOCOLS:
            return one
    raise BadRequest(f"None of the subprotocols is spoken here; these are: {', '.join(SUBPROTOCOLS)}")


def position(query: Any) -> tuple[str | None, int]:
    """Where a client that comes back stood: epoch and offset, or None and 0 for a newcomer. Raises BadRequest."""
    epoch, offset = query.get("epoch"), query.get("offset")
    if not epoch and not offset:
        return None, 0
    if not epoch or not offset or not offset.isascii() or not offset.isdigit() or len(offset) > 18:
        raise BadRequest("To resume, give both: ?epoch=...&offset=<a whole number>")
    return epoch, int(offset)


def problem(error: ShowfloorError) -> Response:
    """The error as problem+json, RFC 9457."""
    body = {
        "type": problem_type(error.code),
        "title": error.title,
        "status": error.status,
        "detail": error.detail,
        "code": error.code,
        **error.extra,
    }
    headers = dict(error.headers)
    if error.retry_after_ms is not None:
        headers["Retry-After"] = str(-(-error.retry_after_ms // 1000))
    return Response(
        msgspec.json.encode(body), status_code=error.status, headers=headers, media_type="application/problem+json"
    )


route = WebSocketRoute("/ws/{show}", watch, name="watch")
