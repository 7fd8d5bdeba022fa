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


async def test_one_that_swallows_its_cancellation_is_cancelled_again(monkeypatch):
    monkeypatch.setattr("realtime.tasks.AGAIN_S", 0.01)
    tasks = Tasks(limit=1)

    async def deaf_once() -> None:
        for _ in range(2):
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                heard.append(True)

    heard: list[bool] = []
    running = tasks.start(deaf_once(), "deaf")
    await asyncio.sleep(0)
    async with asyncio.timeout(10):
        await tasks.aclose()
    assert (running.done(), heard) == (True, [True, True])
