import asyncio

import pytest

from realtime.tasks import Tasks
from schema.errors import Unavailable


async def test_tasks_are_bounded_and_end_with_their_owner():
    tasks = Tasks(limit=2)
    running = [tasks.start(asyncio.Event().wait(), "wait") for _ in range(2)]
    with pytest.raises(Unavailable):
        tasks.start(asyncio.Event().wait(), "one too many")
    await tasks.aclose()
    assert all(task.cancelled() for task in running)


async def test_one_that_fails_leaves_the_others_running():
    tasks = Tasks(limit=2)
    other = tasks.start(asyncio.Event().wait(), "other")

    async def fail() -> None:
        raise ValueError("on purpose")

    failing = tasks.start(fail(), "failing")
    await asyncio.wait([failing])
    assert not other.done()
    await tasks.aclose()
