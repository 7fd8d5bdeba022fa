"""`GET /api/v1/shows/{show}/media` and its sessions: how the video fares, for hosts and operators.

Owns: what each takes and answers. The numbers are those of the process that answers.
"""

import time

from starlette.routing import BaseRoute

from live.recent_shows import RecentShows
from media.stats import Statistics
from schema.api import Answer, Call, Operation, route
from schema.errors import Invalid, NotFound
from schema.ids import ShowId
from schema.media import SessionMediaPage, ShowMedia
from schema.pages import from_cursor, page_size, to_cursor
from schema.people import Role

_UNSTORED = {"Cache-Control": "no-store"}

GET_SHOW_MEDIA = Operation(
    name="getShowMedia",
    method="GET",
    path="/api/v1/shows/{show}/media",
    summary="How a show's video fares: bitrates, layers, loss, delay and freezes now, and the last ten minutes.",
    role=Role.HOST,
    answers={200: ShowMedia},
    errors=(NotFound,),
    tag="media",
)


async def get_show_media(call: Call[None]) -> Answer:
    """GET /api/v1/shows/{show}/media."""
    statistics: Statistics = call.request.state.statistics
    show = await _existing(call)
    return Answer(body=statistics.show(show, time.time_ns() // 1_000_000), headers=_UNSTORED)


LIST_MEDIA_SESSIONS = Operation(
    name="listMediaSessions",
    method="GET",
    path="/api/v1/shows/{show}/media/sessions",
    summary="The WHIP and WHEP sessions of a show; with `order=worst` the viewers who fare worst, without a next page.",
    role=Role.OPERATOR,
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
    if order == "worst":
        return Answer(body=SessionMediaPage(items=statistics.worst(show, limit)), headers=_UNSTORED)
    if order != "id":
        raise Invalid("order is id or worst", pointer="/order")
    after = from_cursor(query.get("cursor"), tuple[str])
    items = statistics.sessions(show, after[0] if after else "", limit + 1)
    more = to_cursor((items[limit - 1].session_id,)) if len(items) > limit else None
    return Answer(body=SessionMediaPage(items=items[:limit], next_cursor=more), headers=_UNSTORED)


async def _existing(call: Call[None]) -> ShowId:
    recent: RecentShows = call.request.state.recent
    return (await recent.row(ShowId(call.path("show")))).show_id


routes: list[BaseRoute] = [
    route(GET_SHOW_MEDIA, get_show_media),
    route(LIST_MEDIA_SESSIONS, list_media_sessions),
]
