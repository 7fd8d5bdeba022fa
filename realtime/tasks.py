"""Tasks with an owner and a bound.

Owns: the tasks it started. Unlike a TaskGroup it outlives a child's failure: one viewer's command that fails
must not end the hub.
Invariant: at most `limit` run at once; after `aclose` none does.
"""

import asyncio
from collections.abc import Collection, Coroutine
from typing import Any

import structlog

from schema.errors import Unavailable

log = structlog.get_logger()


AGAIN_S = 1.0


async def end(tasks: Collection["asyncio.Task[None]"]) -> None:
    """Cancel them and wait until none runs: again and again, for a driver's own timeouts may swallow a cancellation."""
    running = set(tasks)
    while running:
        for task in running:
            task.cancel()
        _, running = await asyncio.wait(running, timeout=AGAIN_S)


class Tasks:
    """Starts coroutines and ends them with their owner; failures are logged."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._running: set[asyncio.Task[None]] = set()

    def start(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        """Run `work`. Raises Unavailable when too many run already."""
        if len(self._running) >= self._limit:
            work.close()
            raise Unavailable("Too much is going on at once", retry_after_ms=1000)
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._running.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("task_failed", task=task.get_name(), exc_info=error)

    async def aclose(self) -> None:
        """Cancel what still runs and wait for it."""
        while self._running:
            await end(self._running)
