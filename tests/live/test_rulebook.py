"""Chat's rules that are fresh enough, and what becomes of them when the store is away."""

import pytest

from live.rulebook import FRESH_S, STALE_S, UNKNOWN, Rulebook
from schema.errors import NotFound
from schema.people import Role

ROW = {
    "slow_mode_ms": 5,
    "chat_open": True,
    "links_from": "host",
    "languages": [],
    "blocked": ["x"],
    "allowed": [],
    "titles": ["Pot"],
}


class Pool:
    """A store that can go away; each reading of rules counts."""

    def __init__(self):
        self.row, self.sanctions, self.reads, self.failure = ROW, [], 0, None

    def acquire(self):
        return self

    async def __aenter__(self):
        if self.failure:
            raise self.failure
        return self

    async def __aexit__(self, *_):
        return None

    async def fetchrow(self, _statement, _show):
        self.reads += 1
        return self.row

    async def fetch(self, _statement, _show, _now_ms, _most):
        return self.sanctions


@pytest.fixture
def pool():
    return Pool()


@pytest.fixture
def clock():
    return [0.0]


@pytest.fixture
def book(pool, clock):
    return Rulebook(pool, None, lambda: clock[0])


async def test_a_crowd_costs_two_queries_each_half_second(book, pool, clock):
    for _ in range(100):
        rules = await book.rules("demo")
    assert (rules.slow_mode_ms, rules.links_from, rules.blocked, rules.allowed) == (5, Role.HOST, ("x",), ("Pot",))
    assert pool.reads == 1
    clock[0] += FRESH_S
    await book.rules("demo")
    assert pool.reads == 2


async def test_what_was_changed_here_holds_at_once(book, pool):
    await book.rules("demo")
    pool.sanctions = [{"account_id": "ann", "kind": "mute", "until_ms": None}]
    assert (await book.rules("demo")).sanctions == {}
    book.changed("demo")
    assert list((await book.rules("demo")).sanctions) == ["ann"]


async def test_while_the_store_is_away_what_was_known_holds_on_and_then_the_usual(book, pool, clock):
    known = await book.rules("demo")
    pool.failure = ConnectionRefusedError()
    clock[0] += STALE_S
    assert await book.rules("demo") == known
    clock[0] += 1
    assert await book.rules("demo") == UNKNOWN
    assert await book.rules("never asked for") == UNKNOWN


async def test_a_show_that_does_not_exist_is_no_usual_one(book, pool):
    pool.row = None
    with pytest.raises(NotFound):
        await book.rules("demo")
