"""`GET /api/v1/shows/{show}/media` and its sessions: how the video fares, for hosts and operators.

Owns: what each takes and answers. The numbers are those of all workers, each asked for its share over the sockets
between them. Invariant: a worker that is late is left out; a share is told to siblings alone.
"""

import time
from urllib.parse import urlencode

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from live.recent_shows import RecentShows
from live.siblings import Others, is_from_sibling
from media.links import Links
from media.shares import Share, whole
from media.stats import Statistics, trouble
from schema.api import Answer, Call, Operation, route
from schema.errors import Invalid, NotFound
from schema.ids import ShowId
from schema.media import SessionMedia, SessionMediaPage, ShowMedia
from schema.pages import from_cursor, page_size, to_cursor
from schema.people import Role

SHARE, SESSIONS_SHARE = "/siblings/shows/{show}/media", "/siblings/shows/{show}/media/sessions"
_UNSTORED = {"Cache-Control": "no-store"}

GET_SHOW_MEDIA = Operation(
    name="getShowMedia",
    method="GET",
    path="/api/v1/shows/{show}/media",
    summary="How a show's video fares: bitrates, layers, loss, delay and freezes now, and the last ten minutes.",
    role=Role.HOST,
    for_analysts=True,
    answers={200: ShowMedia},
    errors=(NotFound,),
    tag="media",
)


async def get_show_media(call: Call[None]) -> Answer:
    """GET /api/v1/shows/{show}/media."""
    state, show, now = call.request.state, await _existing(call), time.time_ns() // 1_000_000
    others: Others | None = state.others
    statistics: Statistics = state.statistics
    own = statistics.share(show, now)
    shares = await others.shares(SHARE.format(show=show), Share) if others else {}
    links: Links | None = state.links
    with_host = links.host_worker(show) if links else None
    host = shares.pop(with_host) if with_host in shares else None
    rest = [own, *shares.values()] if host else list(shares.values())
    return Answer(body=whole(show, now, host or own, rest), headers=_UNSTORED)


LIST_MEDIA_SESSIONS = Operation(
    name="listMediaSessions",
    method="GET",
    path="/api/v1/shows/{show}/media/sessions",
    summary="The WHIP and WHEP sessions of a show; with `order=worst` the viewers who fare worst, without a next page.",
    role=Role.OPERATOR,
    for_analysts=True,
    answers={200: SessionMediaPage},
    query={
        "cursor": "next_cursor of the page before",
        "limit": "1 to 100; 20 without",
        "order": "`id` or `worst`; `id` without",
    },
    errors=(NotFound, Invalid),
    tag="media",
)


async def list_media_sessions(call: Call[None]) -> Answer:
    """GET /api/v1/shows/{show}/media/sessions."""
    statistics: Statistics = call.request.state.statistics
    query = call.request.query_params
    show, limit = await _existing(call), page_size(query)
    order = query.get("order", "id")
    if order not in ("id", "worst"):
        raise Invalid("order is id or worst", pointer="/order")
    if order == "worst":
        items = sorted(await _all(call.request, show, statistics.worst(show, limit)), key=trouble, reverse=True)
        return Answer(body=SessionMediaPage(items=items[:limit]), headers=_UNSTORED)
    cursor = from_cursor(query.get("cursor"), tuple[str])
    after = cursor[0] if cursor else ""
    own = statistics.sessions(show, after, limit + 1)
    items = sorted(await _all(call.request, show, own, after), key=lambda one: one.session_id)
    more = to_cursor((items[limit - 1].session_id,)) if len(items) > limit else None
    return Answer(body=SessionMediaPage(items=items[:limit], next_cursor=more), headers=_UNSTORED)


async def _all(request: Request, show: ShowId, own: list[SessionMedia], after: str = "") -> list[SessionMedia]:
    """Our sessions, and those that the others would answer with."""
    others: Others | None = request.state.others
    if others is None:
        return own
    query = {"after": after, "limit": page_size(request.query_params)}
    order = request.query_params.get("order", "id")
    path = f"{SESSIONS_SHARE.format(show=show)}?{urlencode(query | {'order': order})}"
    shares = await others.shares(path, list[SessionMedia])
    return own + [one for share in shares.values() for one in share]


async def share(request: Request) -> Response:
    """What this worker knows of a show, for a sibling: msgpack of a `Share`."""
    statistics: Statistics = request.state.statistics
    _must_be_sibling(request)
    return _packed(statistics.share(ShowId(request.path_params["show"]), time.time_ns() // 1_000_000))


async def sessions_share(request: Request) -> Response:
    """A sibling's page of sessions, of those here: msgpack of a list of `SessionMedia`."""
    statistics: Statistics = request.state.statistics
    _must_be_sibling(request)
    query, show = request.query_params, ShowId(request.path_params["show"])
    limit = page_size(query)
    if query.get("order") == "worst":
        return _packed(statistics.worst(show, limit))
    return _packed(statistics.sessions(show, query.get("after", ""), limit + 1))


def _must_be_sibling(request: Request) -> None:
    if not is_from_sibling(request.scope):
        raise NotFound("There is nothing here")


def _packed(body: object) -> Response:
    return Response(msgspec.msgpack.encode(body), media_type="application/msgpack")


async def _existing(call: Call[None]) -> ShowId:
    recent: RecentShows = call.request.state.recent
    return (await recent.row(ShowId(call.path("show")))).show_id


routes: list[BaseRoute] = [
    route(GET_SHOW_MEDIA, get_show_media),
    route(LIST_MEDIA_SESSIONS, list_media_sessions),
]

sibling_routes: list[BaseRoute] = [Route(SHARE, share), Route(SESSIONS_SHARE, sessions_share)]
"""For the other workers, where there are any; no part of the interface."""
