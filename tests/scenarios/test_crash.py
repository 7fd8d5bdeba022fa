import asyncio
import contextlib

import msgspec
import pytest
from websockets.asyncio.client import connect

SHOW, VARIANT, STOCK, BUYERS = "crash", "drop", 400, 600
WAIT_S = 30


@pytest.mark.timeout(180)
async def test_whatever_a_buyer_was_told_outlives_kill_9_in_the_middle_of_a_rush(service):
    await service.start()
    host, operator = await service.sell(SHOW, VARIANT, stock=STOCK, limit=2)
    guests = await service.guests(SHOW, BUYERS + 1)
    watcher = Watcher(service, guests.pop())
    await watcher.open()
    await say(service, host, "before")
    await watcher.until_heard("before")

    told_holds, told_orders = await rush_until_killed(service, guests)
    assert told_holds, "the kill came before the rush"
    assert told_orders, "the kill came before the first order"
    await watcher.closed()

    await service.start()
    await say(service, host, "after")
    await watcher.open(resume=True)
    assert watcher.recovered is True
    await watcher.until_heard("after")
    watcher.assert_gapless()
    await watcher.close()

    async with service.client(operator) as http:
        for hold in told_holds:
            found = (await http.get(f"/api/v1/holds/{hold['hold_id']}")).json()
            assert found["hold_id"] == hold["hold_id"]
            assert found["state"] in {"held", "paying", "sold"}
            assert (found["buyer_id"], found["quantity"]) == (hold["buyer_id"], hold["quantity"])
        for order in told_orders:
            found = (await http.get(f"/api/v1/orders/{order['order_id']}")).json()
            assert (found["order_id"], found["total"]) == (order["order_id"], order["total"])
            assert found["state"] in {"paid", "captured"}
    stock = await service.stock(SHOW, VARIANT)
    assert stock["on_hand"] == stock["held"] + stock["available"]
    assert stock["on_hand"] + stock["sold"] == STOCK
    assert stock["held"] + stock["sold"] >= len(told_holds)

    await the_rest_can_be_sold(service, guests, stock["available"])
    verdict = service.run("verify", SHOW)
    assert verdict.returncode == 0, verdict.stdout + verdict.stderr


async def rush_until_killed(service, guests):
    """Everybody taps and pays; the server is killed once forty orders are told. What was told: holds, orders."""
    holds, orders = [], []
    enough = asyncio.Event()

    async def shop(buyer, number):
        await buyer.connect()
        try:
            buyer.prepare("POST", f"/api/v1/shows/{SHOW}/holds", {"variant_id": VARIANT}, f"tap-{number}")
            buyer.release()
            answer = await buyer.answer()
            if answer.status != 201:
                return
            hold = answer.json()
            holds.append(hold)
            path = f"/api/v1/holds/{hold['hold_id']}/pay"
            buyer.prepare("POST", path, {"payment_method": "fake_ok"}, f"pay-{number}")
            buyer.release()
            answer = await buyer.answer()
            if answer.status == 200:
                orders.append(answer.json())
                if len(orders) == 40:
                    enough.set()
        finally:
            buyer.close()

    shopping = [asyncio.create_task(shop(service.buyer(guest), number)) for number, guest in enumerate(guests)]
    await asyncio.wait_for(enough.wait(), WAIT_S)
    service.kill()
    outcomes = await asyncio.wait_for(asyncio.gather(*shopping, return_exceptions=True), WAIT_S)
    broken = [outcome for outcome in outcomes if outcome is not None]
    assert all(isinstance(outcome, (OSError, EOFError)) for outcome in broken), broken
    assert broken, "the kill came after the rush"
    return holds, orders


async def the_rest_can_be_sold(service, guests, available):
    """No unit was lost to the crash either: what is shown as available can be held to the last one, and no more."""
    holding = 0
    for at in range(0, len(guests), 100):
        async with service.crowd(guests[at : at + 100]) as buyers:
            for number, buyer in enumerate(buyers):
                buyer.prepare("POST", f"/api/v1/shows/{SHOW}/holds", {"variant_id": VARIANT}, f"again-{at + number}")
                buyer.release()
            answers = await asyncio.gather(*(buyer.answer() for buyer in buyers))
        holding += sum(answer.status == 201 for answer in answers)
        assert {answer.status for answer in answers} <= {201, 409}
    assert holding == available


async def say(service, token, text):
    async with service.client(token) as http:
        answer = await http.post(f"/api/v1/shows/{SHOW}/chat", json={"text": text})
        assert answer.status_code == 202, answer.text


class Watcher:
    """One viewer's socket over two connections, with every offset it was given."""

    def __init__(self, service, guest):
        self.service, self.guest = service, guest
        self.epoch, self.offset, self.recovered = None, None, None
        self.events = []

    async def open(self, *, resume=False):
        async with self.service.client(self.guest["viewer_token"]) as http:
            ticket = (await http.post(f"/api/v1/shows/{SHOW}/tickets")).json()["ticket"]
        where = f"ws://127.0.0.1:{self.service.port}/ws/{SHOW}?ticket={ticket}"
        if resume:
            where += f"&epoch={self.epoch}&offset={self.offset}"
        self.socket = await connect(where, subprotocols=["showfloor.v1+json"], compression=None)
        first = await self.frame()
        self.recovered = first.get("recovered")
        if not resume:
            assert first["snapshot"] is True
            self.events.clear()

    async def frame(self):
        frame = msgspec.json.decode(await asyncio.wait_for(self.socket.recv(), WAIT_S))
        if self.epoch is not None:
            assert frame["e"] == self.epoch
        self.epoch, self.offset = frame["e"], frame["o"]
        self.events += frame.get("ev", [])
        return frame

    async def until_heard(self, text):
        while not any(event["t"] == "chat" and event["text"] == text for event in self.events):
            await self.frame()

    async def closed(self):
        with contextlib.suppress(Exception):
            while True:
                await self.frame()

    def assert_gapless(self):
        offsets = [event["o"] for event in self.events]
        assert offsets == list(range(offsets[0], offsets[0] + len(offsets)))

    async def close(self):
        await self.socket.close()
