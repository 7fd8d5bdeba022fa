"""Is it alive, and may it be given work: the probes of an operator.

Owns: whether this process is draining. Invariant: `/healthz` asks nobody, so that a store's outage never gets a
healthy process killed; `/readyz` asks both stores, each with a deadline, and says which one is away.
"""

import asyncio
from collections.abc import Awaitable, Mapping

import msgspec
from redis.asyncio import Redis
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from live.siblings import Others
from live.turns import Pool

PROBE_DEADLINE_S = 2.0


class Health:
    """The state of this process and its stores."""

    def __init__(self, pool: Pool, redis: Redis) -> None:
        self._pool = pool
        self._redis = redis
        self.draining = False

    async def check(self) -> dict[str, bool]:
        """What holds right now: `serving`, `redis`, `postgres`. Never raises; takes at most 2 s."""
        redis, postgres = await asyncio.gather(_answers(self._ping()), _answers(self._select()))
        return {"serving": not self.draining, "redis": redis, "postgres": postgres}

    async def _ping(self) -> None:
        await self._redis.ping()

    async def _select(self) -> None:
        await self._pool.fetchval("SELECT 1")


async def _answers(probe: Awaitable[None]) -> bool:
    try:
        async with asyncio.timeout(PROBE_DEADLINE_S):
            await probe
    except Exception:  # noqa: BLE001 - whatever a driver raises, the store did not answer
        return False
    return True


async def healthz(request: Request) -> Response:
    """GET /healthz; of several workers, which one answers."""
    others: Others | None = request.state.others
    return _json({"alive": True} | ({"worker": others.place.worker} if others else {}), 200)


async def readyz(request: Request) -> Response:
    """GET /readyz."""
    checks = await request.state.health.check()
    return _json(checks, 200 if all(checks.values()) else 503)


def _json(body: Mapping[str, bool | int], status: int) -> Response:
    headers = {"Cache-Control": "no-store"}
    return Response(msgspec.json.encode(body), status, headers=headers, media_type="application/json")


routes: list[BaseRoute] = [Route("/healthz", healthz), Route("/readyz", readyz)]
"""HEAD comes with GET."""
