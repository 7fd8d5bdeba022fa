"""The question queue through HTTP on real stores."""

import asyncio

import msgspec
import pytest

from schema.errors import Conflict
from schema.ids import AccountId, QuestionId, ShowId
from schema.people import Principal, Role

QUESTIONS = "/api/v1/shows/demo/questions"
SHOW = ShowId("demo")
DEADLINE_S = 30


def viewer(number: int) -> Principal:
    return Principal(account_id=AccountId(f"acc_{number}"), role=Role.VIEWER, name=f"V{number}", show_id=SHOW)


@pytest.fixture
def ask(shop):
    async def asked(number: int, text: str) -> str:
        return (await shop.services["questions"].ask(viewer(number), SHOW, text)).question_id

    return asked


@pytest.fixture
def want(shop):
    async def wanted(number: int, question: str) -> None:
        await shop.services["questions"].want(viewer(number), SHOW, QuestionId(question))

    return wanted


@pytest.fixture
async def board(shop):
    """The queue as the room has it: `[(text, votes)]`, those with most votes first; once `condition` holds."""
    room = await shop.services["hub"].open(SHOW)

    async def until(condition):
        async with asyncio.timeout(DEADLINE_S):
            while True:
                shown = msgspec.json.decode(room.channel.state("questions") or b"null") or []
                votes = msgspec.json.decode(room.channel.state("question_votes") or b"null") or {}
                queue = sorted(
                    ((one["text"], votes.get(one["question_id"], 0)) for one in shown), key=lambda one: -one[1]
                )
                if condition(queue):
                    return queue
                await asyncio.sleep(0.02)

    return until


async def page(shop, state: str = "open"):
    return (await shop.ask("GET", f"{QUESTIONS}?state={state}")).json()["items"]


async def test_the_audience_sorts_the_queue_and_nobody_votes_twice(shop, ask, want, board):
    first, second = await ask(1, "Is it dishwasher safe?"), await ask(2, "How heavy is it?")
    await asyncio.gather(*(want(number, second) for number in range(20)), *(want(number, first) for number in range(5)))
    await want(3, second)  # twice is once
    queue = [("How heavy is it?", 20), ("Is it dishwasher safe?", 5)]
    assert await board(lambda one: one == queue) == queue
    assert [(one["text"], one["votes"]) for one in await page(shop)] == queue


async def test_an_answered_question_leaves_the_queue_and_keeps_its_moment(shop, ask, want, board, monkeypatch):
    question = await ask(1, "Is it dishwasher safe?")
    monkeypatch.setattr(shop.services["relay"], "capture_ms", lambda _show, host_ms=None: 1234)
    for _ in range(2):
        done = await shop.ask("PUT", f"{QUESTIONS}/{question}/answered", None, Role.HOST)
        assert (done.status_code, done.json()["captured_at_ms"]) == (200, 1234)
        monkeypatch.setattr(shop.services["relay"], "capture_ms", lambda _show, host_ms=None: 9999)
    assert done.json()["answered_at_ms"] >= done.json()["asked_at_ms"]
    await board(lambda queue: queue == [])
    assert [one["question_id"] for one in await page(shop, "answered")] == [question]
    assert await page(shop) == []
    with pytest.raises(Conflict):
        await want(2, question)


async def test_a_moderator_dismisses_and_it_is_in_the_audit_log(shop, ask, board):
    question = await ask(1, "Buy my pills?")
    await board(lambda queue: len(queue) == 1)
    assert (await shop.ask("DELETE", f"{QUESTIONS}/{question}", None, Role.VIEWER)).status_code == 403
    assert (await shop.ask("PUT", f"{QUESTIONS}/{question}/answered", None, Role.MODERATOR)).status_code == 403
    for _ in range(2):
        assert (await shop.ask("DELETE", f"{QUESTIONS}/{question}", None, Role.MODERATOR)).status_code == 204
    await board(lambda queue: queue == [])
    assert (await shop.ask("PUT", f"{QUESTIONS}/{question}/answered", None, Role.HOST)).status_code == 404
    log = (await shop.ask("GET", "/api/v1/shows/demo/audit", None, Role.OPERATOR)).json()["items"]
    assert {(one["action"], one["phase"], one["role"]) for one in log if one["action"] == "dismissQuestion"} == {
        ("dismissQuestion", "asked", "moderator"),
        ("dismissQuestion", "done", "moderator"),
    }


async def test_the_rules_of_the_chat_hold(shop):
    async def ask(text: str):
        return await shop.ask("POST", QUESTIONS, {"text": text}, Role.VIEWER)

    assert (await ask("is this sh1t?")).json()["code"] == "message_blocked"
    assert (await ask("see www.example.com?")).json()["code"] == "links_not_allowed"
    assert (await ask("x" * 201)).status_code == 422
    assert (await ask(" \u200b ")).status_code == 422
    made = await ask("  how \n big\u202e? ")
    assert (made.status_code, made.json()["text"]) == (201, "how big?")
    account = made.json()["account_id"]
    await shop.ask("PUT", f"/api/v1/shows/demo/sanctions/{account}", {"kind": "mute"}, Role.MODERATOR)
    assert (await ask("and now?")).json()["code"] == "muted"
    assert (await shop.ask("POST", "/api/v1/shows/none/questions", {"text": "a?"}, Role.VIEWER)).status_code == 404


async def test_a_shadow_bans_question_is_seen_by_nobody_and_what_a_banned_one_asked_goes(shop, ask, board):
    await ask(1, "first?")
    await ask(2, "second?")
    await shop.ask("PUT", "/api/v1/shows/demo/sanctions/acc_3", {"kind": "shadow_ban"}, Role.MODERATOR)
    assert (await ask(3, "unseen?")) != ""
    await shop.ask("PUT", "/api/v1/shows/demo/sanctions/acc_1", {"kind": "ban", "take_down": True}, Role.MODERATOR)
    await board(lambda queue: [text for text, _ in queue] == ["second?"])
    assert [one["text"] for one in await page(shop)] == ["second?"]


async def test_one_account_has_three_open_questions_at_most(shop, ask):
    shop.services["limiter"]._rules.pop("ask")
    for number in range(3):
        await ask(1, f"number {number}?")
    with pytest.raises(Conflict):
        await ask(1, "one more?")
    await ask(2, "another's?")
    assert len(await page(shop)) == 4


async def test_a_show_that_is_over_shows_no_queue(shop, ask, board):
    await ask(1, "too late?")
    await board(lambda queue: len(queue) == 1)
    await shop.ask("PUT", "/api/v1/shows/demo/state", {"state": "ended"}, Role.HOST)
    await board(lambda queue: queue == [])
