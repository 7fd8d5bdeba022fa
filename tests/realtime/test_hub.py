import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from valkeys import Valkey, own_valkey
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from realtime.hub import Hub
from schema.errors import Conflict, TooManySockets, Unavailable
from schema.ids import ShowId, VariantId
from schema.people import Role
from schema.wire import Pinned

ROOT = Path(__file__).parents[2]


def pin(name: str = "a") -> Pinned:
    return Pinned(variant_id=VariantId(name), at_ms=1)


async def test_viewers_of_two_processes_see_the_same_sequence(running, second, show, say):
    here, there = await running.join(show, "ann"), await second.join(show, "bob")
    mine = [running.hub.publish(ShowId(show), pin(f"here{at}")) for at in range(40)]
    theirs = [second.hub.publish(ShowId(show), pin(f"there{at}")) for at in range(40)]
    offsets = await asyncio.gather(*mine, *theirs)
    assert sorted(offsets) == list(range(1, 81))
    for client in (here, there):
        await client.until(lambda it: len(it.events) == 80)
        assert client.offsets() == list(range(1, 81))
    assert here.events == there.events


async def test_state_set_in_one_process_is_seen_in_the_other(running, second, show):
    there = await second.join(show)
    for count in range(1000):
        running.hub.set_state(ShowId(show), "stock.a", count)
    await there.until(lambda it: it.state.get("stock.a") == 999)
    assert sum("stock.a" in frame["st"] for frame in there.frames) <= 3  # conflated: not a thousand


async def test_viewers_are_summed_over_processes(running, second, show):
    here = await running.join(show, "ann")
    await second.join(show, "bob")
    await second.join(show, "cyd", Role.OPERATOR)
    await here.until(lambda it: it.state.get("viewers") == 2)
    assert second.hub.viewers(ShowId(show)) == running.hub.viewers(ShowId(show)) == 2


async def test_a_dead_process_drops_out_of_the_count(running, show, monkeypatch, redis):
    host = await running.join(show, "host", Role.HOST)
    await redis.hset(f"sf:{{{show}}}:presence", "dead", "7 1")  # its time is long over
    await running.hub._write_count(ShowId(show), 0)
    assert await redis.hgetall(f"sf:{{{show}}}:presence") == {}
    await redis.hset(f"sf:{{{show}}}:presence", "alive", "7 9999999999999")
    await running.hub._write_count(ShowId(show), 0)
    await host.until(lambda it: it.state.get("viewers") == 7)


@contextlib.contextmanager
def losing(running, monkeypatch) -> Iterator[list]:
    """What the bus brings meanwhile is lost."""
    lost = []
    with monkeypatch.context() as patch:
        patch.setattr(running.hub, "on_publication", lambda *event: lost.append(event))
        yield lost


async def test_a_gap_on_the_bus_is_repaired_from_the_log(running, show, say, monkeypatch, until):
    client = await running.join(show)
    await say("one")
    await client.until(lambda it: len(it.events) == 1)
    with losing(running, monkeypatch) as lost:
        await say("two")
        await say("three")
        await until(lambda: len(lost) == 2)
    assert client.offset == 1
    await say("four")
    await client.until(lambda it: len(it.events) == 4)
    assert client.texts() == ["one", "two", "three", "four"]
    assert client.offsets() == [1, 2, 3, 4]
    assert [frame for frame in client.frames if frame.get("snapshot")] == client.frames[:1]


async def test_without_the_repair_the_gap_stays(running, show, say, monkeypatch, until):
    """The negative control of the test above."""
    client = await running.join(show)
    room = running.hub._rooms[ShowId(show)]
    monkeypatch.setattr(room, "_reload", lambda _: None)
    with losing(running, monkeypatch) as lost:
        await say("one")
        await until(lambda: lost)
    await say("two")
    await until(lambda: room.channel.gap or client.texts())
    assert client.texts() == []


async def test_a_show_opened_while_the_bus_is_being_connected_is_heard(redis, show, until):
    async with Hub(redis, tick_ms=10) as hub:  # no await in between: the bus is not connected yet
        opening = [asyncio.create_task(hub.open(ShowId(f"{show}{at}"))) for at in range(3)]
        rooms = await asyncio.gather(*opening)
        await asyncio.gather(*(hub.publish(room.show, pin()) for room in rooms))
        await until(lambda: all(room.channel.received == 1 for room in rooms))


async def test_losing_the_connections_to_redis_loses_nothing(running, show, say, redis):
    client = await running.join(show)
    await say("one")
    await client.until(lambda it: it.events)
    for kind in ("pubsub", "normal"):
        await redis.execute_command("CLIENT", "KILL", "TYPE", kind, "SKIPME", "yes")
    await say_until_heard(say, "two")
    await client.until(lambda it: "two" in it.texts())
    assert client.offsets() == list(range(1, client.offset + 1))
    assert client.code is None


async def say_until_heard(say, text: str) -> None:
    async with asyncio.timeout(10):
        while True:
            with contextlib.suppress(Unavailable):
                await say(text)
                return


async def test_a_redis_that_lost_everything_is_a_new_epoch_and_the_sockets_stay(running, show, say, redis):
    blank = []
    running.hub.on_blank.append(blank.append)
    client = await running.join(show)
    await running.hub.publish(ShowId(show), pin("old"), key="pin.old")
    await client.until(lambda it: it.events)
    old = client.epoch
    await redis.flushdb()
    await say("anew")
    await client.until(lambda it: it.epoch != old)
    await client.until(lambda it: "anew" in it.texts())
    break_at = next(frame for frame in client.frames if frame["e"] != old)
    assert break_at["snapshot"] is True
    assert break_at["recovered"] is False
    assert client.code is None
    assert blank == [show, show]  # when it was new, and when Redis had lost it
    later = await running.join(show)
    await later.until(lambda it: it.frames)
    assert "old" not in json.dumps(later.frames)


async def test_a_show_retains_a_bounded_number_of_publications(running, show, monkeypatch):
    monkeypatch.setattr("realtime.broker_redis.KEPT_MAX", 3)
    for at in range(3):
        await running.hub.publish(ShowId(show), pin(), key=f"pin.{at}")
    with pytest.raises(Conflict):
        await running.hub.publish(ShowId(show), pin(), key="pin.3")
    assert await running.hub.publish(ShowId(show), pin(), key="pin.1") == 4


async def test_the_log_in_redis_is_bounded(running, show, redis, monkeypatch):
    monkeypatch.setattr("realtime.broker_redis.LOG_MAX", 50)
    await asyncio.gather(*(running.hub.publish(ShowId(show), pin()) for _ in range(1000)))
    assert await redis.xlen(f"sf:{{{show}}}:log") < 250


async def test_a_room_without_viewers_is_closed_and_opens_again(running, show, say, monkeypatch, until):
    client = await running.join(show)
    await say("one")
    await client.until(lambda it: it.events)
    await client.close()
    await until(lambda: not running.hub._rooms[ShowId(show)].viewers)
    running.hub._close_idle_rooms(running.hub.now_ms() + 10**6)
    assert ShowId(show) not in running.hub._rooms
    again = await running.join(show)
    await again.until(lambda it: it.texts() == ["one"])
    await say("two")
    await again.until(lambda it: it.texts() == ["one", "two"])


async def test_redis_down_refuses_publications_and_keeps_state_for_later(redis_url, redis, show, until):
    async with Hub(redis, tick_ms=10) as hub:
        broken = hub._broker._only.sender._execute

        refused = []

        async def down(batch):
            refused.append(batch)
            raise ConnectionError("no route")

        hub._broker._only.sender._execute = down
        with pytest.raises(Unavailable):
            await hub.publish(ShowId(show), pin())
        hub.set_state(ShowId(show), "host", value=True)
        await until(lambda: len(refused) == 2)
        hub.set_state(ShowId(show), "host", value=False)
        hub._broker._only.sender._execute = broken
        async with asyncio.timeout(10):
            while await redis.hget(f"sf:{{{show}}}:state", "host") != b"false":
                pass


# -- kill -9 ----------------------------------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def process(redis_url: str) -> AsyncIterator[tuple[asyncio.subprocess.Process, int]]:
    made = await asyncio.create_subprocess_exec(
        sys.executable,
        str(Path(__file__).with_name("served.py")),
        redis_url,
        stdout=asyncio.subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    try:
        async with asyncio.timeout(20):
            port = int(await made.stdout.readline())
        yield made, port
    finally:
        if made.returncode is None:
            made.send_signal(signal.SIGKILL)
        await made.wait()


async def first_frame(connection: ClientConnection) -> dict:
    async with asyncio.timeout(10):
        return json.loads(await connection.recv())


async def test_after_kill_9_and_a_restart_a_client_gets_exactly_what_it_missed(running, redis_url, show, say):
    async with process(redis_url) as (victim, port):
        async with connect(f"ws://127.0.0.1:{port}/ws/{show}?ticket=bob", compression=None) as client:
            await first_frame(client)
            await say("one")
            seen = {"ev": []}
            while not seen["ev"]:
                seen = await first_frame(client)
            assert [one["text"] for one in seen["ev"]] == ["one"]
            victim.send_signal(signal.SIGKILL)
            with contextlib.suppress(ConnectionClosed):
                while True:
                    seen = await first_frame(client)
        await victim.wait()
    for at in range(5):
        await say(f"missed {at}")
    async with process(redis_url) as (_, port):
        url = f"ws://127.0.0.1:{port}/ws/{show}?ticket=bob&epoch={seen['e']}&offset={seen['o']}"
        async with connect(url, compression=None) as client:
            back = await first_frame(client)
    assert back["recovered"] is True
    assert [one["text"] for one in back["ev"]] == [f"missed {at}" for at in range(5)]
    assert [one["o"] for one in back["ev"]] == [2, 3, 4, 5, 6]


async def test_a_room_that_could_not_be_loaded_is_tried_again_by_whoever_comes_next(running, show, monkeypatch, until):
    load, loads = running.hub._broker.load, []
    monkeypatch.setattr(running.hub, "on_state", lambda *_: None)  # nor may a heartbeat remind it

    async def away(*_args):
        loads.append(1)
        raise Unavailable

    with monkeypatch.context() as outage:
        outage.setattr("realtime.hub.LOAD_TRIES", 1)
        outage.setattr("realtime.hub.LOAD_DEADLINE_S", 1.0)
        outage.setattr(running.hub._broker, "load", away)
        with pytest.raises(Unavailable):
            await running.hub.open(ShowId(show))
        room = running.hub._rooms[ShowId(show)]
        await until(lambda: loads and not room.loading)
    assert running.hub._broker.load == load
    assert await running.hub.open(ShowId(show)) is room  # the bus was never lost: nothing else asks for a load
    assert not room.owed_load


async def test_who_is_further_than_the_bus_of_this_process_misses_nothing(running, second, show, monkeypatch):
    here, there = await running.join(show), await second.join(show, "bob")
    await here.until(lambda it: it.frames)
    await there.until(lambda it: it.frames)
    with monkeypatch.context() as lag:
        lag.setattr(second.hub, "on_publication", lambda *_: None)  # its bus is slow
        await running.hub.publish(ShowId(show), pin())
        await here.until(lambda it: it.offset == 1)
        back = await second.join(show, epoch=here.epoch, offset=here.offset)
        await back.until(lambda it: it.frames)
    assert back.frames[0]["recovered"] is True
    assert (back.events, back.offset) == ([], 1)
    await there.until(lambda it: it.offsets() == [1])  # and those who were there have it too


async def test_a_room_that_lost_its_place_gives_nobody_the_old_picture(running, show, say, monkeypatch, until):
    watching = await running.join(show)
    await watching.until(lambda it: it.frames)
    room = running.hub._rooms[ShowId(show)]

    async def away(*_args):
        raise Unavailable

    with monkeypatch.context() as outage:
        outage.setattr("realtime.hub.LOAD_TRIES", 1)
        outage.setattr(running.hub._broker, "load", away)
        running.hub.on_subscribed(ShowId(show))
        await until(lambda: watching.code == Unavailable.close_code)
        assert not room.ready.is_set()
    later = await running.join(show)
    await later.until(lambda it: it.frames)
    assert room.ready.is_set()


async def test_a_subscription_that_begins_during_a_load_is_followed_by_another(running, show, monkeypatch, until):
    load, loads, gate = running.hub._broker.load, [], asyncio.Event()

    async def slow(*arguments):
        loaded = await load(*arguments)
        loads.append(loaded)
        await gate.wait()
        return loaded

    monkeypatch.setattr(running.hub._broker, "load", slow)
    opening = asyncio.create_task(running.hub.open(ShowId(show)))
    await until(lambda: loads)
    running.hub.on_subscribed(ShowId(show))  # as after a bus that was lost meanwhile
    gate.set()
    await opening
    await until(lambda: len(loads) == 2 and not running.hub._rooms[ShowId(show)].loading)


async def test_the_eleventh_tab_of_an_account_closes_its_first_and_ten_are_ten_viewers(running, show, until):
    other = await running.join(show, "bob")
    tabs = [await running.join(show, "ann") for _ in range(10)]
    await other.until(lambda it: it.state.get("viewers") == 11)
    room = running.hub._rooms[ShowId(show)]
    assert len(room.viewers) == 11
    eleventh = await running.join(show, "ann")
    await until(lambda: tabs[0].code == TooManySockets.close_code)
    assert tabs[0].code >= 4500  # stay away: coming back would close the next one
    assert "oldest" in tabs[0].connection.close_reason
    assert [tab.code for tab in (*tabs[1:], eleventh, other)] == [None] * 11
    assert len(room.viewers) == 11
    elsewhere = await running.join(f"{show}b", "ann")
    await elsewhere.until(lambda it: it.frames)
    for tab in (*tabs, eleventh):
        await tab.close()
    await until(lambda: len(room.viewers) == 1)
    assert list(room._by_account) == ["acc_bob"]


# -- Redis away -------------------------------------------------------------------------------------------------

AWAY_S = float(os.environ.get("SHOWFLOOR_AWAY_S", "1"))
"""A minute by SHOWFLOOR_AWAY_S=60; in CI only as long as it takes to notice."""


async def silence(seconds: float) -> None:
    async with asyncio.timeout(seconds + 10):
        await asyncio.sleep(seconds)


@pytest.fixture
async def valkey(monkeypatch) -> AsyncIterator[Valkey]:
    """One of the test's own; a silent one is noticed sooner than in production."""
    monkeypatch.setattr("realtime.bus.SILENCE_S", 1.0)
    monkeypatch.setattr("realtime.sender.DEADLINE_S", 3.0)
    async with own_valkey() as made:
        yield made


@pytest.mark.timeout(180)
@pytest.mark.parametrize("how", ["killed", "frozen", "killed and forgetful"])
async def test_redis_away_the_sockets_stay_are_told_and_all_of_it_heals(valkey, serve, show, how):
    async with serve(valkey.url) as one, serve(valkey.url) as other:
        clients = [await server.join(show, f"ann{at}") for at, server in enumerate((one, one, other, other))]
        await everybody(clients, lambda it: it.state.get("viewers") == 4)
        one.hub.set_state(ShowId(show), "host", value=True)
        await one.hub.publish(ShowId(show), pin("before"))
        await everybody(clients, lambda it: it.state.get("host") is True and it.offsets() == [1])
        assert [client.state.get("stale") for client in clients] == [None] * 4

        valkey.freeze() if how == "frozen" else valkey.kill()
        await everybody(clients, lambda it: it.state.get("stale") is True)
        with pytest.raises(Unavailable):
            await one.hub.publish(ShowId(show), pin("refused"))
        one.hub.set_state(ShowId(show), "host", value=False)  # is kept, and told afterwards
        await silence(AWAY_S)
        assert [client.code for client in clients] == [None] * 4

        if how == "frozen":
            valkey.thaw()
        else:
            valkey.forget() if how == "killed and forgetful" else None
            await valkey.start()
        await everybody(clients, lambda it: not it.state.get("stale") and it.state.get("host") is False)
        await other.hub.publish(ShowId(show), pin("after"))
        await everybody(clients, lambda it: it.events and it.events[-1].get("variant_id") == "after")
        assert [client.code for client in clients] == [None] * 4
        for client in clients:
            told = [event["variant_id"] for event in client.events if event["variant_id"] != "refused"]
            assert told == ["before", "after"]  # "refused" may have been written before the answer was lost


async def everybody(clients, holds) -> None:
    for client in clients:
        await client.until(holds)


async def test_a_process_that_notices_nothing_leaves_its_viewers_in_the_dark(valkey, serve, show, monkeypatch):
    """Without the word of the broker nobody is told: what the test above sees is that word's doing."""
    monkeypatch.setattr(Hub, "on_away", lambda _self: None)
    async with serve(valkey.url) as one:
        client = await one.join(show)
        await client.until(lambda it: it.frames)
        valkey.kill()
        with pytest.raises(Unavailable):
            await one.hub.publish(ShowId(show), pin())
        assert one.hub._broker.away
        assert client.state.get("stale") is None
        await valkey.start()


async def test_who_comes_back_to_another_process_is_told_that_this_one_is_not_cut_off(running, second, show, until):
    client = await running.join(show)
    await client.until(lambda it: it.frames)
    running.hub.on_away()
    await client.until(lambda it: it.state.get("stale") is True)
    back = await second.join(show, epoch=client.epoch, offset=client.offset)
    await back.until(lambda it: it.frames)
    assert (back.frames[0]["recovered"], back.frames[0]["st"]["stale"]) == (True, False)
