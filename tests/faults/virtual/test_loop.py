"""Time that passes as fast as nothing happens in it."""

import asyncio
import time

import pytest
from faults.virtual.loop import PROCESS, run


def test_a_day_passes_at_once_and_in_order():
    woken = []

    async def sleeper(seconds):
        await asyncio.sleep(seconds)
        woken.append(seconds)

    async def main():
        loop = asyncio.get_running_loop()
        began = loop.time()
        async with asyncio.TaskGroup() as group:
            for seconds in (86_400, 1, 3_600):
                group.create_task(sleeper(seconds))
        return loop.time() - began

    before = time.monotonic()
    assert run(main()) == pytest.approx(86_400)
    assert woken == [1, 3_600, 86_400]
    assert time.monotonic() - before < 60


def test_a_deadline_holds_in_virtual_time():
    async def main():
        async with asyncio.timeout(5):
            await asyncio.sleep(6)

    with pytest.raises(TimeoutError):
        run(main())


def test_everybody_waiting_for_nothing_is_an_error():
    async def main():
        await asyncio.get_running_loop().create_future()

    with pytest.raises(RuntimeError, match="for nothing"):
        run(main())


def test_a_frozen_process_does_nothing_until_it_is_thawed_and_then_what_became_due_in_order():
    done = []

    async def work(name, seconds):
        await asyncio.sleep(seconds)
        done.append((name, asyncio.get_running_loop().time() - began))

    async def main():
        nonlocal began
        loop = asyncio.get_running_loop()
        began = loop.time()
        PROCESS.set("frozen")
        tasks = [loop.create_task(work("b", 2)), loop.create_task(work("a", 1))]
        gone = loop.create_task(work("never", 3))
        PROCESS.set(None)
        tasks.append(loop.create_task(work("other", 1.5)))
        await asyncio.sleep(0)  # so that they have begun
        loop.freeze("frozen")
        await asyncio.sleep(10)
        assert [name for name, _ in done] == ["other"]
        gone.cancel()
        loop.thaw("frozen")
        await asyncio.gather(*tasks)

    began = 0.0
    run(main())
    assert [(name, round(at, 1)) for name, at in done] == [("other", 1.5), ("a", 10), ("b", 10)]
