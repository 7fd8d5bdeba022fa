import httpx2
import pytest

from schema.ids import ShowId, new_id


@pytest.fixture
async def http(running):
    async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{running.port}") as client:
        yield client


def as_(role: str, name: str = "ann") -> dict[str, str]:
    return {"Authorization": f"Bearer {name}:{role}"}


async def test_a_message_over_http_is_accepted_and_comes_back_on_the_socket(http, running, show):
    client = await running.join(show)
    answer = await http.post(f"/api/v1/shows/{show}/chat", json={"text": " hello "}, headers=as_("viewer"))
    assert answer.status_code == 202
    await client.until(lambda it: it.events)
    assert answer.json() == {"offset": 1, "id": client.events[0]["id"]}
    assert client.events[0] | {"at_ms": 0} == {
        "t": "chat",
        "o": 1,
        "id": answer.json()["id"],
        "account_id": "acc_ann",
        "name": "ann",
        "role": "viewer",
        "text": "hello",
        "at_ms": 0,
    }


async def test_slow_mode_is_429_with_retry_after_and_lets_the_host_speak(http, running, show):
    running.rules.slow_ms = 60_000
    url = f"/api/v1/shows/{show}/chat"
    assert (await http.post(url, json={"text": "one"}, headers=as_("viewer"))).status_code == 202
    refused = await http.post(url, json={"text": "two"}, headers=as_("viewer"))
    assert refused.status_code == 429
    assert refused.json()["code"] == "rate_limited"
    assert 1 <= int(refused.headers["retry-after"]) <= 60
    assert (await http.post(url, json={"text": "two"}, headers=as_("viewer", "bob"))).status_code == 202
    for _ in range(2):
        assert (await http.post(url, json={"text": "host"}, headers=as_("host", "hal"))).status_code == 202
    running.rules.slow_ms = 1  # a lowered slow mode holds at once
    assert (await http.post(url, json={"text": "two"}, headers=as_("viewer"))).status_code == 202
    client = await running.join(show)
    await client.until(lambda it: len(it.events) == 5)


async def test_the_rate_limit_holds_for_everybody(http, running, show):
    running.limits.left["chat"] = 1
    url = f"/api/v1/shows/{show}/chat"
    assert (await http.post(url, json={"text": "one"}, headers=as_("host"))).status_code == 202
    refused = await http.post(url, json={"text": "two"}, headers=as_("host"))
    assert (refused.status_code, refused.headers["retry-after"]) == (429, "2")


@pytest.mark.parametrize(
    ("body", "status"), [({"text": "x" * 501}, 422), ({"text": "  "}, 422), ({"text": ""}, 422), ({}, 422)]
)
async def test_a_bad_text_is_refused_and_nothing_is_said(http, running, show, body, status):
    answer = await http.post(f"/api/v1/shows/{show}/chat", json=body, headers=as_("viewer"))
    assert answer.status_code == status
    assert await running.chat.history(show) == []


async def test_an_unknown_show_is_404(http, running, show):
    running.rules.missing.add(show)
    answer = await http.post(f"/api/v1/shows/{show}/chat", json={"text": "x"}, headers=as_("viewer"))
    assert answer.status_code == 404
    answer = await http.delete(f"/api/v1/shows/{show}/chat/msg_1", headers=as_("host"))
    assert answer.status_code == 404


async def test_only_a_host_deletes_and_only_what_there_is(http, running, show, until):
    url = f"/api/v1/shows/{show}/chat"
    said = (await http.post(url, json={"text": "rude"}, headers=as_("viewer"))).json()
    assert (await http.delete(f"{url}/{said['id']}", headers=as_("viewer"))).status_code == 403
    assert (await http.delete(f"{url}/{said['id']}")).status_code == 401
    assert (await http.delete(f"{url}/{new_id('msg')}", headers=as_("host"))).status_code == 404
    assert [one.text for one in await running.chat.history(show)] == ["rude"]
    assert (await http.delete(f"{url}/{said['id']}", headers=as_("host"))).status_code == 204
    await until(lambda: not running.hub._rooms[ShowId(show)].channel.recent_chat())  # it was heard here too
    client = await running.join(show)
    await client.until(lambda it: it.frames)
    assert client.texts() == []
    assert (await http.delete(f"{url}/{said['id']}", headers=as_("host"))).status_code == 404


async def test_a_message_too_old_for_the_log_can_still_be_taken_down(http, running, show, monkeypatch):
    monkeypatch.setattr("realtime.broker_redis.LOG_MAX", 1)
    url = f"/api/v1/shows/{show}/chat"
    old = (await http.post(url, json={"text": "old"}, headers=as_("viewer"))).json()
    for at in range(250):  # the log is cut in blocks
        await running.chat.say(running.tickets.people[running.tickets.issue()], show, f"{at}")
    client = await running.join(show)
    await client.until(lambda it: it.frames)
    assert (await http.delete(f"{url}/{old['id']}", headers=as_("host"))).status_code == 204
    await client.until(lambda it: it.events and it.events[-1]["t"] == "chat_deleted")
    assert client.events[-1]["id"] == old["id"]
