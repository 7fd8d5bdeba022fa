import itertools

import pytest
from brokers import BrokerContract, Heard

from realtime.broker_memory import MemoryBroker
from realtime.core.channel import Kind
from realtime.hub import Hub
from schema.ids import ShowId, VariantId
from schema.wire import Pinned

_numbers = itertools.count(1)


@pytest.fixture
def show():
    return ShowId(f"memory{next(_numbers)}")


@pytest.fixture
def heard():
    return Heard()


@pytest.fixture
async def broker(heard):
    async with MemoryBroker(heard) as made:
        yield made


class TestBroker(BrokerContract):
    """Of memory."""


async def test_its_log_is_bounded_and_says_how_far_back_it_goes(broker, show):
    for _ in range(1100):
        await broker.publish(show, Kind.EVENT, "", b"{}")
    loaded = await broker.load(show, "", 0)
    assert (loaded.offset, loaded.floor, len(loaded.log)) == (1100, 100, 1000)


async def test_shows_that_nobody_hears_are_forgotten_the_quietest_first(broker, show, monkeypatch):
    monkeypatch.setattr("realtime.broker_memory.SHOWS_MAX", 3)
    broker.subscribe(show)
    epoch, _ = await broker.publish(show, Kind.EVENT, "", b"{}")
    for at in range(10):
        await broker.publish(ShowId(f"other{at}"), Kind.EVENT, "", b"{}")
    assert len(broker._kept) == 3
    assert (await broker.load(show, "", 0)).epoch == epoch


async def test_a_hub_without_redis_has_rooms_that_hear(show):
    async with Hub(None, tick_ms=5) as hub:
        room = await hub.open(show)
        assert await hub.publish(show, Pinned(variant_id=VariantId("a"), at_ms=1)) == 1
        again = await hub.open(show, room.channel.epoch, 1)
        assert (again.channel.received, again) == (1, room)
