"""Rehearsals over HTTP.

Owns: the operation. The answer has a token for the rehearsal's pages: the caller's may be for the show alone.
"""

from typing import TypedDict

from msgspec.structs import replace
from starlette.routing import BaseRoute

from live.auth import Tokens
from live.rehearsals import Rehearsals
from schema.api import Answer, Call, Operation, route
from schema.errors import BadRequest, Conflict, Invalid, NotFound
from schema.ids import ShowId
from schema.people import Role
from schema.rehearsal import Rehearsal, RehearsalRequest


class Services(TypedDict):
    """What these handlers find in the lifespan state."""

    rehearsals: Rehearsals
    tokens: Tokens


REHEARSE = Operation(
    name="rehearse",
    method="PUT",
    path="/api/v1/shows/{show}/rehearsal",
    summary="Rehearse a scheduled show: a show of its own, with its items and stock, that sells for play. Off ends it; "
    "also asked of the rehearsal itself.",
    role=Role.HOST,
    body=RehearsalRequest,
    answers={200: Rehearsal},
    errors=(BadRequest, Invalid, NotFound, Conflict),
)


async def rehearse(call: Call[RehearsalRequest]) -> Answer:
    """PUT /api/v1/shows/{show}/rehearsal."""
    rehearsals: Rehearsals = call.request.state.rehearsals
    tokens: Tokens = call.request.state.tokens
    show = ShowId(call.path("show"))
    no_store = {"Cache-Control": "no-store"}
    if not call.body.on:
        return Answer(body=Rehearsal(show_id=await rehearsals.end(show), rehearsal_id=None), headers=no_store)
    rehearsal = await rehearsals.begin(show)
    call.note.after = {"rehearsal_id": rehearsal}
    token = tokens.issue(replace(call.who, show_id=rehearsal))
    return Answer(body=Rehearsal(show_id=show, rehearsal_id=rehearsal, token=token), headers=no_store)


routes: list[BaseRoute] = [route(REHEARSE, rehearse)]
