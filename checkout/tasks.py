"""The tasks of one desk: work that ends by itself, and rounds that are done for ever.

Owns: every task that the desk starts.
Invariant: none outlives the desk, and the failure of one is its own.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Coroutine
from typing import Any

import structlog

log = structlog.get_logger()

CANCEL_S = 0.5
CANCELS_MOST = 10


class Tasks:
    """Starts them, and ends them all."""

    def __init__(self) -> None:
        self._works: set[asyncio.Task[None]] = set()
        self._rounds: list[asyncio.Task[None]] = []
        self._closing = False

    def spawn(self, work: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
        """Work that ends by itself. RuntimeError once the desk is closing: `work` was not begun."""
        if self._closing:
            work.close()
            raise RuntimeError("the desk is closed")
        task = asyncio.create_task(_guarded(work))
        self._works.add(task)
        task.add_done_callback(self._works.discard)
        return task

    def keep(self, endless: Coroutine[Any, Any, None]) -> None:
        """Work that ends with the desk."""
        self._rounds.append(asyncio.create_task(endless))

    def repeat(self, seconds: float, act: Callable[[], Awaitable[None]], wake: asyncio.Event | None = None) -> None:
        """Do `act` for ever, every so often or when woken; a failure waits for the next time."""
        self.keep(_every(seconds, act, wake))

    async def finish(self, seconds: float) -> None:
        """Take nothing new, and wait so long for what has been begun."""
        self._closing = True
        if self._works:
            await asyncio.wait(self._works, timeout=seconds)

    async def abandon(self) -> None:
        """End all of it now."""
        self._closing = True
        await _end([*self._rounds, *self._works])


async def _end(tasks: Collection["asyncio.Task[None]"]) -> None:
    """Cancel, and again: a cancellation that meets a connection in the middle of its own timeout can be swallowed."""
    for _ in range(CANCELS_MOST):
        for task in tasks:
            task.cancel()
        if not tasks:
            return
        _, tasks = await asyncio.wait(tasks, timeout=CANCEL_S)
    log.error("desk_tasks_left", count=len(tasks))


async def _guarded(work: Coroutine[Any, Any, None]) -> None:
    try:
        await work
    except Exception as error:  # noqa: BLE001 - one batch's failure must not take the desk with it
        log.error("desk_work_failed", error=repr(error)[:300])


async def _every(seconds: float, act: Callable[[], Awaitable[None]], wake: asyncio.Event | None) -> None:
    while True:
        try:
            await act()
        except Exception as error:  # noqa: BLE001 - the keeper of the desk never dies of one round
            log.warning("desk_round_failed", what=getattr(act, "__name__", ""), error=repr(error)[:300])
        if wake is None:
            await asyncio.sleep(seconds)
            continue
        try:
            async with asyncio.timeout(seconds):
                await wake.wait()
        except TimeoutError:
            pass
