"""The audit log over HTTP.

Owns: the declaration and its handler. A show's operator sees that show's entries, the shop's operator all.
"""

from typing import Any, TypedDict

from starlette.routing import BaseRoute

from checkout.audit import Audit
from checkout.calls import PAGING, paging_of
from schema.api import Answer, Call, Operation, route
from schema.audit import AuditPage
from schema.errors import Invalid, Unavailable
from schema.ids import ShowId
from schema.people import Role


class Services(TypedDict):
    """What the handlers find in `request.state`."""

    audit: Audit


async def _page(call: Call[Any], show_id: ShowId | None) -> Answer:
    audit: Audit = call.request.state.audit
    cursor, limit = paging_of(call)
    return Answer(body=await audit.page(show_id, cursor=cursor, limit=limit))


SHOW_AUDIT = Operation(
    name="listShowAudit",
    method="GET",
    path="/api/v1/shows/{show}/audit",
    summary="What hosts, moderators and operators did in a show, newest first: two entries an act, asked and its end.",
    answers={200: AuditPage},
    role=Role.OPERATOR,
    query=PAGING,
    errors=(Invalid, Unavailable),
    tag="audit",
)


async def show_audit(call: Call[None]) -> Answer:
    """200 a page."""
    return await _page(call, ShowId(call.path("show")))


AUDIT = Operation(
    name="listAudit",
    method="GET",
    path="/api/v1/audit",
    summary="What was done in all shows and outside them, newest first.",
    answers={200: AuditPage},
    role=Role.OPERATOR,
    query=PAGING,
    errors=(Invalid, Unavailable),
    tag="audit",
)


async def whole_audit(call: Call[None]) -> Answer:
    """200 a page."""
    return await _page(call, None)


routes: list[BaseRoute] = [route(SHOW_AUDIT, show_audit), route(AUDIT, whole_audit)]
