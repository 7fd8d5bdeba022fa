"""Time that passes as fast as nothing happens in it."""

import asyncio
import time

import pytest
from faults.virtual.loop import run


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
