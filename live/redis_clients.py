"""Clients of Redis or Valkey: of one server, or of a cluster where the address is that of one of its servers.

Owns: nothing. Invariant: whoever asks gets an answer or an error within a bound; which of the two kinds it is, is found
out once and no setting. Every key names its show (or whatever is limited) as hash tag, so the commands are the same.
"""

from contextlib import AsyncExitStack
from typing import cast

import structlog
from redis.asyncio import BlockingConnectionPool, Redis, RedisCluster
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialBackoff
from redis.exceptions import ResponseError

log = structlog.get_logger()

CONNECTIONS = 32
CLUSTER_CONNECTIONS = 256
"""To each server; nobody waits for a free one there, so that this bounds what goes wrong, not what goes on."""
DEADLINE_S = 5.0


async def open_redis(stack: AsyncExitStack, url: str) -> Redis:
    """A client whose callers wait for one of a bounded number of connections, and give up after a deadline.

    Of a cluster too: it has the same commands, and sends each to the server of its key.
    """
    connections = BlockingConnectionPool.from_url(
        url,
        max_connections=CONNECTIONS,
        timeout=DEADLINE_S,
        socket_timeout=DEADLINE_S,
        socket_connect_timeout=1.0,
        retry=Retry(ExponentialBackoff(cap=0.1, base=0.01), 1),
    )
    redis = await stack.enter_async_context(Redis.from_pool(connections))
    return await stack.enter_async_context(open_cluster(url)) if await is_cluster(redis) else redis


def open_cluster(url: str) -> Redis:
    """A client of the cluster that the server at `url` is part of."""
    cluster = RedisCluster.from_url(
        url,
        max_connections=CLUSTER_CONNECTIONS,
        require_full_coverage=False,  # one server away takes its own shows with it, not all of them
        socket_timeout=DEADLINE_S,
        socket_connect_timeout=1.0,
        retry=Retry(ExponentialBackoff(cap=0.1, base=0.01), 1),
    )
    return cast(Redis, cluster)


async def is_cluster(redis: Redis) -> bool:
    """Whether its slots are spread over servers. Raises RedisError or OSError if nobody answers.

    One that may not say (an ACL without INFO) is taken for a single server.
    """
    try:
        return bool((await redis.info("cluster")).get("cluster_enabled"))
    except ResponseError as error:
        log.warning("redis_kind_unknown", error=str(error))
        return False
