"""Which desk leads."""

import asyncio

import asyncpg
import pytest

from checkout.lead import Lead


@pytest.fixture
async def pools(database_url):
    made = [await asyncpg.create_pool(database_url, min_size=1, max_size=2) for _ in range(2)]
    yield made
    for pool in made:
        pool.terminate()


async def test_one_leads_and_when_its_connection_ends_another_does(pools, monkeypatch):
    monkeypatch.setattr("checkout.lead.AGAIN_S", 0.0)
    first, second = Lead(pools[0]), Lead(pools[1])
    assert await first.is_mine()
    assert not await second.is_mine()
    assert await first.is_mine()
    pools[0].terminate()  # what a kill does
    async with asyncio.timeout(10):
        while not await second.is_mine():
            await asyncio.sleep(0.01)
    assert not await first.is_mine()
    await second.let_go()


async def test_a_desk_that_closes_lets_go_at_once(pools, monkeypatch):
    monkeypatch.setattr("checkout.lead.AGAIN_S", 0.0)
    first, second = Lead(pools[0]), Lead(pools[1])
    assert await first.is_mine()
    await first.let_go()
    assert await second.is_mine()
    await second.let_go()


async def test_who_does_not_lead_asks_seldom(pools):
    first, second = Lead(pools[0]), Lead(pools[1])
    assert await first.is_mine()
    assert not await second.is_mine()
    await first.let_go()
    assert not await second.is_mine()  # within the pause it is not asked for again


async def test_asked_by_many_at_once_it_holds_one_connection(pools):
    lead = Lead(pools[0])
    assert await asyncio.gather(*(lead.is_mine() for _ in range(20))) == [True] * 20
    assert pools[0].get_idle_size() + 1 == pools[0].get_size()
    await lead.let_go()
