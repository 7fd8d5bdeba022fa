"""The connection that batches of taps hand to one another."""

import asyncio

import asyncpg
import pytest

from checkout.kept import Kept


@pytest.fixture
async def pool(database_url):
    async with asyncpg.create_pool(database_url, min_size=0, max_size=2) as pool:
        yield pool


@pytest.fixture
async def kept(pool, monkeypatch):
    monkeypatch.setattr("checkout.kept.IDLE_S", 60.0)
    kept = Kept(pool)
    yield kept
    await kept.close()


async def server_of(kept: Kept) -> int:
    async with kept.connection(5) as connection:
        return await connection.fetchval("SELECT pg_backend_pid()")


async def test_the_next_batch_has_the_same_connection_and_the_pool_does_not_clean_it_meanwhile(kept):
    async with kept.connection(5) as connection:
        await connection.execute("SET application_name = 'kept'")
    async with kept.connection(5) as connection:
        assert await connection.fetchval("SHOW application_name") == "kept"


async def test_two_at_once_have_two_and_one_of_them_is_kept(kept, pool):
    async with kept.connection(5) as one, kept.connection(5) as other:
        assert await one.fetchval("SELECT pg_backend_pid()") != await other.fetchval("SELECT pg_backend_pid()")
    assert pool.get_idle_size() == 1


async def test_one_that_failed_is_the_pools_again(kept, pool):
    with pytest.raises(asyncpg.DivisionByZeroError):
        async with kept.connection(5) as connection:
            await connection.execute("SELECT 1 / 0")
    assert pool.get_idle_size() == pool.get_size() == 1


async def test_one_that_the_server_ended_is_not_used_again(kept, pool):
    first = await server_of(kept)
    async with pool.acquire() as other:
        await other.execute("SELECT pg_terminate_backend($1, 5000)", first)
    async with asyncio.timeout(20):  # this side hears of it a moment later
        while pool.get_size() > 1:
            await asyncio.sleep(0.01)
    assert await server_of(kept) != first


async def test_closed_it_keeps_none(kept, pool):
    await server_of(kept)
    await kept.close()
    assert pool.get_idle_size() == 1
    await server_of(kept)
    assert pool.get_idle_size() == 1


async def test_without_batches_it_is_the_pools_again_so_that_a_pool_can_be_closed(kept, pool, monkeypatch):
    monkeypatch.setattr("checkout.kept.IDLE_S", 0.01)
    await server_of(kept)
    async with asyncio.timeout(20):
        await pool.close()


async def test_a_pool_that_does_not_answer_does_not_keep_close_waiting(kept, pool):
    server = await server_of(kept)
    async with pool.acquire() as other:
        await other.execute("SELECT pg_terminate_backend($1, 5000)", server)
    async with asyncio.timeout(20):
        await kept.close()
