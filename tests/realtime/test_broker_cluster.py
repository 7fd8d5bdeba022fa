import asyncio

import pytest
import redis.asyncio
from brokers import BrokerContract, Heard, until
from redis.asyncio import RedisCluster
from valkeys import own_cluster

from realtime import sender
from realtime.broker_cluster import ClusterBroker
from realtime.broker_redis import RedisBroker, Value
from realtime.bus import Bus
from realtime.core.channel import Kind
from schema.ids import ShowId
from schema.wire import Pinned


@pytest.fixture(scope="module")
async def cluster():
    """Three servers for the tests of this file."""
    async with own_cluster() as made:
        yield made


@pytest.fixture
async def heard():
    return Heard()


@pytest.fixture
async def broker(cluster, heard):
    async with ClusterBroker(RedisCluster.from_url(cluster.url), heard) as made:
        yield made


def key(show: str) -> str:
    return f"sf:{{{show}}}:hub"


async def placed(cluster, show):
    """Three shows, each on another server, and these servers."""
    found = {}
    for number in range(100):
        name = f"{show}x{number}"
        found.setdefault(await cluster.owner(key(name)), ShowId(name))
        if len(found) == 3:
            return {name: node for node, name in found.items()}
    raise AssertionError(found)


class TestBroker(BrokerContract):
    """Of a cluster."""


async def shards(node):
    async with node.client() as client:
        return set(await client.execute_command("PUBSUB", "SHARDCHANNELS"))


async def test_each_show_is_spoken_and_heard_on_the_server_of_its_slot_alone(cluster, broker, heard, show):
    of = await placed(cluster, show)
    for name in of:
        broker.subscribe(name)
    await until(lambda: set(heard.subscribed) == set(of))
    for name, node in of.items():
        channel = f"sf:{{{name}}}:bus:0".encode()
        assert [channel in await shards(one) for one in cluster.nodes] == [one is node for one in cluster.nodes]
        async with node.client() as client:
            assert not await client.execute_command("PUBSUB", "CHANNELS", "sf:{*")
    for name in of:
        await broker.publish(name, Kind.EVENT, "", name.encode())
    await until(lambda: len(heard.publications) == 3)
    assert {one.data.decode() for _, one in heard.publications} == set(of)


async def test_what_is_spoken_with_publish_is_not_heard_by_who_listens_to_shards(cluster, broker, heard, show):
    """The negative control: it is SPUBLISH that carries what the tests here hear."""
    name = ShowId(show)
    node = await cluster.owner(key(name))
    broker.subscribe(name)
    await until(lambda: heard.subscribed)
    async with node.client() as client:
        script = sender.read_scripts("PUBLISH")["whisper"].text
        await client.eval(script, 1, key(name), f"sf:{{{name}}}:bus:0", "A loud", b"{}")
    await broker.whisper(name, "quiet", b"{}")
    await until(lambda: heard.private)
    assert heard.private == [("quiet", b"{}")]


async def test_a_show_whose_slot_moves_is_heard_on_and_nothing_is_lost_or_said_twice(cluster, broker, heard, show):
    name = ShowId(show)
    broker.subscribe(name)
    await until(lambda: heard.subscribed)
    here, there = await cluster.owner(key(name)), await another_than(cluster, name)
    first = await broker.publish(name, Kind.EVENT, "", b"1")
    await cluster.move(key(name), there)
    second = await broker.publish(name, Kind.EVENT, "", b"2")  # MOVED: it did not run there, and is sent on
    await until(lambda: len(heard.subscribed) >= 2)  # so that whoever listens loads what it may have missed
    third = await broker.publish(name, Kind.EVENT, "", b"3")
    assert [offset for _, offset in (first, second, third)] == [1, 2, 3]
    await until(lambda: heard.publications and heard.publications[-1][1].data == b"3")
    assert [one.data for one in (await broker.load(name, "", 0)).log] == [b"1", b"2", b"3"]
    assert f"sf:{{{name}}}:bus:0".encode() in await shards(there)
    assert f"sf:{{{name}}}:bus:0".encode() not in await shards(here)


async def test_while_a_slot_is_on_its_way_what_is_there_already_is_asked_for_there(cluster, broker, show):
    name = ShowId(show)
    await broker.publish(name, Kind.KEEP, "pin.a", b"1")
    await broker.set_state(name, {"host": Value(b"true")})  # so that each key is there, and has been moved
    there = await another_than(cluster, name)
    async with cluster.moving(key(name), there):
        assert (await broker.publish(name, Kind.EVENT, "", b"2"))[1] == 2
    assert (await broker.publish(name, Kind.EVENT, "", b"3"))[1] == 3
    assert await cluster.owner(key(name)) is there


async def test_what_comes_while_half_of_a_slot_is_moved_waits_for_the_rest(cluster, broker, show):
    name = ShowId(show)
    await broker.publish(name, Kind.EVENT, "", b"1")  # without retained events and state: to the servers, half a show
    async with cluster.moving(key(name), await another_than(cluster, name)):
        waiting = asyncio.create_task(broker.publish(name, Kind.EVENT, "", b"2"))
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.shield(waiting), 0.2)
    assert (await waiting)[1] == 2
    assert (await broker.publish(name, Kind.EVENT, "", b"3"))[1] == 3


async def another_than(cluster, show):
    here = await cluster.owner(key(show))
    return next(node for node in cluster.nodes if node is not here)


async def test_one_server_away_holds_up_its_own_shows_alone(cluster, broker, heard, show, monkeypatch):
    monkeypatch.setattr(sender, "DEADLINE_S", 2.0)
    of = await placed(cluster, show)
    (sick, node), *well = of.items()
    for name in of:
        broker.subscribe(name)
        await broker.publish(name, Kind.EVENT, "", b"{}")
    node.freeze()
    try:
        waiting = asyncio.create_task(broker.publish(sick, Kind.EVENT, "", b"{}"))
        for name, _ in well:
            assert (await broker.publish(name, Kind.EVENT, "", b"{}"))[1] == 2
        assert not waiting.done()
        with pytest.raises(sender.Unavailable):
            await waiting
        assert broker.away
    finally:
        node.thaw()
    async with asyncio.timeout(30):
        while not await answered(broker, sick):
            await asyncio.sleep(0.05)
    await until(lambda: not broker.away)


async def test_a_replica_that_takes_over_is_found_and_nothing_acknowledged_is_lost(heard, show):
    name = ShowId(show)
    async with own_cluster() as cluster, ClusterBroker(RedisCluster.from_url(cluster.url), heard) as broker:
        primary = await cluster.owner(key(name))
        replica = await cluster.add_replica(primary)
        broker.subscribe(name)
        await until(lambda: heard.subscribed)
        assert (await broker.publish(name, Kind.EVENT, "", b"1"))[1] == 1
        async with primary.client() as client:
            assert await client.execute_command("WAIT", 1, 10_000) == 1
        primary.kill()
        async with replica.client() as client:
            await client.execute_command("CLUSTER", "FAILOVER", "TAKEOVER")
        async with asyncio.timeout(30):
            while not await answered(broker, name):
                await asyncio.sleep(0.05)
        assert (await broker.publish(name, Kind.EVENT, "", b"2"))[1] == 2
        await until(lambda: len(heard.subscribed) >= 2 and not broker.away)
        await broker.publish(name, Kind.EVENT, "", b"3")
        await until(lambda: heard.publications[-1][1].data == b"3")
        assert [one.data for one in (await broker.load(name, "", 0)).log] == [b"1", b"2", b"3"]


async def answered(broker, show):
    try:
        await broker.load(show, "", 0)
    except sender.Unavailable:
        return False
    return True


# -- the whole room over a cluster ------------------------------------------------------------------------------


@pytest.fixture
def serving(serve, cluster):
    """A server of its own process's worth, on the cluster."""
    return lambda: serve(cluster.url, client=RedisCluster)


async def test_publish_resume_and_gap_repair_work_over_a_cluster(serving, cluster, show):
    name = ShowId(show)
    async with serving() as one, serving() as other:
        loads = counted(one.hub._broker)
        here, there = await one.join(show, "ann"), await other.join(show, "bob")
        for client in (here, there):
            await client.until(lambda it: it.state.get("viewers") == 2)
        for number in range(5):
            await one.hub.publish(name, Pinned(variant_id=f"v{number}", at_ms=0))
        for client in (here, there):
            await client.until(lambda it: len(it.offsets()) == 5)

        stood = here.epoch, here.offset
        await here.close()
        for number in range(5, 8):
            await other.hub.publish(name, Pinned(variant_id=f"v{number}", at_ms=0))
        back = await one.join(show, "ann", epoch=stood[0], offset=stood[1])
        await back.until(lambda it: len(it.offsets()) == 3)
        assert (back.frames[0]["recovered"], back.offsets()) == (True, [6, 7, 8])

        before = len(loads)
        with deaf(one):
            for number in range(8, 20):
                await other.hub.publish(name, Pinned(variant_id=f"v{number}", at_ms=0))
            await there.until(lambda it: len(it.offsets()) == 20)
        await other.hub.publish(name, Pinned(variant_id="last", at_ms=0))
        await back.until(lambda it: it.offset == 21)
        assert back.offsets() == list(range(6, 22))
        assert len(loads) - before == 1  # twelve were missed, and two stand in the room: one read


def counted(broker):
    """Every load of a broker from now on."""
    load, calls = broker.load, []

    async def counting(*args):
        calls.append(args)
        return await load(*args)

    broker.load = counting
    return calls


class deaf:  # noqa: N801 - reads as one
    """A process that its bus brings no publication."""

    def __init__(self, running):
        self.hub = running.hub

    def __enter__(self):
        self.hub.on_publication = lambda *_: None

    def __exit__(self, *_):
        del self.hub.on_publication


async def test_without_a_new_subscription_a_show_that_moved_is_heard_no_more(serving, cluster, show, monkeypatch):
    """The negative control of the moved slot: it is the broker that follows."""
    monkeypatch.setattr(ClusterBroker, "_rearrange", lambda _self: asyncio.sleep(0))
    name = ShowId(show)
    async with serving() as one:
        client = await one.join(show)
        await client.until(lambda it: it.frames)
        there = await another_than(cluster, name)
        await cluster.move(key(name), there)
        await one.hub.publish(name, Pinned(variant_id="unheard", at_ms=0))
        assert (await one.hub._broker.load(name, "", 0)).offset == 1
        assert f"sf:{{{name}}}:bus:0".encode() not in await shards(there)
        assert client.offsets() == []


def test_a_single_server_is_not_spoken_to_in_shards():
    assert all("SPUBLISH" not in script.text for script in sender.read_scripts("PUBLISH").values())
    assert (
        sum("SPUBLISH" in script.text for script in sender.read_scripts("SPUBLISH").values()) == 5
    )  # not the one to all
    assert not RedisBroker(redis.asyncio.Redis(), Heard())._only.bus._sharded
    assert isinstance(RedisBroker(redis.asyncio.Redis(), Heard())._only.bus, Bus)
