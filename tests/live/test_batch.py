"""Many small writes as few large ones."""

import asyncio

import pytest

from live.batch import BATCH_MAX, Batch
from schema.errors import Unavailable


@pytest.fixture
async def running():
    tasks = []

    def start(batch):
        tasks.append(asyncio.create_task(batch.run()))
        return batch

    yield start
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_what_is_put_at_once_is_written_together_with_the_latest_value_of_a_key(running):
    writes: list[dict[int, str]] = []

    async def write(values):
        writes.append(dict(values))
        return set(values)

    batch = running(Batch(write))
    count = BATCH_MAX + 10
    puts = [batch.put(number, "first") for number in range(count)] + [batch.put(0, "second")]
    assert await asyncio.gather(*puts) == [True] * (count + 1)
    assert [len(one) for one in writes] == [BATCH_MAX, 10]
    assert writes[0][0] == "second"


async def test_whoever_was_not_written_hears_it(running):
    async def write(values):
        return {key for key in values if key % 2}

    batch = running(Batch(write))
    assert await asyncio.gather(*(batch.put(number, None) for number in range(4))) == [False, True, False, True]


async def test_a_store_that_is_away_is_said_and_the_next_write_goes_on(running):
    away = [True]

    async def write(values):
        if away.pop() if away else False:
            raise OSError("no route")
        return set(values)

    batch = running(Batch(write))
    with pytest.raises(Unavailable):
        await batch.put("a", 1)
    assert await batch.put("a", 1) is True


async def test_it_has_a_bound(monkeypatch):
    monkeypatch.setattr("live.batch.WAITING_MAX", 2)
    batch = Batch(lambda values: None)
    waiting = [asyncio.create_task(batch.put(number, None)) for number in range(2)]
    await asyncio.sleep(0)
    with pytest.raises(Unavailable):
        await batch.put(2, None)
    for task in waiting:
        task.cancel()
