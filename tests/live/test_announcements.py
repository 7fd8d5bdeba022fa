"""Announcements on real stores: in the must lane, kept while they hold, told again when Redis lost them."""

import asyncio

import pytest

from schema.ids import ShowId
from schema.people import Role

PATH = "/api/v1/shows/demo/announcement"
SHOW = ShowId("demo")
DEADLINE_S = 30


@pytest.fixture
async def kept(shop):
    """Waits until what a newcomer is told has `text` in it, or, with None, until it has no announcement."""
    room = await shop.services["hub"].open(SHOW)

    async def until(text):
        async with asyncio.timeout(DEADLINE_S):
            while True:
                _, wire = room.channel._kept.get("announcement", (0, None))
                if (wire is None) if text is None else (wire is not None and text.encode() in wire):
                    return
                await asyncio.sleep(0.02)

    return until


async def announce(shop, text: str, role: Role = Role.HOST, **more: int):
    return await shop.ask("PUT", PATH, {"text": text, **more}, role)


async def test_it_is_kept_for_those_who_come_until_another_or_none_is(shop, kept):
    made = await announce(shop, "  Free shipping until nine  ")
    assert (made.status_code, made.json()["text"]) == (200, "Free shipping until nine")
    await kept("Free shipping")
    await announce(shop, "Only pots now")
    await kept("Only pots")
    for _ in range(2):
        assert (await shop.ask("DELETE", PATH, None, Role.HOST)).status_code == 204
    await kept(None)


async def test_it_ends_by_itself_and_once(shop, kept, pg):
    await announce(shop, "For a minute", duration_s=60)
    await kept("For a minute")
    await pg.execute("UPDATE announcements SET until_ms = at_ms")
    await kept(None)
    row = await pg.fetchrow("SELECT count(*) AS n, count(ended_at_ms) AS ended FROM announcements")
    assert tuple(row) == (1, 1)


async def test_after_redis_lost_everything_it_is_told_again_and_one_that_is_over_is_not(shop, kept, redis):
    await announce(shop, "Free shipping")
    await kept("Free shipping")
    await redis.flushdb()
    await shop.services["republisher"].look()
    await kept("Free shipping")


async def test_only_the_host_announces_and_it_is_in_the_audit_log(shop):
    assert (await announce(shop, "hello", Role.MODERATOR)).status_code == 403
    assert (await announce(shop, "x" * 201)).status_code == 422
    assert (await shop.ask("PUT", "/api/v1/shows/none/announcement", {"text": "a"}, Role.HOST)).status_code == 404
    await announce(shop, "hello")
    log = (await shop.ask("GET", "/api/v1/shows/demo/audit", None, Role.OPERATOR)).json()["items"]
    [done] = [one for one in log if one["action"] == "announce" and one["phase"] == "done"]
    assert done["account_id"]
