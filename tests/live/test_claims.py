"""Buying by comment, on the whole app with real stores: a message to a hold, and who is told."""

import asyncio

import msgspec
import pytest

from realtime.tasks import Tasks
from schema.ids import AccountId, ShowId, new_id
from schema.people import Principal, Role
from schema.wire import Chat, Claimed

SHOW = ShowId("demo")
DEADLINE_S = 30


@pytest.fixture
def told(shop, monkeypatch):
    """What was whispered to whom, as (account, event); it goes on to the hub as usual."""
    heard: list[tuple[str, object]] = []
    hub = shop.services["hub"]
    whisper = hub.whisper

    async def listening(show, account, event):
        heard.append((account, event))
        return await whisper(show, account, event)

    monkeypatch.setattr(hub, "whisper", listening)
    return heard


@pytest.fixture
async def guest(shop):
    joined = (await shop.ask("POST", "/api/v1/shows/demo/guests", {"name": "Ann"})).json()

    class Guest:
        account, bearer = joined["viewer_id"], {"Authorization": f"Bearer {joined['viewer_token']}"}

        async def say(self, text: str):
            said = await shop.http.post("/api/v1/shows/demo/chat", json={"text": text}, headers=self.bearer)
            assert said.status_code == 202, said.text
            return said.json()["id"]

        async def hold(self, hold_id: str):
            return (await shop.http.get(f"/api/v1/holds/{hold_id}", headers=self.bearer)).json()

    return Guest()


async def answer(told, count: int = 1) -> Claimed:
    """The private answer number `count`."""
    async with asyncio.timeout(DEADLINE_S):
        while len(claims := [one for _, one in told if isinstance(one, Claimed)]) < count:
            await asyncio.sleep(0.01)
    return claims[count - 1]


async def columns(shop, variant: str) -> tuple[int, int]:
    items = (await shop.ask("GET", "/api/v1/shows/demo")).json()["items"]
    stock = next(item["stock"] for item in items if item["variant_id"] == variant)
    return stock["held"], stock["available"]


async def test_a_comment_becomes_a_hold_and_its_author_alone_is_told(shop, told, guest):
    message = await guest.say("BUY POT BLUE 2")
    claimed = await answer(told)
    assert (claimed.message_id, claimed.outcome, claimed.variant_id, claimed.quantity) == (message, "held", "blue", 2)
    assert [account for account, _ in told] == [guest.account]
    hold = await guest.hold(claimed.hold_id)
    assert (hold["state"], hold["quantity"], hold["expires_at_ms"]) == ("held", 2, claimed.expires_at_ms)
    assert await columns(shop, "blue") == (2, 6)
    chat = await shop.services["chat"].history(SHOW)
    assert [one.text for one in chat] == ["BUY POT BLUE 2"]  # it stands in the chat like any other


async def test_a_message_is_one_hold_however_often_it_is_carried_out(shop, told, guest):
    claims = shop.services["claims"]
    who = Principal(account_id=AccountId(guest.account), role=Role.VIEWER, name="Ann", show_id=SHOW)
    message = Chat(id=new_id("msg"), account_id=who.account_id, name="Ann", role=Role.VIEWER, text="sold 1 2", at_ms=1)
    await asyncio.gather(*(claims.carry_out(who, SHOW, message) for _ in range(3)))
    holds = {one.hold_id for _, one in told}
    assert len(told) == 3
    assert len(holds) == 1
    assert await columns(shop, "red") == (2, 10)


@pytest.mark.parametrize(
    ("text", "outcome"),
    [
        ("buy pot", "unclear"),
        ("sold 7", "not_in_show"),
        ("buy pot red 4", "limit_reached"),
        ("sold 1 x2000", "limit_reached"),
    ],
)
async def test_what_cannot_be_held_is_said_why_and_holds_nothing(shop, told, guest, text, outcome):
    await guest.say(text)
    claimed = await answer(told)
    assert (claimed.outcome, claimed.hold_id) == (outcome, None)
    assert [one.variant_id for one in claimed.choices] == (["red", "blue"] if outcome == "unclear" else [])
    assert await columns(shop, "red") == (0, 12)


async def test_sold_out_and_closed_are_said(shop, told, guest):
    withdrawn = await shop.ask(
        "POST", "/api/v1/shows/demo/items/blue/withdraw", {"quantity": 8, "reason": "broken"}, Role.OPERATOR
    )
    assert withdrawn.status_code == 200, withdrawn.text
    await guest.say("sold 2")
    assert (await answer(told)).outcome == "sold_out"
    await shop.ask("PUT", "/api/v1/shows/demo/sales", {"open": False}, Role.OPERATOR)
    await guest.say("sold 1")
    assert (await answer(told, 2)).outcome == "sales_closed"


async def test_talk_and_what_the_staff_say_buy_nothing(shop, told, guest):
    await guest.say("sold out already?")
    said = await shop.ask("POST", "/api/v1/shows/demo/chat", {"text": "sold 1"}, Role.HOST)
    assert said.status_code == 202
    await guest.say("sold 2")
    assert (await answer(told)).variant_id == "blue"
    assert len(told) == 1
    assert await columns(shop, "red") == (0, 12)


async def test_who_is_shadow_banned_may_buy_and_above_the_rate_nobody(shop, told, guest):
    kind = {"kind": "shadow_ban"}
    await shop.ask("PUT", f"/api/v1/shows/demo/sanctions/{guest.account}", kind, Role.MODERATOR)
    for _ in range(5):
        await guest.say("sold 1")
    await answer(told, 5)
    outcomes = sorted(one.outcome for _, one in told if isinstance(one, Claimed))
    assert outcomes.count("held") == 3  # the limit of this item; the fifth tap at once is above the rate
    assert set(outcomes) <= {"held", "limit_reached", "rate_limited"}


async def test_a_comment_that_too_many_are_ahead_of_is_answered_all_the_same(shop, told, guest, monkeypatch):
    monkeypatch.setattr(shop.services["claims"], "_tasks", Tasks(limit=0))
    message = await guest.say("buy pot blue")
    claimed = await answer(told)
    assert (claimed.message_id, claimed.outcome, claimed.hold_id) == (message, "unavailable", None)
    assert [account for account, _ in told] == [guest.account]
    assert await columns(shop, "blue") == (0, 8)


def test_an_answer_says_nothing_that_is_not_there():
    assert msgspec.json.decode(msgspec.json.encode(Claimed(message_id="m", outcome="not_in_show"))) == {
        "t": "claim",
        "message_id": "m",
        "outcome": "not_in_show",
    }


async def test_who_was_away_when_a_claim_was_answered_finds_it_among_their_purchases(shop, told, guest):
    await guest.say("BUY POT BLUE 2")
    claimed = await answer(told)  # to no socket: the account has none open
    found = (await shop.http.get("/api/v1/shows/demo/purchases", headers=guest.bearer)).json()
    assert [(hold["hold_id"], hold["quantity"], hold["state"]) for hold in found["holds"]] == [
        (claimed.hold_id, 2, "held")
    ]
