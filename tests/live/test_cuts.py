"""Which videos are cut, as each process knows it."""

import pytest

from live.cuts import Cuts
from schema.errors import VideoStopped
from schema.ids import ShowId

A, B = ShowId("a"), ShowId("b")


@pytest.fixture
async def shows(pg):
    for show in (A, B):
        await pg.execute(
            "INSERT INTO shows (show_id, title, description, starts_at_ms, currency) VALUES ($1, 'T', '', 1, 'EUR')",
            show,
        )
    return pg


async def store(pg, show, reason=None):
    await pg.execute(
        "UPDATE shows SET video_open = $2, video_reason = $3 WHERE show_id = $1", show, reason is None, reason or ""
    )


@pytest.fixture
async def told():
    return []


@pytest.fixture
async def cuts(shows, told):
    made = Cuts(shows)
    await made.follow(told.append)
    return made


def reason(cuts, show):
    """Why nobody may join; None: everybody may."""
    try:
        cuts.check(show)
    except VideoStopped as stopped:
        return stopped.extra["reason"]
    return None


async def test_what_another_process_stored_is_told_once_and_taken_back(cuts, shows, told):
    await store(shows, A, "Wrong room")
    await cuts.look()
    await cuts.look()
    assert (told, reason(cuts, A), reason(cuts, B)) == ([{A}], "Wrong room", None)
    await store(shows, A)
    await cuts.look()
    assert (told, reason(cuts, A)) == ([{A}, set()], None)


async def test_what_is_said_here_holds_at_once_and_a_reading_from_before_changes_nothing(cuts, shows, told):
    class Slow:
        async def fetch(self, *asked):
            rows = await shows.fetch(*asked)
            await store(shows, B, "")
            cuts.set_video(B, open=False, reason="")
            return rows

    cuts._pool = Slow()
    await cuts.look()
    assert (told, reason(cuts, B)) == ([{B}], "")


async def test_another_reason_is_known_and_nobody_is_told_anew(cuts, told):
    cuts.set_video(A, open=False, reason="one")
    cuts.set_video(A, open=False, reason="two")
    assert (told, reason(cuts, A)) == ([{A}], "two")


async def test_while_the_store_is_away_what_was_stopped_stays_so(cuts, told):
    cuts.set_video(A, open=False, reason="")

    class Away:
        async def fetch(self, *_):
            raise OSError

    cuts._pool = Away()
    await cuts.look()
    assert (told, reason(cuts, A)) == ([{A}], "")


async def test_where_more_are_stopped_than_a_reading_holds_none_that_is_known_is_let_through(
    cuts, shows, told, monkeypatch
):
    monkeypatch.setattr("live.cuts.SHOWS_MAX", 1)
    cuts.set_video(A, open=False, reason="one")
    cuts.set_video(B, open=False, reason="two")
    for show in (A, B):
        await store(shows, show, "stored")
    await cuts.look()
    assert told == [{A}, {A, B}]
    assert {reason(cuts, A), reason(cuts, B)} <= {"one", "two", "stored"}
