"""What viewers were told, in Redis or in the process: one behaviour."""

import pytest

from live.marks import MemoryMarks, RedisMarks
from realtime.hub import Hub


@pytest.fixture
def hub():
    return Hub(None)


@pytest.fixture(params=["redis", "memory"])
def marks(request, redis, hub):
    return RedisMarks(redis) if request.param == "redis" else MemoryMarks(hub)


async def test_of_a_show_of_which_nothing_was_told_nothing_is_known(marks):
    assert await marks.told("demo") is None
    assert await marks.all_told(["demo", "other"]) == [None, None]


async def test_the_last_mark_of_each_show_stands(marks):
    await marks.mark("demo", 3)
    await marks.mark("demo", 4)
    await marks.mark("other", 1)
    assert await marks.told("demo") == 4
    assert await marks.all_told(["other", "new", "demo"]) == [1, None, 4]


async def test_without_redis_a_blank_show_has_no_mark_and_another_keeps_its_own(hub):
    marks = MemoryMarks(hub)
    await marks.mark("demo", 4)
    await marks.mark("other", 1)
    for listener in hub.on_blank:
        listener("demo")
    assert await marks.all_told(["demo", "other"]) == [None, 1]
