"""Batches: bounds, order, errors."""

import asyncio

import pytest

from checkout.batcher import AT_ONCE, TRAILING, Batcher
from schema.errors import SoldOutError, Unavailable


async def turns_until(check) -> None:
    """Let the loop turn until `check` holds."""
    async with asyncio.timeout(10):
        while not check():
            await asyncio.sleep(0)


@pytest.fixture
async def spawn():
    async with asyncio.TaskGroup() as group:
        yield group.create_task


async def test_the_requests_of_one_turn_go_together_in_order(spawn):
    seen = []

    async def send(items):
        seen.append(items)
        return [item * 10 for item in items]

    batcher = Batcher(send, spawn=spawn)
    assert await asyncio.gather(*(batcher.put(i) for i in range(5))) == [0, 10, 20, 30, 40]
    assert seen == [[0, 1, 2, 3, 4]]


async def test_no_batch_is_too_large_and_no_more_are_away_than_allowed(spawn):
    away, most_away, sizes = 0, 0, []

    async def send(items):
        nonlocal away, most_away
        away += 1
        most_away = max(most_away, away)
        sizes.append(len(items))
        await asyncio.sleep(0)
        away -= 1
        return items

    batcher = Batcher(send, spawn=spawn, most=7, in_flight=2)
    assert await asyncio.gather(*(batcher.put(i) for i in range(50))) == list(range(50))
    assert max(sizes) == 7
    assert most_away == 2


async def test_a_full_queue_refuses(spawn):
    go = asyncio.Event()

    async def send(items):
        await go.wait()
        return items

    batcher = Batcher(send, spawn=spawn, most=1, room=3)
    first = batcher.put(0)
    await turns_until(lambda: batcher._away)
    waiting = [batcher.put(i) for i in range(1, 4)]
    await asyncio.sleep(0)
    with pytest.raises(Unavailable):
        await batcher.put(4)
    go.set()
    assert await asyncio.gather(first, *waiting) == [0, 1, 2, 3]


async def test_an_error_is_every_items_and_the_next_batch_goes_on(spawn):
    failing = [True]

    async def send(items):
        if failing.pop() if failing else False:
            raise SoldOutError
        return items

    batcher = Batcher(send, spawn=spawn)
    assert [type(e) for e in await asyncio.gather(batcher.put(1), batcher.put(2), return_exceptions=True)] == [
        SoldOutError,
        SoldOutError,
    ]
    assert await batcher.put(3) == 3


async def test_a_request_given_up_does_not_hurt_its_neighbours(spawn):
    go = asyncio.Event()

    async def send(items):
        await go.wait()
        return items

    batcher = Batcher(send, spawn=spawn)
    gone, stays = batcher.put(1), batcher.put(2)
    await turns_until(lambda: batcher._away)
    gone.cancel()
    go.set()
    assert await stays == 2


async def test_what_follows_a_batch_keeps_neither_its_answer_nor_the_next_waiting(spawn):
    go, followed = asyncio.Event(), []

    async def send(items):
        return items

    async def after(items, _):
        await go.wait()
        followed.append(items)

    batcher = Batcher(send, spawn=spawn, after=after)
    assert await batcher.put(1) == 1
    assert await batcher.put(2) == 2
    assert followed == []
    go.set()
    await turns_until(lambda: len(followed) == 2)
    await turns_until(lambda: not batcher._away and not batcher._trailing)


async def test_while_too_much_follows_the_next_batch_waits(spawn):
    go, asked, followed = asyncio.Event(), [], []

    async def send(items):
        asked.append(items)
        return items

    async def after(items, _):
        await go.wait()
        followed.append(items)

    batcher = Batcher(send, spawn=spawn, most=1, after=after)
    said = [batcher.put(item) for item in range(TRAILING + 2)]
    await asyncio.gather(*said[:TRAILING])
    for _ in range(20):
        await asyncio.sleep(0)
    asked_before = len(asked)
    go.set()
    await asyncio.gather(*said)
    await turns_until(lambda: len(followed) == TRAILING + 2)
    assert asked_before == TRAILING


async def test_the_next_batch_is_away_before_the_answers_of_one_are_said(spawn):
    seen = []

    async def send(items):
        seen.append(f"asked {items}")
        await asyncio.sleep(0)
        return items

    batcher = Batcher(send, spawn=spawn, most=2)
    for item in range(4):
        batcher.put(item).add_done_callback(lambda said: seen.append(f"said {said.result()}"))
    await turns_until(lambda: len(seen) == 6)
    assert seen == ["asked [0, 1]", "asked [2, 3]", "said 0", "said 1", "said 2", "said 3"]


async def test_the_answers_of_a_large_batch_leave_the_loop_free_between_them(spawn):
    heard, turns = [], []

    async def send(items):
        return items

    batcher = Batcher(send, spawn=spawn)
    for item in range(3 * AT_ONCE):
        batcher.put(item).add_done_callback(heard.append)
    while len(heard) < 3 * AT_ONCE:
        await asyncio.sleep(0)
        turns.append(len(heard))
    assert {AT_ONCE, 2 * AT_ONCE} <= set(turns)
    assert [said.result() for said in heard] == list(range(3 * AT_ONCE))


async def test_a_task_that_dies_between_answers_leaves_none_open():
    tasks = []

    def spawn(work):
        tasks.append(asyncio.create_task(work))
        return tasks[-1]

    async def send(items):
        return items

    batcher = Batcher(send, spawn=spawn)
    asked = [batcher.put(item) for item in range(2 * AT_ONCE)]
    await turns_until(asked[0].done)
    tasks[0].cancel()
    said = await asyncio.gather(*asked, return_exceptions=True)
    assert said[:AT_ONCE] == list(range(AT_ONCE))
    assert {type(each) for each in said[AT_ONCE:]} == {Unavailable}


async def test_what_a_line_cannot_answer_goes_to_the_next_one(spawn):
    async def odd(items):
        return [item if item % 2 else None for item in items]

    async def tens(items):
        return [item * 10 for item in items]

    onward = Batcher(tens, spawn=spawn)
    batcher = Batcher(odd, spawn=spawn, onward=onward)
    assert await asyncio.gather(*(batcher.put(i) for i in range(5))) == [0, 1, 20, 3, 40]


async def test_what_the_next_line_has_no_room_for_is_refused(spawn):
    async def nothing(items):
        return [None for _ in items]

    batcher = Batcher(nothing, spawn=spawn, onward=Batcher(nothing, spawn=spawn, room=0))
    with pytest.raises(Unavailable):
        await batcher.put(1)


async def test_a_closed_owner_refuses():
    async def send(items):
        return items

    def closed(work):
        work.close()
        raise RuntimeError

    with pytest.raises(Unavailable):
        await Batcher(send, spawn=closed).put(1)


async def test_a_task_that_dies_answers_unavailable():
    tasks = []

    def spawn(work):
        tasks.append(asyncio.create_task(work))
        return tasks[-1]

    async def send(items):
        await asyncio.Event().wait()

    batcher = Batcher(send, spawn=spawn)
    asked = batcher.put(1)
    await turns_until(lambda: tasks)
    tasks[0].cancel()
    with pytest.raises(Unavailable):
        await asked
