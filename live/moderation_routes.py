"""Moderation over HTTP.

Owns: what each operation takes and answers. A handler decodes, calls its service, encodes; nothing is decided here.
"""

import re
from typing import Any

from starlette.routing import BaseRoute

from live.moderation import Moderation
from schema.api import Answer, Call, Operation, route
from schema.errors import BadRequest, Invalid, NotFound, Unavailable
from schema.ids import AccountId, ShowId
from schema.moderation import ChatPinRequest, ChatRules, Sanction, SanctionPage, SanctionRequest
from schema.pages import from_cursor, page_size
from schema.people import Role
from schema.wire import Chat

_BODY = (BadRequest, Invalid)
_ACCOUNT = re.compile(r"[A-Za-z0-9_.-]{1,100}")


def _service(call: Call[Any]) -> Moderation:
    found: Moderation = call.request.state.moderation
    return found


def _show(call: Call[Any]) -> ShowId:
    return ShowId(call.path("show"))


LIST_SANCTIONS = Operation(
    name="listSanctions",
    method="GET",
    path="/api/v1/shows/{show}/sanctions",
    summary="Who is muted or banned in a show, the latest first.",
    role=Role.MODERATOR,
    answers={200: SanctionPage},
    query={"cursor": "next_cursor of the page before", "limit": "1 to 100; 20 without"},
    errors=(Invalid,),
    tag="moderation",
)


async def list_sanctions(call: Call[None]) -> Answer:
    """GET /api/v1/shows/{show}/sanctions."""
    query = call.request.query_params
    after = from_cursor(query.get("cursor"), tuple[int, str])
    return Answer(body=await _service(call).page(_show(call), after, page_size(query)))


SANCTION = Operation(
    name="sanctionAccount",
    method="PUT",
    path="/api/v1/shows/{show}/sanctions/{account}",
    summary="Mute, shadow-ban or ban somebody in a show, for a while or until it is lifted. Staff are above it.",
    role=Role.MODERATOR,
    body=SanctionRequest,
    answers={200: Sanction},
    errors=(*_BODY, NotFound, Unavailable),
    tag="moderation",
)


async def sanction(call: Call[SanctionRequest]) -> Answer:
    """PUT /api/v1/shows/{show}/sanctions/{account}."""
    account = call.path("account")
    if not _ACCOUNT.fullmatch(account):
        raise Invalid("That is no account's id", pointer="/account")
    return Answer(body=await _service(call).sanction(call.who, _show(call), AccountId(account), call.body))


LIFT = Operation(
    name="liftSanction",
    method="DELETE",
    path="/api/v1/shows/{show}/sanctions/{account}",
    summary="Let somebody speak again; who could is no mistake.",
    role=Role.MODERATOR,
    answers={204: None},
    tag="moderation",
)


async def lift(call: Call[None]) -> Answer:
    """DELETE /api/v1/shows/{show}/sanctions/{account}."""
    await _service(call).lift(_show(call), AccountId(call.path("account")))
    return Answer(status=204)


GET_RULES = Operation(
    name="getChatRules",
    method="GET",
    path="/api/v1/shows/{show}/chat/rules",
    summary="Who may post links, and which words may not be said.",
    role=Role.MODERATOR,
    answers={200: ChatRules},
    errors=(NotFound,),
    tag="moderation",
)


async def get_rules(call: Call[None]) -> Answer:
    """GET /api/v1/shows/{show}/chat/rules."""
    return Answer(body=await _service(call).rules(_show(call)))


SET_RULES = Operation(
    name="setChatRules",
    method="PUT",
    path="/api/v1/shows/{show}/chat/rules",
    summary="Decide who may post links, and which words may not be said. The titles of the show's items always may.",
    role=Role.HOST,
    body=ChatRules,
    answers={200: ChatRules},
    errors=(*_BODY, NotFound),
    tag="moderation",
)


async def set_rules(call: Call[ChatRules]) -> Answer:
    """PUT /api/v1/shows/{show}/chat/rules."""
    await _service(call).set_rules(_show(call), call.body)
    return Answer(body=call.body)


PIN_MESSAGE = Operation(
    name="pinChatMessage",
    method="PUT",
    path="/api/v1/shows/{show}/chat/pinned",
    summary="Put one of the last messages on top of the chat.",
    role=Role.MODERATOR,
    body=ChatPinRequest,
    answers={200: Chat},
    errors=(*_BODY, NotFound, Unavailable),
    tag="moderation",
)


async def pin_message(call: Call[ChatPinRequest]) -> Answer:
    """PUT /api/v1/shows/{show}/chat/pinned."""
    return Answer(body=await _service(call).pin(_show(call), call.body.message_id))


UNPIN_MESSAGE = Operation(
    name="unpinChatMessage",
    method="DELETE",
    path="/api/v1/shows/{show}/chat/pinned",
    summary="Take the message on top of the chat away; none there is no mistake.",
    role=Role.MODERATOR,
    answers={204: None},
    tag="moderation",
)


async def unpin_message(call: Call[None]) -> Answer:
    """DELETE /api/v1/shows/{show}/chat/pinned."""
    await _service(call).unpin(_show(call))
    return Answer(status=204)


routes: list[BaseRoute] = [
    route(LIST_SANCTIONS, list_sanctions),
    route(SANCTION, sanction),
    route(LIFT, lift),
    route(GET_RULES, get_rules),
    route(SET_RULES, set_rules),
    route(PIN_MESSAGE, pin_message),
    route(UNPIN_MESSAGE, unpin_message),
]
