"""Reactions on a real Redis and real sockets: totals that add up over processes, told at most twice a second."""

import asyncio
import contextlib
import time

import pytest
import redis.asyncio

from realtime.core.chat import Rules as Decided
from realtime.core.chat import Ruling
from realtime.reactions import EVERY_MS, Reactions
from schema.errors import Banned, RateLimited
from schema.ids import AccountId, ShowId
from schema.moderation import SanctionKind
from schema.people import Principal, Role


def who(name: str) -> Principal:
    return Principal(account_id=AccountId(f"acc_{name}"), role=Role.VIEWER, name=name)


@contextlib.asynccontextmanager
async def counting(server, url: str):
    async with redis.asyncio.from_url(url) as client:
        reactions = Reactions(client, server.hub, server.rules)
        task = asyncio.create_task(reactions.run())
        try:
            yield reactions
        finally:
            task.cancel()
            await asyncio.wait({task})


@pytest.fixture
async def reactions(running, redis_url):
    async with counting(running, redis_url) as one:
        yield one


@pytest.fixture
async def elsewhere(second, redis_url):
    async with counting(second, redis_url) as one:
        yield one


def told(client) -> list[dict[str, int]]:
    return [frame["st"]["reactions"] for frame in client.frames if "reactions" in frame["st"]]


async def test_a_thousand_a_second_are_at_most_two_messages_a_second_and_all_are_counted(
    running, second, reactions, elsewhere, show
):
    viewers = [await running.join(show, "one"), await second.join(show, "two", binary=True)]
    began_s, sent = time.monotonic(), 0
    for _ in range(20):  # two seconds' worth, a hundred taps of as many people in each step, in both processes
        for number in range(50):
            await reactions.react(who(f"a{number}"), ShowId(show), "heart", 1)
            await elsewhere.react(who(f"b{number}"), ShowId(show), "fire", 1)
            sent += 2
        await asyncio.sleep(max(0, began_s + sent / 1000 - time.monotonic()))  # the load itself, nothing is waited for
    for viewer in viewers:
        await viewer.until(lambda one: one.state.get("reactions") == {"heart": 1000, "fire": 1000})
    passed_s = time.monotonic() - began_s
    for viewer in viewers:
        totals = [sum(one.values()) for one in told(viewer)]
        assert totals == sorted(totals)
        assert len(totals) <= 2 * passed_s + 1
        assert len(totals) <= passed_s * 1000 / EVERY_MS + 1


async def test_whoever_comes_later_sees_the_totals(running, reactions, show):
    first = await running.join(show)
    await reactions.react(who("ann"), ShowId(show), "clap", 3)
    await first.until(lambda one: one.state.get("reactions") == {"clap": 3})
    late = await running.join(show, "late")
    await late.until(lambda one: one.state.get("reactions") == {"clap": 3})


async def test_the_last_ones_are_told_though_they_came_too_soon_after_the_ones_before(running, reactions, show):
    viewer = await running.join(show)
    for total in (1, 2, 3):
        await reactions.react(who(f"n{total}"), ShowId(show), "wow", 1)
        await viewer.until(lambda one, total=total: one.state.get("reactions") == {"wow": total})


async def test_one_account_above_its_share_is_refused(running, reactions, show):
    await reactions.react(who("ann"), ShowId(show), "heart", 20)
    with pytest.raises(RateLimited) as refused:
        await reactions.react(who("ann"), ShowId(show), "heart", 20)
    assert refused.value.retry_after_ms > 0
    await reactions.react(who("bob"), ShowId(show), "heart", 20)


async def test_a_shadow_bans_reactions_are_not_counted_and_a_ban_is_told(running, reactions, show):
    viewer = await running.join(show)
    sanctions = {
        AccountId("acc_ann"): Ruling(SanctionKind.SHADOW_BAN, None),
        AccountId("acc_cat"): Ruling(SanctionKind.BAN, None),
        AccountId("acc_dan"): Ruling(SanctionKind.MUTE, None),
    }
    running.rules.decided = Decided(sanctions=sanctions)
    await reactions.react(who("ann"), ShowId(show), "heart", 5)
    with pytest.raises(Banned):
        await reactions.react(who("cat"), ShowId(show), "heart", 5)
    await reactions.react(who("dan"), ShowId(show), "heart", 1)  # without a word
    await viewer.until(lambda one: one.state.get("reactions") == {"heart": 1})


async def test_what_redis_did_not_take_is_counted_when_it_is_back(running, reactions, show, monkeypatch):
    viewer, tries = await running.join(show), 0
    add = reactions._add

    async def away(key, counts):
        nonlocal tries
        tries += 1
        if tries < 3:
            raise ConnectionError("no route")
        return await add(key, counts)

    monkeypatch.setattr(reactions, "_add", away)
    monkeypatch.setattr("realtime.reactions.RETRY_S", 0.01)
    await reactions.react(who("ann"), ShowId(show), "heart", 4)
    await viewer.until(lambda one: one.state.get("reactions") == {"heart": 4})
    assert tries >= 3
