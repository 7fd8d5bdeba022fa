"""Tickets on a real Redis."""

import asyncio

import pytest
import redis.asyncio

from live.tickets import TICKET_TTL_S, Tickets
from schema.errors import Unavailable
from schema.people import Principal, Role

ANN = Principal(account_id="guest_1", role=Role.VIEWER, name="Ann", show_id="demo")


async def test_of_many_who_redeem_one_ticket_at_once_one_gets_in(redis):
    tickets = Tickets(redis)
    issued = await tickets.issue(ANN, "demo")
    answers = await asyncio.gather(*(tickets.redeem("demo", [issued.ticket] * 2) for _ in range(10)))
    assert [who for answer in answers for who in answer if who is not None] == [ANN]


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
    assert await tickets.redeem("demo", [issued.ticket]) == [None]


@pytest.mark.parametrize("ticket", ["", "guess", "x" * 65, "x" * 100_000, "é"])
async def test_a_guess_opens_nothing(redis, ticket):
    issued = await Tickets(redis).issue(ANN, "demo")
    assert await Tickets(redis).redeem("demo", [ticket, issued.ticket, ticket]) == [None, ANN, None]


async def test_without_redis_nobody_is_let_in_by_mistake():
    away = redis.asyncio.Redis(port=1, socket_connect_timeout=1)
    with pytest.raises(Unavailable):
        await Tickets(away).issue(ANN, "demo")
    with pytest.raises(Unavailable):
        await Tickets(away).redeem("demo", ["x"])
    await away.aclose()


async def test_each_of_many_gets_their_own(redis):
    tickets = Tickets(redis)
    people = [Principal(account_id=f"guest_{n}", role=Role.VIEWER, name=str(n), show_id=None) for n in range(100)]
    issued = [(await tickets.issue(one, "demo")).ticket for one in people]
    assert await tickets.redeem("demo", issued[::-1]) == people[::-1]
    assert await tickets.redeem("demo", issued) == [None] * 100
