"""Commands that share a connection, each with its own answer."""

import asyncio

import pytest
import redis.asyncio
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError

from live.pipeline import Pipeline
from schema.errors import Unavailable


@pytest.fixture
async def pipeline(redis):
    one = Pipeline(redis)
    yield one
    await one.aclose()


async def test_a_thousand_at_once_each_get_their_own_answer(pipeline, redis):
    await asyncio.gather(*(pipeline.execute_command("SET", f"k{number}", number) for number in range(1000)))
    values = await asyncio.gather(*(pipeline.execute_command("GET", f"k{number}") for number in range(1000)))
    assert [int(value) for value in values] == list(range(1000))


async def test_they_share_round_trips(pipeline, redis):
    await redis.config_resetstat()
    await asyncio.gather(*(pipeline.execute_command("INCR", "n") for _ in range(1000)))
    clients = await redis.info("stats")
    assert clients["total_connections_received"] <= 1
    assert int(await redis.get("n")) == 1000


async def test_one_commands_error_is_its_own(pipeline, redis):
    await redis.set("text", "x")
    answers = await asyncio.gather(
        *(pipeline.execute_command("INCR", key) for key in ("a", "text", "b")), return_exceptions=True
    )
    assert (answers[0], answers[2]) == (1, 1)
    assert isinstance(answers[1], ResponseError)


async def test_a_caller_who_hangs_up_changes_nothing_for_the_others(pipeline):
    one, two = (asyncio.create_task(pipeline.execute_command("INCR", key)) for key in ("a", "b"))
    await asyncio.wait({one}, timeout=0)
    one.cancel()
    assert await two == 1


async def test_with_redis_away_everybody_is_told(redis):
    away = redis.__class__(port=1, socket_connect_timeout=1)
    pipeline = Pipeline(away)
    answers = await asyncio.gather(*(pipeline.execute_command("PING") for _ in range(3)), return_exceptions=True)
    assert all(isinstance(answer, RedisConnectionError) for answer in answers)
    await pipeline.aclose()
    await away.aclose()


async def test_the_queue_is_bounded(redis, monkeypatch):
    monkeypatch.setattr("live.pipeline.WAITING_MAX", 2)
    pipeline = Pipeline(redis)
    waiting = [asyncio.create_task(pipeline.execute_command("PING")) for _ in range(3)]
    answers = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(answer) for answer in answers].count(Unavailable) == 1
    await pipeline.aclose()


async def test_closing_tells_whoever_waits():
    async def hang(_reader, writer):
        connected.append(writer)

    connected = []
    server = await asyncio.start_server(hang, "127.0.0.1", 0)
    hung = redis.asyncio.Redis(port=server.sockets[0].getsockname()[1], socket_timeout=60)
    pipeline = Pipeline(hung)
    waiting = asyncio.create_task(pipeline.execute_command("PING"))
    await asyncio.wait({waiting}, timeout=0.05)
    await pipeline.aclose()
    with pytest.raises((ConnectionError, asyncio.CancelledError)):
        async with asyncio.timeout(10):
            await waiting
    await hung.aclose()
    for writer in connected:
        writer.close()
    server.close()
