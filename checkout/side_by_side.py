"""Pieces of work side by side, each on its own.

Owns: nothing. Invariant: one piece's failure is not its neighbours'; all have ended when the call returns.
"""

import asyncio
from collections.abc import Awaitable, Iterable

import structlog

log = structlog.get_logger()


async def side_by_side(works: Iterable[Awaitable[None]]) -> None:
    """Run these side by side; each is bounded by the claim that brought it here."""
    async with asyncio.TaskGroup() as group:
        for work in works:
            group.create_task(_quietly(work))


async def _quietly(work: Awaitable[None]) -> None:
    try:
        await work
    except Exception as error:  # noqa: BLE001 - its lease brings it back
        log.warning("till_work_failed", error=repr(error)[:200])
