"""The picture's address: what is public, what is kept, what stands where there is none."""

import pytest

from live.thumbnail import anyone_may_watch
from media.thumbnails import Thumbnail
from schema.errors import NotFound, Unavailable
from schema.ids import ShowId
from schema.people import Role

PATH = "/api/v1/shows/demo/thumbnail"
DEMO = ShowId("demo")


class Held:
    """One picture, or none."""

    def __init__(self, jpeg: bytes) -> None:
        self.jpeg = jpeg

    def get(self, show):
        if show != DEMO:
            return None
        return Thumbnail(jpeg=self.jpeg, width=1280, height=720, taken_ms=1, etag='"abc"')


async def test_a_picture_is_a_jpeg_with_a_tag_and_kept_for_seconds(shop, monkeypatch):
    monkeypatch.setattr(shop.services["thumbnails"], "get", Held(b"\xff\xd8\xffpicture").get)
    answer = await shop.ask("GET", PATH)
    assert (answer.status_code, answer.content) == (200, b"\xff\xd8\xffpicture")
    assert answer.headers["content-type"] == "image/jpeg"
    assert answer.headers["cache-control"] == "public, max-age=5"
    again = await shop.ask("GET", PATH, If_None_Match=answer.headers["etag"])
    assert (again.status_code, again.content) == (304, b"")


@pytest.mark.parametrize("show", ["demo", "nowhere"])
async def test_where_there_is_none_a_placeholder_stands(shop, show):
    answer = await shop.ask("GET", f"/api/v1/shows/{show}/thumbnail")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "image/svg+xml")
    assert answer.content.startswith(b"<svg")
    assert answer.headers["content-security-policy"].startswith("default-src 'none'")
    assert (await shop.ask("GET", PATH, If_None_Match='"none"')).status_code == 304


async def test_only_a_live_show_is_pictured(shop):
    allowed = anyone_may_watch(shop.services["recent"])
    assert await allowed(DEMO)
    assert not await allowed(ShowId("nowhere"))
    shop.services["recent"]._rows.clear()
    await shop.ask("PUT", "/api/v1/shows/demo/state", {"state": "paused"}, Role.HOST)
    assert not await allowed(DEMO)


@pytest.mark.parametrize(
    "trouble", [Unavailable(), NotFound(), OSError(), TimeoutError()], ids=lambda e: type(e).__name__
)
async def test_a_show_whose_state_cannot_be_known_is_not_pictured(trouble):
    class Recent:
        async def row(self, _show):
            raise trouble

    assert not await anyone_may_watch(Recent())(DEMO)
