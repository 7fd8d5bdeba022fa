"""Stock told by two processes."""

import asyncio

import pytest

from live.shared_stock import SharedStockTeller
from schema.errors import Unavailable
from schema.show import Stock
from schema.wire import BackInStock, SoldOut


class Ear:
    """Stands for the hub of each process."""

    def __init__(self):
        self.told, self.states, self.deaf = [], [], False

    def set_state(self, show, key, value, *, version=0):
        self.states.append((key, value.available, version))

    async def publish(self, show, event):
        if self.deaf:
            self.deaf = False
            raise Unavailable
        self.told.append(event)


def units(available):
    return Stock(on_hand=available, held=0, sold=0, available=available)


@pytest.fixture
async def two(redis, monkeypatch):
    monkeypatch.setattr("live.shared_stock.RETRY_S", 0.01)
    ear = Ear()
    tellers = [SharedStockTeller(ear, redis) for _ in range(2)]
    tasks = [asyncio.create_task(teller.run()) for teller in tellers]
    yield ear, *tellers
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def all_told(*tellers):
    async with asyncio.timeout(10):
        while any(teller._seen for teller in tellers):
            await asyncio.sleep(0.005)


async def test_a_crossing_that_two_processes_see_is_told_once(two):
    ear, one, other = two
    one.stock_changed("demo", "red", units(1), 1)
    await all_told(one)
    one.stock_changed("demo", "red", units(0), 2)
    other.stock_changed("demo", "red", units(0), 2)
    await all_told(one, other)
    assert ear.told == [SoldOut(variant_id="red")]


async def test_a_process_that_slept_through_it_knows_the_way_back(two):
    ear, one, other = two
    one.seed("demo", "red", units(1))
    other.seed("demo", "red", units(1))
    await all_told(one, other)
    one.stock_changed("demo", "red", units(0), 5)
    await all_told(one)
    other.stock_changed("demo", "red", units(3), 6)
    await all_told(other)
    one.stock_changed("demo", "red", units(0), 5)  # late, and old
    await all_told(one)
    assert ear.told == [SoldOut(variant_id="red"), BackInStock(variant_id="red", available=3)]
    assert ear.states[0] == ("stock.red", 0, 5)


async def test_news_that_the_hub_could_not_take_is_told_later(two):
    ear, one, _ = two
    one.stock_changed("demo", "red", units(2), 1)
    await all_told(one)
    ear.deaf = True
    one.stock_changed("demo", "red", units(0), 2)
    await all_told(one)
    assert ear.told == [SoldOut(variant_id="red")]
