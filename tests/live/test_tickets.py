"""Tickets on a real Redis."""

import asyncio

import pytest
import redis.asyncio

from live.tickets import TICKET_TTL_S, Tickets
from schema.errors import Unauthenticated, Unavailable
from schema.people import Principal, Role

ANN = Principal(account_id="guest_1", role=Role.VIEWER, name="Ann", show_id="demo")


async def test_of_many_who_redeem_one_ticket_at_once_one_gets_in(redis):
    tickets = Tickets(redis)
    issued = await tickets.issue(ANN, "demo")
    answers = await asyncio.gather(*(tickets.redeem(issued.ticket, "demo") for _ in range(20)), return_exceptions=True)
    assert [answer for answer in answers if not isinstance(answer, Unauthenticated)] == [ANN]


async def test_a_ticket_is_good_for_thirty_seconds(redis):
    issued = await Tickets(redis).issue(ANN, "demo")
    [key] = await redis.keys("*")
    assert 0 < await redis.pttl(key) <= TICKET_TTL_S * 1000
    assert issued.ticket.encode() not in key


async def test_a_lapsed_ticket_opens_nothing(redis):
    tickets = Tickets(redis)
    issued = await tickets.issue(ANN, "demo")
    [key] = await redis.keys("*")
    await redis.pexpire(key, 0)
    with pytest.raises(Unauthenticated):
        await tickets.redeem(issued.ticket, "demo")


@pytest.mark.parametrize("ticket", ["", "guess", "x" * 65, "x" * 100_000, "é"])
async def test_a_guess_opens_nothing(redis, ticket):
    with pytest.raises(Unauthenticated):
        await Tickets(redis).redeem(ticket, "demo")


async def test_without_redis_nobody_is_let_in_by_mistake():
    away = redis.asyncio.Redis(port=1, socket_connect_timeout=1)
    with pytest.raises(Unavailable):
        await Tickets(away).issue(ANN, "demo")
    with pytest.raises(Unavailable):
        await Tickets(away).redeem("x", "demo")
    await away.aclose()


async def test_those_of_one_moment_share_scripts_and_each_gets_their_own(redis):
    sent = []

    class Counting:
        async def execute_command(self, *args):
            sent.append(args[0])
            return await redis.execute_command(*args)

    tickets = Tickets(Counting())
    people = [Principal(account_id=f"guest_{n}", role=Role.VIEWER, name=str(n), show_id=None) for n in range(300)]
    issued = [await tickets.issue(one, f"show{n % 2}") for n, one in enumerate(people)]
    sent.clear()
    order = sorted(range(300), key=lambda n: n % 2)
    found = await asyncio.gather(*(tickets.redeem(issued[n].ticket, f"show{n % 2}") for n in order))
    assert found == [people[n] for n in order]
    assert len(sent) <= 8  # two shows, 128 a script, and the first one may have to be sent whole


async def test_one_who_hangs_up_takes_nobody_along(redis):
    tickets = Tickets(redis)
    issued = [await tickets.issue(ANN, "demo") for _ in range(3)]
    tasks = [asyncio.create_task(tickets.redeem(one.ticket, "demo")) for one in issued]
    await asyncio.sleep(0)
    tasks[0].cancel()
    assert await asyncio.gather(*tasks[1:]) == [ANN, ANN]
