"""Polls through HTTP on real stores: one vote an account, counts that match, and what viewers see of them."""

import asyncio

import msgspec
import pytest

from schema.errors import Banned
from schema.ids import AccountId, PollId, ShowId
from schema.people import Principal, Role

POLLS = "/api/v1/shows/demo/polls"
ASKED = {"question": "Which colour next?", "options": ["Red", "Blue", "Cream"], "hide_below": 3}
DEADLINE_S = 30


async def opened(shop, **more):
    made = await shop.ask("POST", POLLS, ASKED | more, Role.HOST)
    assert made.status_code == 201, made.text
    return made.json()


def viewer(number: int) -> Principal:
    return Principal(account_id=AccountId(f"acc_{number}"), role=Role.VIEWER, name=f"V{number}", show_id=ShowId("demo"))


async def vote(shop, poll, number: int, option: int) -> None:
    await shop.services["polls"].vote(viewer(number), ShowId("demo"), PollId(poll["poll_id"]), option)


async def result(shop, poll, role: Role | None = None):
    page = (await shop.ask("GET", POLLS, None, role)).json()
    return next(one for one in page["items"] if one["poll_id"] == poll["poll_id"])


@pytest.fixture
async def board(shop):
    """The state key `poll` as the room has it, once `condition` holds for it."""
    room = await shop.services["hub"].open(ShowId("demo"))

    async def until(condition):
        async with asyncio.timeout(DEADLINE_S):
            while True:
                value = room.channel.state("poll")
                if value is not None and condition(shown := msgspec.json.decode(value)):
                    return shown
                await asyncio.sleep(0.02)

    return until


async def test_three_hundred_voters_at_once_have_one_vote_each_and_the_totals_match(shop, board):
    poll = await opened(shop)
    limiter = shop.services["limiter"]
    limiter._rules.pop("vote")  # an account votes thrice at once here
    first = [vote(shop, poll, number, number % 3) for number in range(300)]
    again = [vote(shop, poll, number, 0) for number in range(0, 300, 2) for _ in range(2)]
    await asyncio.gather(*first)
    await asyncio.gather(*again)
    counts = [200, 50, 50]  # of the odd ones 50 chose each
    told = await board(lambda one: one["counts"] == counts)
    assert told["votes"] == 300
    assert (await result(shop, poll))["counts"] == counts


async def test_counts_are_hidden_below_the_threshold_and_the_staff_see_them(shop, board):
    poll = await opened(shop)
    assert (poll["votes"], poll["counts"]) == (0, [0, 0, 0])
    await vote(shop, poll, 1, 1)
    await vote(shop, poll, 2, 1)
    told = await board(lambda one: one["votes"] == 2)
    assert told["counts"] is None
    assert (await result(shop, poll))["counts"] is None
    assert (await result(shop, poll, Role.VIEWER))["counts"] is None
    assert (await result(shop, poll, Role.MODERATOR))["counts"] == [0, 2, 0]
    await vote(shop, poll, 3, 2)
    assert (await board(lambda one: one["votes"] == 3))["counts"] == [0, 2, 1]


async def test_a_closed_poll_takes_no_vote_and_its_result_stays(shop, board):
    poll = await opened(shop, hide_below=0)
    for number in range(4):
        await vote(shop, poll, number, 1)
    closed = await shop.ask("POST", f"{POLLS}/{poll['poll_id']}/close", None, Role.MODERATOR)
    assert (closed.status_code, closed.json()["counts"]) == (200, [0, 4, 0])
    late = await shop.ask("PUT", f"{POLLS}/{poll['poll_id']}/vote", {"option": 0}, Role.VIEWER)
    assert (late.status_code, late.json()["code"]) == (409, "conflict")
    told = await board(lambda one: one["closed_at_ms"] is not None)
    assert told["counts"] == [0, 4, 0]
    again = await shop.ask("POST", f"{POLLS}/{poll['poll_id']}/close", None, Role.MODERATOR)
    assert again.json()["closed_at_ms"] == closed.json()["closed_at_ms"]


async def test_a_vote_at_the_moment_of_closing_is_counted_or_refused(shop):
    poll = await opened(shop, hide_below=0)
    votes = [vote(shop, poll, number, 0) for number in range(100)]
    closing = shop.ask("POST", f"{POLLS}/{poll['poll_id']}/close", None, Role.HOST)
    *outcomes, closed = await asyncio.gather(*votes, closing, return_exceptions=True)
    taken = sum(outcome is None for outcome in outcomes)
    assert closed.json()["counts"][0] == taken
    assert (await result(shop, poll))["counts"][0] == taken


async def test_it_ends_by_itself(shop, board, pg):
    poll = await opened(shop, duration_s=60)
    await pg.execute("UPDATE polls SET closes_at_ms = opened_at_ms WHERE poll_id = $1", poll["poll_id"])
    ended = await board(lambda one: one["closed_at_ms"] is not None)
    assert ended["closed_at_ms"] == ended["closes_at_ms"]
    await opened(shop)


@pytest.mark.parametrize(
    ("body", "role", "status"),
    [
        ({}, Role.VIEWER, 403),
        ({"options": ["one"]}, Role.HOST, 422),
        ({"options": list("1234567")}, Role.HOST, 422),
        ({"options": ["Red", " red "]}, Role.HOST, 422),
        ({"options": ["Red", "  "]}, Role.HOST, 422),
    ],
)
async def test_what_is_no_poll_is_refused(shop, body, role, status):
    assert (await shop.ask("POST", POLLS, ASKED | body, role)).status_code == status


async def test_one_poll_at_a_time_and_only_its_own_options(shop):
    poll = await opened(shop)
    assert (await shop.ask("POST", POLLS, ASKED, Role.HOST)).status_code == 409
    for path, option in ((poll["poll_id"], 3), ("poll_none", 0)):
        refused = await shop.ask("PUT", f"{POLLS}/{path}/vote", {"option": option}, Role.VIEWER)
        assert refused.status_code == 409
    assert (await shop.ask("PUT", f"{POLLS}/{poll['poll_id']}/vote", {"option": 6}, Role.VIEWER)).status_code == 422
    assert (await result(shop, poll, Role.HOST))["votes"] == 0
    assert (await shop.ask("POST", "/api/v1/shows/none/polls", ASKED, Role.HOST)).status_code == 404


async def test_who_is_banned_does_not_vote(shop):
    poll = await opened(shop)
    await shop.ask("PUT", "/api/v1/shows/demo/sanctions/acc_1", {"kind": "ban"}, Role.MODERATOR)
    with pytest.raises(Banned):
        await vote(shop, poll, 1, 0)
    assert (await result(shop, poll, Role.HOST))["votes"] == 0


async def test_after_redis_lost_everything_the_poll_is_told_again(shop, board, redis):
    await opened(shop)
    await board(lambda one: one["votes"] == 0)
    room = await shop.services["hub"].open(ShowId("demo"))
    epoch = room.channel.epoch
    await redis.flushdb()
    await shop.ask("POST", "/api/v1/shows/demo/chat", {"text": "still here"}, Role.HOST)
    async with asyncio.timeout(DEADLINE_S):
        while room.channel.epoch == epoch or room.channel.state("poll") is None:
            await asyncio.sleep(0.02)
