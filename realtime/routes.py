"""Chat over HTTP, and the socket's route.

Owns: the declarations of these operations; handlers only decode, call and encode.
"""

from typing import TypedDict

from starlette.routing import BaseRoute

from realtime import socket
from realtime.chat import ChatService
from realtime.hub import Hub
from realtime.ports import Doorkeeper
from schema.api import Answer, Call, Operation, route
from schema.errors import (
    Banned,
    Forbidden,
    Invalid,
    LinksNotAllowed,
    MessageBlocked,
    Muted,
    NotFound,
    RateLimited,
    Unauthenticated,
    Unavailable,
)
from schema.ids import MessageId, ShowId
from schema.people import Role
from schema.wire import ChatAccepted, ChatRequest


class Services(TypedDict):
    """What the lifespan state must hold for these routes."""

    hub: Hub
    chat: ChatService
    doorkeeper: Doorkeeper


_REFUSED = (Muted, Banned, MessageBlocked, LinksNotAllowed)

SAY = Operation(
    name="sayInChat",
    method="POST",
    path="/api/v1/shows/{show}/chat",
    summary="Say something in the chat; it reaches everybody, its author too, on the socket.",
    answers={202: ChatAccepted},
    role=Role.VIEWER,
    body=ChatRequest,
    errors=(Unauthenticated, NotFound, Invalid, *_REFUSED, RateLimited, Unavailable),
    tag="chat",
)

DELETE = Operation(
    name="deleteChatMessage",
    method="DELETE",
    path="/api/v1/shows/{show}/chat/{message}",
    summary="Take a message down for everybody, those who come later too.",
    answers={204: None},
    role=Role.MODERATOR,
    errors=(Unauthenticated, Forbidden, NotFound, Unavailable),
    tag="chat",
)


async def _say(call: Call[ChatRequest]) -> Answer:
    chat: ChatService = call.request.state.chat
    accepted = await chat.say(call.who, ShowId(call.path("show")), call.body.text, call.body.reply_to)
    return Answer(status=202, body=accepted)


async def _delete(call: Call[None]) -> Answer:
    chat: ChatService = call.request.state.chat
    await chat.delete(call.who, ShowId(call.path("show")), MessageId(call.path("message")))
    return Answer(status=204)


routes: list[BaseRoute] = [socket.route, route(SAY, _say), route(DELETE, _delete)]
