"""Hears when a gate has something to sell again, from whichever process.

Owns: one subscription.
Invariant: whatever ends it, it begins anew, and says so first: what was missed meanwhile is nobody's knowledge.
"""

import asyncio
from collections.abc import Callable

import structlog
from redis.asyncio import Redis
from redis.asyncio.client import PubSub
from redis.exceptions import RedisError

log = structlog.get_logger()

SILENCE_S = 5.0
"""A channel silent for this long is pinged; silent twice, it is taken for dead."""
AGAIN_MIN_S = 0.1
AGAIN_MAX_S = 2.0


class News:
    """`about(key)` is called for each message with the meta key of a gate, `missed()` when some may have been lost."""

    def __init__(self, redis: Redis, *, about: Callable[[str], None], missed: Callable[[], None]) -> None:
        self._redis, self._about, self._missed = redis, about, missed
        self.listens = asyncio.Event()

    async def run(self) -> None:
        """For ever."""
        pause_s = AGAIN_MIN_S
        while True:
            try:
                async with self._redis.pubsub() as channel:
                    await channel.subscribe(channel_of(self._redis))
                    self._missed()
                    pause_s = AGAIN_MIN_S
                    self.listens.set()
                    await self._read(channel)
            except (RedisError, OSError) as error:  # TimeoutError is an OSError
                log.info("gate_news_lost", error=repr(error)[:200])
            finally:
                self.listens.clear()
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, AGAIN_MAX_S)

    async def _read(self, channel: PubSub) -> None:
        silent = False
        while True:
            message = await channel.get_message(timeout=SILENCE_S)
            if message is None:
                if silent:
                    raise TimeoutError("no answer to a ping")
                await channel.ping()
            elif message["type"] == "message":
                self._about(message["data"].decode())
            silent = message is None


def channel_of(redis: Redis) -> str:
    """Channels are shared by all logical databases of a server, so it carries the database's number.

    On a cluster, which has but one, PUBLISH goes to every server: whoever listens may listen anywhere.
    """
    arguments: dict[str, object] = redis.get_connection_kwargs()  # type: ignore[no-untyped-call]
    return f"sf:gate:news:{arguments.get('db') or 0}"
