"""The tasks of a desk: none is lost, none outlives it."""

import asyncio

import pytest

from checkout.tasks import Tasks

DEADLINE_S = 30.0


async def test_the_failure_of_one_is_its_own():
    tasks, done = Tasks(), asyncio.Event()

    async def fail() -> None:
        raise ValueError("of its own")

    async def work() -> None:
        done.set()

    await tasks.spawn(fail())
    tasks.spawn(work())
    async with asyncio.timeout(DEADLINE_S):
        await done.wait()
    await tasks.abandon()


async def test_a_round_that_failed_is_done_again_and_a_wake_brings_it_forward():
    tasks, wake, rounds = Tasks(), asyncio.Event(), []
    both = asyncio.Event()

    async def act() -> None:
        wake.clear()
        rounds.append(len(rounds))
        if len(rounds) == 1:
            wake.set()
            raise ValueError("this time")
        both.set()

    tasks.repeat(3600.0, act, wake)
    async with asyncio.timeout(DEADLINE_S):
        await both.wait()
    await tasks.abandon()
    assert rounds == [0, 1]


async def test_what_was_begun_is_finished_and_nothing_new_is_taken():
    tasks, ended = Tasks(), []

    async def work() -> None:
        await asyncio.sleep(0)
        ended.append(True)

    tasks.spawn(work())
    await tasks.finish(DEADLINE_S)
    assert ended == [True]
    with pytest.raises(RuntimeError):
        tasks.spawn(work())


async def test_one_that_swallows_a_cancellation_ends_all_the_same():
    tasks, begun, cancels = Tasks(), asyncio.Event(), 0

    async def stubborn() -> None:
        nonlocal cancels
        begun.set()
        while cancels < 2:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                cancels += 1

    task = tasks.spawn(stubborn())
    async with asyncio.timeout(DEADLINE_S):
        await begun.wait()
        await tasks.abandon()
    assert (cancels, task.done()) == (2, True)
