"""What happens to a buyer, whispered: through the hub, past a Redis that is away for a moment, bounded."""

import asyncio
from contextlib import asynccontextmanager

from live import whispers
from live.whispers import Whispers
from schema.errors import Unavailable
from schema.hold import Hold, HoldState
from schema.ids import AccountId, HoldId, OrderId, ShowId, VariantId
from schema.money import Money
from schema.people import Role
from schema.wire import Offered, OrderChanged

DEADLINE_S = 30


def hold(number: int = 1) -> Hold:
    price = Money(amount=4900, currency="EUR")
    return Hold(
        hold_id=HoldId(f"hold_{number}"),
        show_id=ShowId("demo"),
        variant_id=VariantId("red"),
        buyer_id=AccountId("ann"),
        quantity=2,
        state=HoldState.HELD,
        unit_price=price,
        total=price,
        created_at_ms=1,
        expires_at_ms=1000,
    )


class Room:
    def __init__(self, *, away: int = 0) -> None:
        self.away, self.heard = away, []

    async def whisper(self, *what) -> int:
        if self.away:
            self.away -= 1
            raise Unavailable
        self.heard.append(what)
        return 0


@asynccontextmanager
async def telling(room: Room):
    teller = Whispers(room)
    task = asyncio.create_task(teller.run())
    try:
        yield teller
    finally:
        task.cancel()


async def heard(room: Room, count: int) -> list:
    async with asyncio.timeout(DEADLINE_S):
        while len(room.heard) < count:
            await asyncio.sleep(0.01)
    return room.heard


async def test_an_offer_and_a_lost_order_are_told_to_their_buyer_alone():
    async with telling(room := Room()) as teller:
        teller.offered(hold())
        teller.capture_failed(ShowId("demo"), AccountId("bob"), OrderId("ord_1"))
        assert await heard(room, 2) == [
            ("demo", "ann", Offered(hold_id="hold_1", variant_id="red", quantity=2, expires_at_ms=1000)),
            ("demo", "bob", OrderChanged(order_id="ord_1", state="capture_failed")),
        ]


async def test_a_hub_that_is_away_for_a_moment_is_asked_again_and_one_that_stays_away_is_left(monkeypatch):
    monkeypatch.setattr(whispers, "RETRY_S", 0.0)
    async with telling(room := Room(away=whispers.TRIES + 1)) as teller:
        teller.offered(hold(1))
        teller.offered(hold(2))
        assert [event.hold_id for _, _, event in await heard(room, 1)] == ["hold_2"]


async def test_of_too_many_the_oldest_are_dropped(monkeypatch):
    monkeypatch.setattr(whispers, "WAITING_MAX", 2)
    teller = Whispers(room := Room())
    for number in range(4):
        teller.offered(hold(number))
    task = asyncio.create_task(teller.run())
    assert [event.hold_id for _, _, event in await heard(room, 2)] == ["hold_2", "hold_3"]
    task.cancel()


async def test_the_app_whispers_an_offer_to_whoever_waited(shop, monkeypatch):
    told, hub = [], shop.services["hub"]
    whisper = hub.whisper

    async def listening(show, account, event):
        told.append((account, event))
        return await whisper(show, account, event)

    monkeypatch.setattr(hub, "whisper", listening)
    joined = (await shop.ask("POST", "/api/v1/shows/demo/guests")).json()
    bearer = f"Bearer {joined['viewer_token']}"
    gone = {"quantity": 8, "reason": "broken"}
    await shop.ask("POST", "/api/v1/shows/demo/items/blue/withdraw", gone, Role.OPERATOR)
    wish = {"variant_id": "blue"}
    place = (await shop.ask("POST", "/api/v1/shows/demo/waitlist", wish, authorization=bearer)).json()
    assert place["state"] == "waiting"
    more = await shop.ask(
        "POST", "/api/v1/shows/demo/items/blue/restock", {"quantity": 1}, Role.OPERATOR, idempotency_key="r"
    )
    assert more.status_code == 200, more.text
    async with asyncio.timeout(DEADLINE_S):
        while not told:
            await asyncio.sleep(0.01)
    [(account, offer)] = told
    place = (await shop.ask("GET", f"/api/v1/waitlist/{place['entry_id']}", authorization=bearer)).json()
    assert (account, offer.hold_id, offer.variant_id) == (joined["viewer_id"], place["hold_id"], "blue")
