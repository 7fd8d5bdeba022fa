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
