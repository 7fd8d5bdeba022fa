"""Many who come at one moment, over real sockets."""

import asyncio
import json

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidMessage, InvalidStatus

from realtime import doorway
from realtime.core.chat import Rules as Decided
from realtime.core.chat import Ruling
from schema.moderation import SanctionKind


async def first_frame(running, show, ticket, **query):
    async with connect(running.url(show, ticket, **query)) as socket:
        return json.loads(await socket.recv())


async def status_of(running, show, ticket, **query):
    try:
        return (await first_frame(running, show, ticket, **query))["snapshot"]
    except InvalidStatus as error:
        return error.response.status_code


@pytest.fixture
def asked(running, monkeypatch):
    """How many tickets were redeemed at once, call by call."""
    sizes, redeem = [], running.tickets.redeem

    async def counting(show, tickets):
        sizes.append(len(tickets))
        return await redeem(show, tickets)

    monkeypatch.setattr(running.tickets, "redeem", counting)
    return sizes


async def crowd(running, show, tickets, until):
    """All of them have asked before any is decided about."""
    running.tickets.gate = asyncio.Event()
    coming = [asyncio.create_task(status_of(running, show, one)) for one in tickets]
    entrance = running.server.config.ws_protocol_class.doorway
    await until(lambda: entrance._count == len(tickets))
    running.tickets.gate.set()
    async with asyncio.timeout(30):
        found = await asyncio.gather(*coming)
    await until(lambda: not entrance._waiting)
    assert entrance._count == 0
    return found


async def test_those_of_one_moment_share_a_script_and_each_gets_their_own_answer(running, show, asked, until):
    running.rules.decided = Decided(sanctions={"acc_bad": Ruling(SanctionKind.BAN, None)})
    good = [running.tickets.issue(f"ann{number}") for number in range(70)]
    others = ["unknown", running.tickets.issue("ann", show="other"), running.tickets.issue("bad")]
    found = await crowd(running, show, [*good, *others], until)
    assert found == [True] * 70 + [401, 403, 403]
    assert sum(asked) == 73
    assert max(asked) <= doorway.AT_ONCE_MAX
    assert len(asked) <= 4


async def test_one_ticket_shown_by_many_at_once_opens_one_socket(running, show, until):
    found = await crowd(running, show, [running.tickets.issue()] * 10, until)
    assert sorted(found) == [True] + [401] * 9


async def test_one_who_cannot_be_seated_takes_nobody_along(running, show, until, monkeypatch):
    joined, failed = running.hub.joined, []

    def once(viewer, room):
        if not failed:
            failed.append(viewer)
            raise RuntimeError
        joined(viewer, room)

    monkeypatch.setattr(running.hub, "joined", once)
    running.tickets.gate = asyncio.Event()
    coming = [asyncio.create_task(first_frame(running, show, running.tickets.issue(f"a{n}"))) for n in range(3)]
    entrance = running.server.config.ws_protocol_class.doorway
    await until(lambda: entrance._count == 3)
    running.tickets.gate.set()
    async with asyncio.timeout(30):
        found = await asyncio.gather(*coming, return_exceptions=True)
    assert sum(isinstance(one, InvalidMessage) for one in found) == 1
    assert sum(isinstance(one, dict) and one["snapshot"] for one in found) == 2


async def test_a_show_that_hangs_holds_up_nobody_elses(running, show, until, monkeypatch):
    stuck, hub_open = asyncio.Event(), running.hub.open

    async def slowly(name, *position):
        if name == "stuck":
            await stuck.wait()
        return await hub_open(name, *position)

    monkeypatch.setattr(running.hub, "open", slowly)
    waiting = asyncio.create_task(status_of(running, "stuck", running.tickets.issue()))
    await until(lambda: "stuck" in running.server.config.ws_protocol_class.doorway._waiting)
    assert await status_of(running, show, running.tickets.issue()) is True
    assert not waiting.done()
    stuck.set()
    async with asyncio.timeout(20):
        assert await waiting is True


async def test_a_mistake_of_ours_is_a_500_and_the_next_ones_come_in(running, show, monkeypatch):
    with monkeypatch.context() as patched:
        patched.setattr(running.tickets, "redeem", None)
        assert await status_of(running, show, running.tickets.issue()) == 500
    assert await status_of(running, show, running.tickets.issue()) is True


async def test_too_many_who_wait_are_told_to_come_back(running, show, monkeypatch):
    monkeypatch.setattr(doorway, "WAITING_MAX", 0)
    assert await status_of(running, show, running.tickets.issue()) == 503


async def test_two_who_come_back_at_once_get_each_what_they_missed(running, show, say, until):
    client = await running.join(show)
    for text in ("one", "two", "three"):
        await say(text)
    await client.until(lambda it: it.offset == 3)
    running.tickets.gate = asyncio.Event()
    coming = [
        asyncio.create_task(first_frame(running, show, running.tickets.issue(), epoch=client.epoch, offset=offset))
        for offset in (1, 2)
    ]
    await until(lambda: running.server.config.ws_protocol_class.doorway._count == 2)
    running.tickets.gate.set()
    async with asyncio.timeout(20):
        found = await asyncio.gather(*coming)
    assert [[event["o"] for event in frame["ev"]] for frame in found] == [[2, 3], [3]]
