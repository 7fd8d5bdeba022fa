"""Starts a store again that ended on its own, so that one crash does not take the show with it.

Owns: the retries. Invariant: a store is tried a bounded number of times, then given up until the next start.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping

import structlog

from live.stores.server import Server, StoreError

log = structlog.get_logger()

LOOK_EVERY_S = 0.25
ATTEMPTS = 8
"""A PostgreSQL whose postmaster was killed refuses a successor until its last backend has noticed."""
FIRST_PAUSE_S = 0.2
LONGEST_PAUSE_S = 5.0

Starter = Callable[[], Awaitable[Server]]


async def keep_alive(servers: dict[str, Server], starters: Mapping[str, Starter]) -> None:
    """Replace in `servers` what has ended, until cancelled. One that cannot be had again is removed."""
    while True:
        await asyncio.sleep(LOOK_EVERY_S)
        for name, server in list(servers.items()):
            if not server.alive():
                log.error("store_ended", store=server.name, pid=server.pid)
                await _revive(name, servers, starters[name])


async def _revive(name: str, servers: dict[str, Server], start: Starter) -> None:
    for attempt in range(ATTEMPTS):
        try:
            servers[name] = await start()
        except StoreError as error:
            log.warning("store_not_started", store=name, attempt=attempt + 1, error=str(error))
            await asyncio.sleep(min(FIRST_PAUSE_S * 2**attempt, LONGEST_PAUSE_S))
        else:
            log.warning("store_started_again", store=name, pid=servers[name].pid)
            return
    del servers[name]
    log.critical("store_given_up", store=name, attempts=ATTEMPTS)
