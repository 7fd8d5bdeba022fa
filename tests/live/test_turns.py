"""One writer at a time for each show."""

import asyncio

import asyncpg
import pytest

from live.turns import Turns


@pytest.fixture
async def writers(database_url):
    async with asyncpg.create_pool(database_url, min_size=0, max_size=3) as pool:
        yield pool


async def overlap(turns, shows):
    """The most holders of a turn at once, when each of `shows` is asked for."""
    inside, most = 0, 0

    async def write(show):
        nonlocal inside, most
        async with turns.of(show) as pg:
            inside += 1
            most = max(most, inside)
            await pg.execute("SELECT pg_sleep(0.01)")
            inside -= 1

    await asyncio.gather(*(write(show) for show in shows))
    return most


async def test_writers_of_one_show_go_one_by_one(writers):
    assert await overlap(Turns(writers), ["demo"] * 6) == 1


async def test_writers_of_two_shows_do_not_wait_for_each_other(writers):
    turns = Turns(writers)
    async with turns.of("one"):
        assert await overlap(turns, ["two"]) == 1


async def test_a_turn_ends_with_its_holder_however_that_ends(writers):
    turns = Turns(writers)
    with pytest.raises(RuntimeError):
        async with turns.of("demo"):
            raise RuntimeError
    assert await overlap(turns, ["demo"]) == 1


async def test_a_holder_in_another_process_is_waited_for(writers, database_url):
    other = await asyncpg.connect(database_url)
    await other.execute("SELECT pg_advisory_lock(hashtextextended('show:demo', 0))")
    waiting = asyncio.create_task(overlap(Turns(writers), ["demo"]))
    async with asyncio.timeout(10):
        while not await other.fetchval("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"):
            await asyncio.wait({waiting}, timeout=0.02)
    assert not waiting.done()
    await other.close()
    assert await waiting == 1
