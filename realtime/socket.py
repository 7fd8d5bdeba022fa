"""`GET /ws/{show}?ticket=`: who comes in, with which subprotocol, from which offset.

Owns: nothing; a request becomes a `Viewer` or a problem.
Invariant: whatever can fail (ticket, show, Redis) fails before the upgrade, as an HTTP answer with a reason.
"""

import asyncio
from typing import Any

import msgspec
from starlette.responses import Response
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket

from realtime.commands import Commands
from realtime.gateway import EXTENSION, Gateway
from realtime.hub import Hub
from realtime.ports import Doorkeeper, Strangers
from realtime.room import Room
from realtime.viewer import Viewer
from schema.errors import BadRequest, Forbidden, ShowfloorError, Unauthenticated, problem_type
from schema.ids import ShowId
from schema.people import Principal
from schema.wire import SUBPROTOCOL_JSON, SUBPROTOCOL_MSGPACK

SUBPROTOCOLS = (SUBPROTOCOL_JSON, SUBPROTOCOL_MSGPACK)


async def watch(websocket: WebSocket) -> None:
    """Let somebody in, or say why not."""
    gateway: Gateway | None = websocket.scope.get("extensions", {}).get(EXTENSION)
    assert gateway is not None, "serve this route with uvicorn.Config(ws=realtime.gateway.gateway_class())"
    show = ShowId(websocket.path_params["show"])
    try:
        subprotocol = choose(websocket.scope["subprotocols"])
        epoch, offset = position(websocket.query_params)
        principal = await _admit(websocket, show)
        await websocket.state.chat.admit(principal, show)
        hub: Hub = websocket.state.hub
        room = await hub.open(show, epoch, offset)
    except ShowfloorError as error:
        await websocket.send_denial_response(problem(error))
        return
    await websocket.accept(subprotocol=subprotocol if websocket.scope["subprotocols"] else None)
    binary = subprotocol == SUBPROTOCOL_MSGPACK
    state = websocket.state
    commands = hub.commands(state.chat, state.reports, getattr(state, "audience", None))
    _seat(gateway, hub, room, principal, commands, binary=binary, epoch=epoch, offset=offset)


def _seat(
    gateway: Gateway,
    hub: Hub,
    room: Room,
    principal: Principal,
    commands: Commands,
    *,
    binary: bool,
    epoch: str | None,
    offset: int,
) -> None:

    def make(transport: asyncio.Transport, connections: set[Any]) -> Viewer:
        viewer = Viewer(
            transport, connections, hub=hub, room=room, principal=principal, commands=commands, binary=binary
        )
        viewer.welcome(epoch, offset)
        return viewer

    gateway.hand_over(make)


async def _admit(websocket: WebSocket, show: ShowId) -> Principal:
    try:
        principal = await _redeem(websocket, show)
    except Unauthenticated:
        strangers: Strangers | None = getattr(websocket.state, "strangers", None)
        if strangers is not None:
            await strangers.turned_away(websocket.client.host if websocket.client else "")
        raise
    if principal.show_id is not None and principal.show_id != show:
        raise Forbidden("The ticket is for another show")
    return principal


async def _redeem(websocket: WebSocket, show: ShowId) -> Principal:
    ticket = websocket.query_params.get("ticket", "")
    if not ticket:
        raise Unauthenticated("The address needs a ticket: ?ticket=")
    doorkeeper: Doorkeeper = websocket.state.doorkeeper
    return await doorkeeper.redeem(ticket, show)


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
