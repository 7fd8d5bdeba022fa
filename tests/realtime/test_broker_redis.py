import ast
import asyncio
import inspect
import re
from importlib.resources import files

import pytest
from brokers import BrokerContract
from brokers import Heard as Told

from realtime import broker_redis, sender
from realtime.broker_redis import RedisBroker, Value, check_key
from realtime.core.channel import Kind
from schema.errors import BadRequest, Unavailable
from schema.ids import AccountId, ShowId

OTHERS = {"react.lua"}  # reactions.py has it
SCRIPTS = sorted(one for one in files("realtime").joinpath("lua").iterdir() if one.name not in OTHERS)


class Heard:
    """A listener that remembers."""

    def __init__(self) -> None:
        self.publications: list[tuple] = []
        self.states: list[tuple] = []
        self.subscribed: list[str] = []
        self.words: list[str] = []

    def on_publication(self, show, epoch, publication) -> None:
        self.publications.append((show, epoch, publication))

    def on_state(self, show, epoch, version, values) -> None:
        self.states.append((version, values))

    def on_subscribed(self, show) -> None:
        self.subscribed.append(show)

    def on_away(self) -> None:
        self.words.append("away")

    def on_back(self) -> None:
        self.words.append("back")


@pytest.fixture
async def heard():
    return Heard()


@pytest.fixture
async def broker(redis, heard):
    async with RedisBroker(redis, heard) as made:
        yield made


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda one: one.name)
def test_a_scripts_header_says_what_it_takes_returns_and_who_calls_it(script):
    text = script.read_text()
    header = "\n".join(line for line in text.splitlines() if line.startswith("--"))
    for word in ("Guarantees:", "Returns:", "Caller:"):
        assert word in header
    for name in ("KEYS", "ARGV"):
        said = {int(one) for one in re.findall(rf"{name}\[(\d+)\]", header)}
        used = {int(one) for one in re.findall(rf"{name}\[(\d+)\]", text.replace(header, ""))}
        assert used <= said == set(range(1, max(said) + 1))
    caller = re.search(r"Caller: realtime\.broker_redis\.RedisBroker\.(\w+)", header)[1]
    assert f'"{script.name.removesuffix(".lua")}"' in inspect.getsource(getattr(RedisBroker, caller))


def test_each_wrapper_passes_as_many_arguments_as_its_script_names():
    passed = {}
    for call in ast.walk(ast.parse(inspect.getsource(broker_redis))):
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.func.attr == "_call":
            passed[call.args[0].value] = call.args[2]
    assert set(passed) == {one.name.removesuffix(".lua") for one in SCRIPTS}
    for script in SCRIPTS:
        given = passed[script.name.removesuffix(".lua")]
        if isinstance(given, ast.List):
            named = {int(one) for one in re.findall(r"ARGV\[(\d+)\]", script.read_text())}
            assert len(given.elts) == max(named)


async def test_publications_at_once_are_batched_and_have_each_their_offset(broker, heard, show, until):
    broker.subscribe(ShowId(show))
    await until(lambda: heard.subscribed)
    answers = await asyncio.gather(
        *(broker.publish(ShowId(show), Kind.EVENT, "", b'{"n":%d}' % at) for at in range(200))
    )
    assert [offset for _, offset in answers] == list(range(1, 201))
    assert len({epoch for epoch, _ in answers}) == 1
    await until(lambda: len(heard.publications) == 200)
    assert [one.offset for _, _, one in heard.publications] == list(range(1, 201))
    assert heard.publications[7][2].data == b'{"n":7}'


async def test_a_load_is_what_was_published(broker, show):
    name = ShowId(show)
    epoch, _ = await broker.publish(name, Kind.KEEP, "pin.a", b'{"t":"pin"}')
    await broker.publish(name, Kind.CHAT, "msg_1", b'{"t":"chat","text":"a\\nb c"}')
    await broker.set_state(name, {"viewers": Value(b"3"), "x": Value('"ü"'.encode())})
    loaded = await broker.load(name, "", 0)
    assert (loaded.epoch, loaded.offset, loaded.floor, loaded.state_version) == (epoch, 2, 0, 1)
    assert [(one.offset, one.kind, one.key) for one in loaded.log] == [(1, Kind.KEEP, "pin.a"), (2, Kind.CHAT, "msg_1")]
    assert loaded.kept == {"pin.a": (1, b'{"t":"pin"}')}
    assert loaded.state == {"viewers": b"3", "x": '"ü"'.encode()}
    assert [one.offset for one in (await broker.load(name, epoch, 1)).log] == [2]
    assert [one.offset for one in (await broker.load(name, "another", 1)).log] == [1, 2]


async def test_a_value_never_replaces_one_of_a_higher_version(broker, show):
    name = ShowId(show)
    await broker.set_state(name, {"stock.a": Value(b"5", 7), "host": Value(b"true")})
    await broker.set_state(name, {"stock.a": Value(b"9", 6), "host": Value(b"false")})
    await broker.set_state(name, {"stock.a": Value(b"8", 5)})
    loaded = await broker.load(name, "", 0)
    assert loaded.state == {"stock.a": b"5", "host": b"false"}
    assert loaded.state_version == 2  # the third wrote nothing, and told nobody
    await broker.set_state(name, {"stock.a": Value(b"4", 8)})
    assert (await broker.load(name, "", 0)).state["stock.a"] == b"4"


async def test_the_epoch_is_made_once_by_whoever_comes_first(broker, redis, show):
    async with RedisBroker(redis, Heard()) as other:
        loads = await asyncio.gather(*(one.load(ShowId(show), "", 0) for one in (broker, other) * 5))
    assert len({one.epoch for one in loads}) == 1


@pytest.mark.parametrize("first", ["publish", "load"])
async def test_a_new_epoch_begins_without_the_log_and_the_retained_of_the_old(broker, redis, show, first):
    for at in range(3):
        await broker.publish(ShowId(show), Kind.KEEP, f"pin.{at}", b"{}")
    await redis.delete(f"sf:{{{show}}}:hub")  # evicted, say, and the other keys not
    if first == "load":
        loaded = await broker.load(ShowId(show), "", 0)
        assert (loaded.offset, loaded.log, loaded.kept) == (0, [], {})
    _, offset = await broker.publish(ShowId(show), Kind.KEEP, "pin.new", b"{}")
    loaded = await broker.load(ShowId(show), "", 0)
    assert (offset, loaded.offset, [one.offset for one in loaded.log]) == (1, 1, [1])
    assert loaded.kept == {"pin.new": (1, b"{}")}


async def test_a_redis_that_forgot_the_scripts_is_taught_them_again(broker, redis, show):
    await redis.script_flush()
    assert (await broker.publish(ShowId(show), Kind.EVENT, "", b"{}"))[1] == 1
    assert (await broker.load(ShowId(show), "", 0)).offset == 1


async def test_an_answer_that_is_lost_is_not_asked_for_twice(broker, redis, show, monkeypatch):
    sent = broker._only.sender._execute

    async def lose_the_answer(batch):
        await sent(batch)
        raise ConnectionError("the line went dead")

    monkeypatch.setattr(broker._only.sender, "_execute", lose_the_answer)
    with pytest.raises(Unavailable):
        await broker.publish(ShowId(show), Kind.EVENT, "", b"{}")
    monkeypatch.undo()
    assert (await broker.load(ShowId(show), "", 0)).offset == 1


async def test_it_is_away_until_all_of_it_works_again(broker, redis, heard, show, monkeypatch, until):
    async def broken(_batch):
        raise ConnectionError("no route")

    with monkeypatch.context() as outage:
        outage.setattr(broker._only.sender, "_execute", broken)
        with pytest.raises(Unavailable):
            await broker.publish(ShowId(show), Kind.EVENT, "", b"{}")
        await until(lambda: heard.words == ["away"])
        await redis.execute_command("CLIENT", "KILL", "TYPE", "PUBSUB")  # the bus of this very process, too
        await until(lambda: broker._lost == {"scripts ", "bus "})
        await until(lambda: broker._lost == {"scripts "})
    assert heard.words == ["away"]
    await broker.publish(ShowId(show), Kind.EVENT, "", b"{}")
    await until(lambda: heard.words == ["away", "back"])
    assert not broker.away


async def test_too_many_waiting_publications_are_refused(broker, show, monkeypatch):
    monkeypatch.setattr(sender, "QUEUE_MAX", 10)
    answers = await asyncio.gather(
        *(broker.publish(ShowId(show), Kind.EVENT, "", b"{}") for _ in range(50)), return_exceptions=True
    )
    assert sum(isinstance(one, Unavailable) for one in answers) == 40


async def test_of_several_turns_at_once_one_is_taken(broker, redis, show):
    async with RedisBroker(redis, Heard()) as other:
        waits = await asyncio.gather(
            *(one.take_turn(ShowId(show), AccountId("acc"), 60_000) for one in (broker, other) * 10)
        )
    assert sum(wait == 0 for wait in waits) == 1
    assert all(0 < wait <= 60_000 for wait in waits if wait)
    assert await broker.take_turn(ShowId(show), AccountId("another"), 60_000) == 0


async def test_the_counts_of_two_processes_are_summed_and_zero_takes_one_away(broker, redis, heard, show, until):
    broker.subscribe(ShowId(show))
    await until(lambda: heard.subscribed)
    async with RedisBroker(redis, Heard()) as other:
        await broker.set_presence(ShowId(show), 2)
        await other.set_presence(ShowId(show), 3)
        await other.set_presence(ShowId(show), 3)
        await broker.set_presence(ShowId(show), 0)
    await until(lambda: len(heard.states) == 3)
    assert heard.states == [(1, {"viewers": b"2"}), (2, {"viewers": b"5"}), (3, {"viewers": b"3"})]
    assert await redis.hlen(f"sf:{{{show}}}:presence") == 1


@pytest.mark.parametrize("key", ["", "a b", "a\nb", 'a"b', "a\\b", "x" * 201])
def test_a_key_that_would_break_a_header_is_refused(key):
    with pytest.raises(BadRequest):
        check_key(key)


class TestBroker(BrokerContract):
    """Of Redis."""

    @pytest.fixture
    async def heard(self):
        return Told()

    @pytest.fixture
    async def broker(self, redis, heard):
        async with RedisBroker(redis, heard) as made:
            yield made
