"""`GET /ws/{show}?ticket=`: who comes in, with which subprotocol, from which offset.

Owns: nothing; a request becomes a `Viewer` or a problem.
Invariant: whatever can fail (ticket, show, Redis) fails before the upgrade, as an HTTP answer with a reason.
"""

import asyncio
import re
from typing import Any
from urllib.parse import parse_qsl

import msgspec
from starlette.responses import Response
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket

from realtime.gateway import EXTENSION, Gateway
from realtime.ports import Doorkeeper, Strangers
from realtime.viewer import Viewer
from schema.errors import BadRequest, Forbidden, ShowfloorError, Unauthenticated, problem_type
from schema.ids import ShowId
from schema.people import Principal
from schema.wire import SUBPROTOCOL_JSON, SUBPROTOCOL_MSGPACK

PLAIN_QUERY = re.compile("ticket=([A-Za-z0-9_-]+)")
"""What almost everybody asks, in a tenth of the time."""
SUBPROTOCOLS = (SUBPROTOCOL_JSON, SUBPROTOCOL_MSGPACK)


async def watch(websocket: WebSocket) -> None:
    """Let somebody in, or say why not, where an application has mounted this elsewhere than at `/ws/{show}`."""
    gateway: Gateway | None = websocket.scope.get("extensions", {}).get(EXTENSION)
    assert gateway is not None, "serve this route with uvicorn.Config(ws=realtime.gateway.gateway_class())"
    scope = websocket.scope
    await enter(gateway, websocket.path_params["show"], scope["query_string"], scope["subprotocols"], scope["state"])


async def enter(gateway: Gateway, name: str, query: bytes, offered: list[str], services: dict[str, Any]) -> None:
    """Let somebody into the show of that name, or say why not."""
    show, asked = ShowId(name), _asked(query)
    chat, hub = services["chat"], services["hub"]
    try:
        subprotocol = choose(offered)
        epoch, offset = position(asked)
        principal = await _admit(services["doorkeeper"], asked.get("ticket", ""), show)
        await chat.admit(principal, show)
        room = await hub.open(show, epoch, offset)
    except ShowfloorError as error:
        gateway.deny(problem(await _told(error, gateway, services.get("strangers"))))
        return
    commands = hub.commands(chat, services["reports"], services.get("audience"))
    binary = subprotocol == SUBPROTOCOL_MSGPACK

    def make(transport: asyncio.Transport, connections: set[Any], head: bytes) -> Viewer:
        viewer = Viewer(
            transport, connections, hub=hub, room=room, principal=principal, commands=commands, binary=binary
        )
        viewer.welcome(epoch, offset, head)
        return viewer

    gateway.hand_over(subprotocol if offered else None, make)


async def _told(error: ShowfloorError, gateway: Gateway, strangers: Strangers | None) -> ShowfloorError:
    """The error, or, for one of many without a valid ticket from an address, that it is too many."""
    if strangers is not None and isinstance(error, Unauthenticated):
        try:
            await strangers.turned_away(await gateway.address())
        except ShowfloorError as too_many:
            return too_many
    return error


def _asked(query: bytes) -> dict[str, str]:
    text = query.decode("latin-1")
    if (plain := PLAIN_QUERY.fullmatch(text)) is not None:
        return {"ticket": plain[1]}
    return dict(parse_qsl(text, keep_blank_values=True))


async def _admit(doorkeeper: Doorkeeper, ticket: str, show: ShowId) -> Principal:
    if not ticket:
        raise Unauthenticated("The address needs a ticket: ?ticket=")
    principal = await doorkeeper.redeem(ticket, show)
    if principal.show_id is not None and principal.show_id != show:
        raise Forbidden("The ticket is for another show")
    return principal


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
