"""Shared reads: few of them, and none too old."""

import asyncio

import pytest

from live.flights import Flights


class Source:
    """Reads that land when told to, each with its number."""

    def __init__(self):
        self.begun, self.landing = 0, asyncio.Event()
        self.failure = None

    async def read(self, _key):
        self.begun += 1
        number = self.begun
        await self.landing.wait()
        if self.failure:
            raise self.failure
        return number


@pytest.fixture
async def source():
    return Source()


async def begun(tasks):
    """Let every task run until it waits."""
    await asyncio.wait(tasks, timeout=0.01)
    return tasks


async def test_a_crowd_shares_two_reads_and_nobody_gets_one_that_began_before_they_asked(source):
    flights = Flights(source.read)
    first = await begun([asyncio.create_task(flights.get("demo"))])
    crowd = await begun([asyncio.create_task(flights.get("demo")) for _ in range(100)])
    assert source.begun == 1
    source.landing.set()
    assert await asyncio.gather(*first) == [1]
    assert set(await asyncio.gather(*crowd)) == {2}
    assert await flights.get("demo") == 3


async def test_other_keys_do_not_wait(source):
    flights = Flights(source.read)
    tasks = await begun([asyncio.create_task(flights.get(key)) for key in ("one", "two")])
    assert source.begun == 2
    source.landing.set()
    await asyncio.gather(*tasks)


async def test_a_reader_who_hangs_up_takes_nobodys_answer_along(source):
    flights = Flights(source.read)
    one, two = await begun([asyncio.create_task(flights.get("demo")) for _ in range(2)])
    one.cancel()
    source.landing.set()
    assert await two == 1
    with pytest.raises(asyncio.CancelledError):
        await one


async def test_a_failure_is_everybodys_and_the_next_read_is_fresh(source):
    flights = Flights(source.read)
    source.failure = ConnectionRefusedError()
    source.landing.set()
    answers = await asyncio.gather(*(flights.get("demo") for _ in range(3)), return_exceptions=True)
    assert {type(answer) for answer in answers} == {ConnectionRefusedError}
    source.failure = None
    assert await flights.get("demo") == 2


async def test_nothing_is_kept_and_closing_ends_what_is_under_way(source):
    flights = Flights(source.read)
    waiting = await begun([asyncio.create_task(flights.get("demo")) for _ in range(2)])
    await flights.aclose()
    assert all(
        isinstance(one, asyncio.CancelledError) for one in await asyncio.gather(*waiting, return_exceptions=True)
    )
    assert (flights._flying, flights._boarding) == ({}, {})
