"""How each fault of a plan is done to a world. Each ends with everything running again."""

import asyncio
import random
import time

import asyncpg
import redis.asyncio
from faults import processes
from faults.crowd import Crowd
from faults.plan import STEP, Pace
from faults.world import OPENING, SHOW, World

JUMP_S = 3600
STEP_S = 8.0
"""How long is waited for the step at which the service is to die; some are rare."""
NETWORK = {
    "webhooks duplicated": {"duplicated": 0.7},
    "webhooks late": {"late": 0.7},
    "webhooks reordered": {"reordered": 0.8},
    "webhooks dropped": {"dropped": 0.7},
    "provider times out after success": {"timeout_after_success": 12},
    "provider answers 500": {"error_500": 12},
}
"""What is set at the payment network, and set back to nought."""
NETWORK_S = 8.0
"""How long is waited for it to happen at all."""


WAITING, PLENTY = 3, 20
"""So many buyers are told to wait before the service dies; so many units are put on the shelf for them."""


class NotDone(Exception):  # noqa: N818 - an outcome, like GateDown
    """The fault did not come about: it does not count."""


async def injure(world: World, crowd: Crowd, fault: str, pace: Pace, dice: random.Random) -> None:
    """Returns when the fault has ended. Raises NotDone."""
    stores = world.stores
    if fault.startswith(STEP):
        await _die_at(world, crowd, fault.removeprefix(STEP))
    elif fault in NETWORK:
        await _misbehave(world, fault, pace)
    else:
        await _ACTS[fault](world, crowd, stores, pace, dice)


async def _misbehave(world: World, fault: str, pace: Pace) -> None:
    ((name, value),) = NETWORK[fault].items()
    before = (await world.tell_network(**NETWORK[fault]))["happened"].get(name, 0)
    for _ in range(int(NETWORK_S / pace.mood) + 1):
        await asyncio.sleep(pace.mood)
        seen = await world.tell_network()
        if seen["happened"].get(name, 0) > before or seen["left"].get(name, value) < value:
            break
    else:
        await world.tell_network(**{name: 0})
        raise NotDone("nothing came that way")
    await world.tell_network(**{name: 0})


async def _die_at(world: World, crowd: Crowd, step: str) -> None:
    done = world.step_file.with_suffix(".done")
    done.unlink(missing_ok=True)
    waits = step == "the tap is written down"
    if waits:
        await _until_somebody_waits(world, crowd)
    world.step_file.write_text(step)
    if step == "the gate was rebuilt":  # happens after a loss only
        await world.stores.kill("redis")
        await world.stores.start_redis()
        await _flush(world)
    for _ in range(int(STEP_S / 0.02)):
        if done.exists():
            break
        await asyncio.sleep(0.02)
    else:
        world.step_file.unlink(missing_ok=True)
    if waits:
        await world.stores.start_postgres()
    if not done.exists():
        raise NotDone(step)
    await world.ready()


async def _until_somebody_waits(world: World, crowd: Crowd) -> None:
    """Postgres is gone, and buyers were told that they are being confirmed. Raises NotDone, and Postgres is back."""
    before = len(crowd.told)
    await _stock_up(world)
    await world.stores.kill("postgres")
    for _ in range(int(NETWORK_S / 0.02)):
        if sum(told.state == "confirming" for told in crowd.told[before:]) >= WAITING:
            return
        await asyncio.sleep(0.02)
    await world.stores.start_postgres()
    raise NotDone("nobody was told to wait")


async def _stock_up(world: World) -> None:
    """So that there is something to wait for."""
    async with world.client(world.operator) as http:
        for variant in OPENING:
            key = {"Idempotency-Key": f"for-those-who-wait-{variant}-{time.monotonic_ns()}"}
            path = f"/api/v1/shows/{SHOW}/items/{variant}/restock"
            answer = await http.post(path, json={"quantity": PLENTY}, headers=key)
            if answer.status_code >= 300:
                raise NotDone(f"no restock: {answer.text[:100]}")


async def _flush(world: World) -> None:
    async with redis.asyncio.from_url(world.stores.redis_url, socket_timeout=3) as client:
        await client.flushall()


async def _app_killed(world, crowd, stores, pace, dice) -> None:
    await asyncio.sleep(dice.random())
    processes.send(9, world.service.pid)
    await asyncio.sleep(0.1)
    await world.ready()


async def _app_frozen(world, crowd, stores, pace, dice) -> None:
    """All of it: whoever started the workers too."""
    await asyncio.sleep(dice.random())
    stopped = processes.freeze(world.service.pid)
    await asyncio.sleep(pace.frozen)
    processes.thaw(stopped)


async def _worker_frozen(world, crowd, stores, pace, dice) -> None:
    workers = processes.children(world.service.pid)
    if len(workers) < 2:
        raise NotDone("there is one process only")
    await asyncio.sleep(dice.random())
    stopped = processes.freeze(dice.choice(workers))
    await asyncio.sleep(pace.frozen)
    processes.thaw(stopped)


async def _worker_killed(world, crowd, stores, pace, dice) -> None:
    workers = processes.children(world.service.pid)
    if len(workers) < 2:
        raise NotDone("there is one process only")
    await asyncio.sleep(dice.random())
    processes.send(9, dice.choice(workers))
    await asyncio.sleep(pace.mood)


async def _redis_killed(world, crowd, stores, pace, dice) -> None:
    await stores.kill("redis")
    await asyncio.sleep(dice.random() * pace.mood)
    await stores.start_redis()


async def _redis_cut(world, crowd, stores, pace, dice) -> None:
    await stores.cut_redis(dice)
    await stores.start_redis()


async def _redis_emptied(world, crowd, stores, pace, dice) -> None:
    await _flush(world)
    await asyncio.sleep(pace.gap)


async def _redis_rolled_back(world, crowd, stores, pace, dice) -> None:
    copy = stores.copy_of_redis()
    await asyncio.sleep(pace.mood * (0.3 + dice.random()))
    await stores.roll_redis_back(copy)
    await stores.start_redis()


async def _redis_frozen(world, crowd, stores, pace, dice) -> None:
    await stores.freeze("redis", pace.frozen)


async def _postgres_killed(world, crowd, stores, pace, dice) -> None:
    await asyncio.sleep(dice.random())
    await stores.kill("postgres")
    await stores.start_postgres()


async def _postgres_cut(world, crowd, stores, pace, dice) -> None:
    await asyncio.sleep(dice.random())
    await stores.cut_postgres()
    await stores.start_postgres()


async def _postgres_stopped(world, crowd, stores, pace, dice) -> None:
    await stores.kill("postgres")
    await asyncio.sleep(pace.stopped)
    await stores.start_postgres()


async def _postgres_frozen(world, crowd, stores, pace, dice) -> None:
    await stores.freeze("postgres", pace.frozen)


async def _disk_full(world, crowd, stores, pace, dice) -> None:
    if not stores.small_disk:
        raise NotDone("this user may not mount a file system to run full")
    await stores.fill_disk(pace.mood)


async def _app_clock(world, crowd, stores, pace, dice) -> None:
    for jump in (JUMP_S, -JUMP_S, 0):
        world.clock_file.write_text(str(jump))
        await asyncio.sleep(pace.mood / 3)


MOVABLE_CLOCK = """
CREATE TABLE IF NOT EXISTS moved_clock (ms bigint);
CREATE OR REPLACE FUNCTION clock_ms() RETURNS bigint LANGUAGE sql VOLATILE AS
    'SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint
        + (SELECT coalesce(sum(ms), 0) FROM moved_clock)::bigint';
"""


async def _postgres_clock(world, crowd, stores, pace, dice) -> None:
    world.clock_jumped = True
    connection = await asyncpg.connect(stores.database_url, timeout=5)
    try:
        await connection.execute(MOVABLE_CLOCK)
        for jump in dice.sample((JUMP_S, -JUMP_S), 2):
            await connection.execute("TRUNCATE moved_clock")
            await connection.execute("INSERT INTO moved_clock VALUES ($1)", jump * 1000)
            await asyncio.sleep(pace.mood / 2)
        await connection.execute("TRUNCATE moved_clock")
    finally:
        await connection.close()


async def _forged(world, crowd, stores, pace, dice) -> None:
    for _ in range(int(NETWORK_S / 0.3)):
        await asyncio.sleep(0.3)
        await world.forge()
        if (await world.tell_network())["happened"].get("forged", 0) >= 5:
            return
    raise NotDone("there was no payment to forge a webhook for")


async def _provider_killed(world, crowd, stores, pace, dice) -> None:
    await asyncio.sleep(dice.random())
    processes.send(9, world.network.pid)
    await asyncio.sleep(pace.mood)


async def _provider_frozen(world, crowd, stores, pace, dice) -> None:
    stopped = processes.freeze(world.network.pid)
    await asyncio.sleep(pace.frozen)
    processes.thaw(stopped)


async def _storm(world, crowd, stores, pace, dice) -> None:
    crowd.moods.storm = True
    await asyncio.sleep(pace.mood)
    crowd.moods.storm = False


async def _cancelled(world, crowd, stores, pace, dice) -> None:
    crowd.moods.vanish = 0.5
    await asyncio.sleep(pace.mood)
    crowd.moods.vanish = 0.0
    if not crowd.vanished:
        raise NotDone("every request was answered too soon")


_ACTS = {
    "app killed": _app_killed,
    "app frozen": _app_frozen,
    "worker killed": _worker_killed,
    "worker frozen": _worker_frozen,
    "redis killed": _redis_killed,
    "redis cut": _redis_cut,
    "redis emptied": _redis_emptied,
    "redis rolled back": _redis_rolled_back,
    "redis frozen": _redis_frozen,
    "postgres killed": _postgres_killed,
    "postgres cut": _postgres_cut,
    "postgres stopped": _postgres_stopped,
    "postgres frozen": _postgres_frozen,
    "disk full": _disk_full,
    "app clock jumps": _app_clock,
    "postgres clock jumps": _postgres_clock,
    "webhooks forged": _forged,
    "provider killed": _provider_killed,
    "provider frozen": _provider_frozen,
    "retry storm": _storm,
    "requests cancelled": _cancelled,
}
