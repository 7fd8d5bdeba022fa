"""Several processes on one port: one shop, one room, one picture; and one of them is killed."""

import asyncio
import contextlib
import os
import signal
from pathlib import Path

import httpx2
import msgspec
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

SHOW, VARIANT = "many", "drop"
WAIT_S = 60


@pytest.fixture
async def crew(service):
    """Two workers."""
    service.options = (*service.options, "--workers", "2")
    await service.start()
    return service


def workers_of(service):
    """The pids of its workers."""
    children = Path(f"/proc/{service.process.pid}/task/{service.process.pid}/children").read_text().split()
    return [int(pid) for pid in children if b"live.worker" in _command(pid)]


def _command(pid):
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


async def until(holds, what):
    async with asyncio.timeout(WAIT_S):
        while not (found := await holds()):
            await asyncio.sleep(0.05)
    return found


async def who_answers(service, times=24):
    """The numbers of the workers that answer fresh connections."""
    seen = set()
    for _ in range(times):
        with contextlib.suppress(httpx2.TransportError):
            async with service.client() as http:
                seen.add((await http.get("/healthz")).json()["worker"])
    return seen


class Seat:
    """One viewer's socket: what it heard, in order, and the state it holds."""

    def __init__(self, service, guest):
        self.where = f"ws://127.0.0.1:{service.port}/ws/{SHOW}?ticket={guest['ticket']}"
        self.events, self.state, self.is_open = [], {}, False
        self.task = asyncio.create_task(self.sit())

    async def sit(self):
        async with connect(self.where, subprotocols=["showfloor.v1+json"], compression=None) as socket:
            self.is_open = True
            with contextlib.suppress(ConnectionClosed):
                async for frame in socket:
                    told = msgspec.json.decode(frame)
                    self.state |= told.get("st", {})
                    self.events += [(event["t"], event["o"]) for event in told.get("ev", [])]
            self.is_open = False

    async def leave(self):
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)


@pytest.mark.timeout(180)
async def test_two_workers_are_one_shop_and_one_room_and_one_may_be_killed(crew):
    stock, buyers = 40, 300
    host, _ = await crew.sell(SHOW, VARIANT, stock=stock)
    assert await who_answers(crew) == {0, 1}
    seats = [Seat(crew, guest) for guest in await crew.guests(SHOW, 16)]
    await until(lambda: everybody(seats, lambda seat: seat.state.get("viewers") == 16), "all 16 are counted as 16")

    await a_rush_sells_exactly(crew, stock, buyers)
    async with crew.client(host) as http:
        answer = await http.post(f"/api/v1/shows/{SHOW}/pins", json={"variant_id": VARIANT})
        assert answer.status_code == 201, answer.text
        for number in range(4):
            answer = await http.post(f"/api/v1/shows/{SHOW}/chat", json={"text": f"hello {number}"})
            assert answer.status_code == 202, answer.text
        last = answer.json()["offset"]
    await until(lambda: everybody(seats, lambda seat: seat.events and seat.events[-1][1] >= last), "all heard all")
    heard = {tuple(seat.events) for seat in seats}
    assert len(heard) == 1
    kinds = [kind for kind, _ in heard.pop()]
    assert (kinds.count("sold_out"), kinds.count("pin"), kinds.count("chat")) == (1, 1, 4)
    stocks = {msgspec.json.encode(seat.state[f"stock.{VARIANT}"]) for seat in seats}
    assert [msgspec.json.decode(one)["available"] for one in stocks] == [0]

    await a_killed_worker_is_replaced(crew, seats)
    for seat in seats:
        await seat.leave()
    pids = workers_of(crew)
    crew.stop()
    assert [pid for pid in pids if _command(pid)] == []
    assert crew.run("verify", SHOW).returncode == 0


async def everybody(seats, holds):
    return all(holds(seat) for seat in seats)


async def a_rush_sells_exactly(crew, stock, buyers):
    guests = await crew.guests(SHOW, buyers)
    async with crew.crowd(guests) as tapping:
        for number, buyer in enumerate(tapping):
            buyer.prepare("POST", f"/api/v1/shows/{SHOW}/holds", {"variant_id": VARIANT}, f"tap-{number}")
        for buyer in tapping:
            buyer.release()
        answers = await asyncio.gather(*(asyncio.wait_for(buyer.answer(), 60) for buyer in tapping))
    held = [answer.json()["hold_id"] for answer in answers if answer.status == 201]
    assert (len(answers), len(held), len(set(held))) == (buyers, stock, stock)
    assert {answer.json()["code"] for answer in answers if answer.status != 201} == {"sold_out"}
    async with crew.client() as http:
        lines = (await http.get("/metrics")).text.splitlines()
    taps = [float(line.split()[1]) for line in lines if line.startswith("showfloor_checkout_taps_total{")]
    assert len(taps) == 2
    assert sum(taps) == buyers
    assert min(taps) > 0  # both sold


async def a_killed_worker_is_replaced(crew, seats):
    killed, spared = workers_of(crew)
    os.kill(killed, signal.SIGKILL)
    await until(lambda: everybody([None], lambda _: any(not seat.is_open for seat in seats)), "its sockets are closed")
    assert await who_answers(crew, 4)  # by the other, with no pause
    assert any(seat.is_open for seat in seats)  # those of the other have noticed nothing
    await until(lambda: everybody([None], lambda _: len(workers_of(crew)) == 2), "it is replaced")
    assert spared in workers_of(crew)

    async def both():
        return await who_answers(crew) == {0, 1}

    await until(both, "both answer again")
