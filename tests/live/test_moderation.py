"""Sanctions, rules and the message on top, through HTTP on real stores."""

import asyncio
from pathlib import Path

import msgspec
import pytest

from live.adapters import HubAnnouncer
from realtime.broker_redis import RedisBroker
from schema.ids import ShowId
from schema.people import Role

SHOW = "/api/v1/shows/demo"
OFFER = (
    (Path(__file__).parents[2] / "benchmarks" / "chromium_offer.sdp")
    .read_text()
    .replace("{ufrag}", "abcd")
    .replace("{password}", "0123456789abcdefghijkl")
    .replace("{fingerprint}", ":".join(["AB"] * 32))
    .replace("\n", "\r\n")
)


@pytest.fixture
async def guest(shop):
    """Somebody with an account of their own: `say(text)`, `account`."""
    joined = (await shop.ask("POST", f"{SHOW}/guests", {"name": "Ann"})).json()

    class Guest:
        account, bearer = joined["viewer_id"], {"Authorization": f"Bearer {joined['viewer_token']}"}

        async def say(self, text: str, **more: str):
            return await shop.http.post(f"{SHOW}/chat", json={"text": text, **more}, headers=self.bearer)

        async def ticket(self):
            return await shop.http.post(f"{SHOW}/tickets", headers=self.bearer)

    return Guest()


@pytest.fixture
def eventually():
    async def until(condition) -> None:
        async with asyncio.timeout(15):
            while not condition():
                await asyncio.sleep(0.01)

    return until


async def sanction(shop, account: str, role: Role = Role.MODERATOR, **request: object):
    return await shop.ask("PUT", f"{SHOW}/sanctions/{account}", request, role)


async def test_a_moderator_mutes_and_lets_speak_again_and_a_viewer_does_neither(shop, guest):
    assert (await sanction(shop, guest.account, Role.VIEWER, kind="mute")).status_code == 403
    made = await sanction(shop, guest.account, kind="mute", duration_s=60, name="Ann", reason="spam")
    assert made.status_code == 200, made.text
    refused = await guest.say("hello")
    assert (refused.status_code, refused.json()["code"]) == (403, "muted")
    assert 0 < int(refused.headers["Retry-After"]) <= 60
    listed = (await shop.ask("GET", f"{SHOW}/sanctions", None, Role.MODERATOR)).json()["items"]
    assert [(one["account_id"], one["kind"], one["reason"]) for one in listed] == [(guest.account, "mute", "spam")]
    assert (await shop.ask("DELETE", f"{SHOW}/sanctions/{guest.account}", None, Role.MODERATOR)).status_code == 204
    assert (await guest.say("hello")).status_code == 202
    assert (await shop.ask("GET", f"{SHOW}/sanctions", None, Role.MODERATOR)).json()["items"] == []


async def test_sanctions_come_in_pages(shop):
    for number in range(3):
        await sanction(shop, f"acc_{number}", kind="mute")
    seen, cursor = [], ""
    while cursor is not None:
        page = (await shop.ask("GET", f"{SHOW}/sanctions?limit=2&cursor={cursor}", None, Role.MODERATOR)).json()
        seen += [one["account_id"] for one in page["items"]]
        cursor = page["next_cursor"]
    assert seen == ["acc_2", "acc_1", "acc_0"]


async def test_who_is_banned_gets_no_ticket_and_no_video(shop, guest):
    assert (await guest.ticket()).status_code == 201
    assert (await sanction(shop, guest.account, kind="ban")).status_code == 200
    for answer in (await guest.ticket(), await guest.say("let me in")):
        assert (answer.status_code, answer.json()["code"]) == (403, "banned")
    offer = {**guest.bearer, "Content-Type": "application/sdp"}
    video = await shop.http.post("/whep/demo", content="v=0", headers=offer)
    assert (video.status_code, video.json()["code"]) == (403, "banned")


async def test_a_ban_ends_the_video_that_its_account_watches_and_nobody_elses(shop, guest, eventually):
    other = (await shop.ask("POST", f"{SHOW}/guests", {"name": "Bob"})).json()["viewer_token"]
    relay, paths = shop.services["relay"], []
    relay.config = msgspec.structs.replace(relay.config, handshake_ms=600_000)  # nobody here ever shakes hands
    for bearer in (guest.bearer, {"Authorization": f"Bearer {other}"}):
        answer = await shop.http.post(
            "/whep/demo", content=OFFER, headers={**bearer, "Content-Type": "application/sdp"}
        )
        assert answer.status_code == 201, answer.text
        paths.append(answer.headers["location"])
    assert len(relay.sessions(ShowId("demo"))) == 2
    assert (await sanction(shop, guest.account, kind="ban")).status_code == 200
    await eventually(lambda: len(relay.sessions(ShowId("demo"))) == 1)
    left = await shop.http.delete(paths[1], headers={"Authorization": f"Bearer {other}"})
    assert left.status_code == 200


@pytest.fixture
async def elsewhere(settings, redis_url, database_url, run_app, tmp_path):
    """Another process of the same service, to which nobody's socket has come: it has no room of any show open."""
    other = msgspec.structs.replace(settings, data_dir=tmp_path / "elsewhere")
    async with run_app(other, redis_url, database_url) as app:
        yield app


async def watch(app, bearer):
    """A session of its own at `app`, where it waits for a handshake that never comes."""
    relay = app.services["relay"]
    relay.config = msgspec.structs.replace(relay.config, handshake_ms=600_000)
    answer = await app.http.post("/whep/demo", content=OFFER, headers={**bearer, "Content-Type": "application/sdp"})
    assert answer.status_code == 201, answer.text
    return relay


async def test_a_ban_ends_the_video_at_a_process_without_the_shows_room(shop, elsewhere, guest, eventually):
    other = (await shop.ask("POST", f"{SHOW}/guests", {"name": "Bob"})).json()["viewer_token"]
    relay = await watch(elsewhere, guest.bearer)
    await watch(elsewhere, {"Authorization": f"Bearer {other}"})
    assert ShowId("demo") not in elsewhere.services["hub"]._rooms
    assert len(relay.sessions(ShowId("demo"))) == 2
    assert (await sanction(shop, guest.account, kind="ban")).status_code == 200
    await eventually(lambda: len(relay.sessions(ShowId("demo"))) == 1)


async def test_a_ban_that_is_told_to_the_room_alone_leaves_that_video_on(
    shop, elsewhere, guest, eventually, monkeypatch
):
    """The negative control: without the channel of all processes nobody there hears of it."""
    monkeypatch.setattr(RedisBroker, "to_all", "sf:nobody")  # spoken there; both listen where they did
    relay = await watch(elsewhere, guest.bearer)
    assert (await sanction(shop, guest.account, kind="ban")).status_code == 200
    await elsewhere.services["hub"].open(ShowId("demo"))
    assert (await shop.ask("POST", f"{SHOW}/chat", {"text": "hello"}, Role.HOST)).status_code == 202
    room = elsewhere.services["hub"]._rooms[ShowId("demo")]
    await eventually(lambda: room.channel.received)
    assert len(relay.sessions(ShowId("demo"))) == 1


async def test_a_shadow_ban_is_not_told_and_what_was_said_goes_if_asked(shop, guest):
    said = await guest.say("buy mine instead")
    made = await sanction(shop, guest.account, kind="shadow_ban", take_down=True)
    assert made.status_code == 200, made.text
    assert (await guest.say("and again")).status_code == 202
    chat = shop.services["chat"]
    assert await chat.history(ShowId("demo")) == []
    assert said.json()["id"] != ""


async def test_rules_hold_from_the_next_message_and_what_is_on_sale_may_always_be_named(shop, guest):
    rules = {"links_from": "host", "languages": [], "blocked": ["pot", "cheap"], "allowed": []}
    assert (await shop.ask("PUT", f"{SHOW}/chat/rules", rules, Role.MODERATOR)).status_code == 403
    put = await shop.ask("PUT", f"{SHOW}/chat/rules", rules, Role.HOST)
    assert (put.status_code, put.json()) == (200, rules)
    assert (await shop.ask("GET", f"{SHOW}/chat/rules", None, Role.MODERATOR)).json() == rules
    assert (await guest.say("so CHEAP")).json()["code"] == "message_blocked"
    assert (await guest.say("see shop.example.com")).json()["code"] == "links_not_allowed"
    assert (await guest.say("I want the pot")).status_code == 202
    assert (await shop.ask("PUT", f"{SHOW}/chat/rules", {"languages": ["klingon"]}, Role.HOST)).status_code == 422


async def test_before_anybody_decided_rude_words_and_viewers_links_are_refused(shop, guest):
    assert (await shop.ask("GET", f"{SHOW}/chat/rules", None, Role.MODERATOR)).json()["languages"] == ["english"]
    assert (await guest.say("sh1t")).json()["code"] == "message_blocked"
    assert (await guest.say("www.example.com")).json()["code"] == "links_not_allowed"


def _on_top(shop) -> dict[str, object] | None:
    room = shop.services["hub"]._rooms[ShowId("demo")]
    return room.channel._kept.get("chat_pin")


async def test_a_message_stands_on_top_until_it_is_taken_away_or_taken_down(shop, guest, eventually):
    said = (await guest.say("is it dishwasher safe?")).json()
    unknown = await shop.ask("PUT", f"{SHOW}/chat/pinned", {"message_id": "msg_1"}, Role.MODERATOR)
    assert unknown.status_code == 404
    for end in (f"{SHOW}/chat/pinned", f"{SHOW}/chat/{said['id']}"):
        put = await shop.ask("PUT", f"{SHOW}/chat/pinned", {"message_id": said["id"]}, Role.MODERATOR)
        assert (put.status_code, put.json()["text"]) == (200, "is it dishwasher safe?")
        await eventually(lambda: _on_top(shop) is not None)
        assert (await shop.ask("DELETE", end, None, Role.MODERATOR)).status_code == 204
        await eventually(lambda: _on_top(shop) is None)


async def test_after_redis_lost_everything_the_message_stands_on_top_again(shop, guest, redis, eventually):
    said = (await guest.say("free shipping today")).json()
    await shop.ask("PUT", f"{SHOW}/chat/pinned", {"message_id": said["id"]}, Role.MODERATOR)
    await eventually(lambda: _on_top(shop) is not None)
    await redis.flushdb()
    announcer: HubAnnouncer = shop.services["announcer"]
    assert await announcer.marks.told(ShowId("demo")) is None
    await shop.services["republisher"].look()
    await eventually(lambda: b"free shipping today" in (_on_top(shop) or (0, b""))[1])


async def test_two_sanctions_at_once_leave_one(shop, guest):
    kinds = ["mute", "shadow_ban", "ban"] * 4
    await asyncio.gather(*(sanction(shop, guest.account, kind=kind) for kind in kinds))
    listed = (await shop.ask("GET", f"{SHOW}/sanctions", None, Role.MODERATOR)).json()["items"]
    assert len(listed) == 1


async def test_what_is_no_account_is_refused(shop):
    for account in ("a%20b", "a%0Ab", "a%00", "a" * 101):
        assert (await sanction(shop, account, kind="ban")).status_code == 422
