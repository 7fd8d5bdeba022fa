"""The probes, with stores that answer and stores that do not."""

import asyncpg
import redis.asyncio

from live.health import Health


async def test_a_running_app_is_alive_and_ready(client):
    assert (await client.ask("GET", "/healthz")).json() == {"alive": True}
    ready = await client.ask("GET", "/readyz")
    assert (ready.status_code, ready.json()) == (200, {"serving": True, "redis": True, "postgres": True})


async def test_a_draining_app_is_alive_and_not_ready(client):
    client.app.state.health.draining = True
    ready = await client.ask("GET", "/readyz")
    assert (ready.status_code, ready.json()["serving"]) == (503, False)
    assert (await client.ask("GET", "/healthz")).status_code == 200


async def test_each_store_that_is_away_is_named(pg, redis):
    nobody = redis_at_nowhere()
    assert await Health(pg, nobody).check() == {"serving": True, "redis": False, "postgres": True}
    await nobody.aclose()
    closed = asyncpg.create_pool("postgresql://nobody@127.0.0.1:1/none", min_size=0)
    assert await Health(closed, redis).check() == {"serving": True, "redis": True, "postgres": False}


def redis_at_nowhere():
    return redis.asyncio.Redis(port=1, socket_connect_timeout=1)
