"""The operator's switches for chat and video, through HTTP and the socket, in two processes' worth of servers."""

import asyncio

import pytest

from schema.people import Role

SHOW = "/api/v1/shows/demo"
DEADLINE_S = 30


async def until(ask):
    """What `ask` answers as soon as it is true."""
    async with asyncio.timeout(DEADLINE_S):
        while not (answer := await ask()):
            await asyncio.sleep(0.02)
    return answer


async def say(client, role=Role.VIEWER, text="hello"):
    answer = await client.ask("POST", f"{SHOW}/chat", {"text": text}, role)
    return answer.status_code, answer.json().get("code")


async def join(client):
    answer = await client.http.post(
        "/whep/demo", content="v=0", headers={
            "Authorization": f"Bearer {client.tokens[Role.VIEWER]}", "Content-Type": "application/sdp"
        }
    )  # fmt: skip
    return answer.json()


@pytest.fixture
async def sibling(shop, run_app, settings, redis_url, database_url):
    """Another server of the same shop."""
    async with run_app(settings, redis_url, database_url) as one:
        yield one


async def test_a_paused_chat_takes_no_viewers_word_and_the_staffs_in_every_process(shop, sibling):
    answer = await shop.ask("PUT", f"{SHOW}/chat", {"open": False}, Role.OPERATOR)
    assert (answer.status_code, answer.json()["chat_open"]) == (200, False)
    assert await say(shop) == (409, "chat_closed")
    await until(lambda: _is(say(sibling), (409, "chat_closed")))
    assert await say(shop, Role.MODERATOR) == (202, None)
    question = await shop.ask("POST", f"{SHOW}/questions", {"text": "Why?"}, Role.VIEWER)
    assert question.json()["code"] == "chat_closed"
    said = await shop.services["chat"].history("demo")
    assert [one.role for one in said] == [Role.MODERATOR]


async def _is(asking, wanted):
    return await asking == wanted


async def test_a_paused_chat_goes_on_with_the_rules_it_had(shop):
    await shop.ask("PUT", f"{SHOW}/chat-settings", {"slow_mode_ms": 60_000}, Role.MODERATOR)
    await shop.ask("PUT", f"{SHOW}/sanctions/acct_x", {"kind": "mute"}, Role.MODERATOR)
    await shop.ask("PUT", f"{SHOW}/chat", {"open": False}, Role.OPERATOR)
    opened = (await shop.ask("PUT", f"{SHOW}/chat", {"open": True}, Role.OPERATOR)).json()
    assert (opened["chat_open"], opened["slow_mode_ms"]) == (True, 60_000)
    assert await say(shop) == (202, None)
    assert await say(shop) == (429, "rate_limited")
    listed = (await shop.ask("GET", f"{SHOW}/sanctions", role=Role.MODERATOR)).json()
    assert [one["account_id"] for one in listed["items"]] == ["acct_x"]


async def test_a_stopped_video_lets_nobody_join_and_says_why_in_every_process(shop, sibling):
    asked = {"open": False, "reason": " A wrong picture "}
    stopped = (await shop.ask("PUT", f"{SHOW}/video", asked, Role.OPERATOR)).json()
    assert stopped["video"] == {"open": False, "reason": "A wrong picture"}
    refused = await join(shop)
    assert (refused["status"], refused["code"], refused["detail"]) == (409, "video_stopped", "A wrong picture")

    async def code(wanted):
        return (await join(sibling))["code"] == wanted

    await until(lambda: code("video_stopped"))
    opened = (await shop.ask("PUT", f"{SHOW}/video", {"open": True, "reason": "gone"}, Role.OPERATOR)).json()
    assert opened["video"] == {"open": True, "reason": ""}
    assert (await join(shop))["code"] != "video_stopped"
    await until(lambda: _not(code("video_stopped")))


async def _not(asking):
    return not await asking


async def test_a_join_that_is_refused_costs_none_of_the_joins_one_has(shop):
    await shop.ask("PUT", f"{SHOW}/video", {"open": False}, Role.OPERATOR)
    assert {(await join(shop))["code"] for _ in range(10)} == {"video_stopped"}
    await shop.ask("PUT", f"{SHOW}/video", {"open": True}, Role.OPERATOR)
    assert (await join(shop))["code"] != "rate_limited"


async def test_a_server_that_starts_knows_what_is_stopped(shop, run_app, settings, redis_url, database_url):
    await shop.ask("PUT", f"{SHOW}/video", {"open": False}, Role.OPERATOR)
    async with run_app(settings, redis_url, database_url) as other:
        assert (await join(other))["code"] == "video_stopped"


@pytest.mark.parametrize("switch", ["chat", "video"])
async def test_a_switch_is_the_operators_and_stands_in_the_audit_log(shop, switch):
    refused = await shop.ask("PUT", f"{SHOW}/{switch}", {"open": False}, Role.HOST)
    assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")
    await shop.ask("PUT", f"{SHOW}/{switch}", {"open": False}, Role.OPERATOR)
    log = (await shop.ask("GET", f"{SHOW}/audit", role=Role.OPERATOR)).json()["items"]
    assert [one["phase"] for one in log if one["action"].lower() == f"switch{switch}"] == ["done", "asked"]


@pytest.mark.parametrize("body", [{}, {"open": "no"}, {"open": False, "reason": "x" * 201}, {"open": True, "a": 1}])
async def test_nonsense_switches_nothing(shop, body):
    assert (await shop.ask("PUT", f"{SHOW}/video", body, Role.OPERATOR)).status_code == 422
    assert (await shop.ask("GET", SHOW)).json()["video"] == {"open": True, "reason": ""}
