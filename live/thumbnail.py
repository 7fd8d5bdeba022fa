"""`GET /api/v1/shows/{show}/thumbnail`: the live picture of a few seconds ago, for whoever may watch, which is anyone.

Owns: which shows have one. Invariant: only a live show is pictured: before it starts a host may be rehearsing, and in
a pause the viewers see the curtain. An answer reads memory alone.
"""

from collections.abc import Awaitable, Callable
from importlib import resources
from typing import Final

import asyncpg
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from live.etags import unchanged
from live.recent_shows import RecentShows
from media.thumbnails import Thumbnails
from schema.errors import ShowfloorError
from schema.ids import ShowId
from schema.show import ShowState

PATH: Final = "/api/v1/shows/{show}/thumbnail"
FRESH: Final = "public, max-age=5"
"""A show that pauses is pictured no longer than this after the picture is gone here."""

_NONE: Final = (resources.files("live") / "web/static/images/no-picture.svg").read_bytes()
_NONE_TAG: Final = '"none"'


def anyone_may_watch(recent: RecentShows) -> Callable[[ShowId], Awaitable[bool]]:
    """Which shows may be pictured; none whose state cannot be known."""

    async def allowed(show: ShowId) -> bool:
        try:
            row = await recent.row(show)
        except (ShowfloorError, OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
            return False
        return row.state is ShowState.LIVE and row.video_open

    return allowed


async def thumbnail(request: Request) -> Response:
    """The JPEG, or where there is none a placeholder (image/svg+xml), so that a page may point at it blindly."""
    thumbnails: Thumbnails = request.state.thumbnails
    held = thumbnails.get(ShowId(request.path_params["show"]))
    headers = {"ETag": held.etag if held else _NONE_TAG, "Cache-Control": FRESH}
    if unchanged(request.headers, headers["ETag"]):
        return Response(status_code=304, headers=headers)
    if held is None:
        return Response(_NONE, headers=headers, media_type="image/svg+xml")
    return Response(held.jpeg, headers=headers, media_type="image/jpeg")


routes: list[BaseRoute] = [Route(PATH, thumbnail)]
