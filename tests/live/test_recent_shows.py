"""Rows that are fresh enough, and what becomes of them when the store is away."""

import pytest

from live.recent_shows import FRESH_S, ROWS_MAX, STALE_S, RecentShows
from live.shows import ShowRow
from schema.errors import NotFound
from schema.show import ShowState


class Store:
    """A store that can go away, and a clock that is moved by hand."""

    def __init__(self):
        self.now, self.reads, self.failure, self.slow_mode_ms = 0.0, 0, None, 0

    async def read(self, show):
        self.reads += 1
        if self.failure is not None:
            raise self.failure
        return ShowRow(
            show_id=show, title="T", description="", state=ShowState.LIVE, starts_at_ms=1, currency="EUR",
            slow_mode_ms=self.slow_mode_ms, sales_open=True, version=1,
        )  # fmt: skip

    def clock(self):
        return self.now


@pytest.fixture
def store():
    return Store()


@pytest.fixture
def recent(store):
    return RecentShows(store.read, store.clock)


async def test_a_crowd_costs_one_query_a_second(recent, store):
    for _ in range(100):
        await recent.row("demo")
    assert store.reads == 1
    store.now += FRESH_S
    store.slow_mode_ms = 5000
    assert (await recent.row("demo")).slow_mode_ms == 5000
    assert store.reads == 2


async def test_while_the_store_is_away_what_was_known_goes_on_for_a_while(recent, store):
    await recent.row("demo")
    store.failure = ConnectionRefusedError()
    store.now += STALE_S
    assert await recent.exists("demo")
    store.now += 1
    with pytest.raises(ConnectionRefusedError):
        await recent.row("demo")


async def test_what_was_never_known_is_not_made_up(recent, store):
    store.failure = ConnectionRefusedError()
    with pytest.raises(ConnectionRefusedError):
        await recent.exists("demo")


async def test_a_show_that_is_not_there_is_asked_for_each_time(recent, store):
    store.failure = NotFound()
    assert not await recent.exists("demo")
    store.failure = None
    assert await recent.exists("demo")
    store.now += FRESH_S
    store.failure = NotFound()
    assert not await recent.exists("demo")
    assert recent.known() == []


async def test_no_more_rows_than_the_bound(recent):
    for number in range(ROWS_MAX + 5):
        await recent.row(f"show{number}")
    assert len(recent.known()) == ROWS_MAX
    assert "show0" not in recent.known()
