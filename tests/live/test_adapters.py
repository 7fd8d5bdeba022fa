"""Crossings of zero, the gate of media, and who is host."""

import asyncio

import pytest

from live.adapters import Gate, HostBoard, StockTeller
from live.auth import Tokens
from live.cuts import Cuts
from live.limits import Limiter
from schema.errors import Banned, Forbidden, NotFound, RateLimited, Unauthenticated, Unavailable, VideoStopped
from schema.people import Principal, Role
from schema.show import Stock
from schema.wire import BackInStock, SoldOut

SECRET = "a secret of the tests, long enough for HS256"


class Ear:
    """Hears what the hub would be told; can go deaf."""

    def __init__(self):
        self.told, self.states, self.deaf, self.heard = [], {}, False, asyncio.Event()

    def set_state(self, _show, key, value):
        self.states[key] = value

    async def publish(self, _show, event, **_):
        self.heard.set()
        if self.deaf:
            raise Unavailable
        self.told.append(event)


def units(available):
    return Stock(on_hand=available, held=0, sold=0, available=available)


@pytest.fixture
async def ear():
    return Ear()


@pytest.fixture
async def teller(ear):
    teller = StockTeller(ear)
    task = asyncio.create_task(teller.run())
    yield teller
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def after(ear, count):
    async with asyncio.timeout(10):
        while len(ear.told) < count:
            ear.heard.clear()
            await ear.heard.wait()
    return ear.told


async def test_the_last_unit_and_the_next_first_are_told_and_nothing_between(ear, teller):
    for available in (3, 2, 1):
        teller.stock_changed("demo", "red", units(available))
    teller.stock_changed("demo", "red", units(0))
    assert await after(ear, 1) == [SoldOut(variant_id="red")]
    teller.stock_changed("demo", "red", units(0))
    teller.stock_changed("demo", "red", units(4))
    assert (await after(ear, 2))[1:] == [BackInStock(variant_id="red", available=4)]
    teller.stock_changed("demo", "red", units(5))
    assert len(ear.told) == 2
    assert ear.states["stock.red"].available == 5


async def test_a_unit_that_comes_back_within_the_moment_makes_no_noise(ear, teller):
    for available in (1, 0, 1):
        teller.stock_changed("demo", "red", units(available))
    teller.stock_changed("demo", "blue", units(1))
    teller.stock_changed("demo", "blue", units(0))
    assert await after(ear, 1) == [SoldOut(variant_id="blue")]


async def test_what_was_sold_out_before_is_not_told_as_news(ear, teller):
    teller.seed("demo", "red", units(0))
    teller.stock_changed("demo", "red", units(0))
    teller.stock_changed("demo", "red", units(2))
    assert await after(ear, 1) == [BackInStock(variant_id="red", available=2)]


async def test_a_crossing_that_could_not_be_told_is_told_later_as_it_is_then(ear, teller, monkeypatch):
    monkeypatch.setattr("live.adapters.RETRY_S", 0.01)
    teller.stock_changed("demo", "red", units(1))
    ear.deaf = True
    teller.stock_changed("demo", "red", units(0))
    await ear.heard.wait()
    ear.deaf = False
    assert await after(ear, 1) == [SoldOut(variant_id="red")]


async def test_a_host_is_present_from_the_first_packet_to_the_last(ear):
    board = HostBoard(ear)
    assert not board.host_present("demo")
    board.host_changed("demo", True)
    assert board.host_present("demo")
    assert ear.states == {"host": True}
    board.host_changed("demo", False)
    board.host_changed("demo", False)
    assert not board.host_present("demo")


class Shows:
    """Knows one show."""

    async def exists(self, show):
        return show == "demo"


@pytest.fixture
def tokens():
    return Tokens(SECRET)


class Room:
    """Has banned the moderator."""

    async def admit(self, principal, show_id):
        if principal.account_id == "acct_moderator":
            raise Banned


@pytest.fixture
def cuts(pg):
    return Cuts(pg)


@pytest.fixture
def gate(tokens, redis, cuts):
    return Gate(tokens, Shows(), Limiter(redis), Room(), cuts)


def token(tokens, role, show=None):
    return tokens.issue(Principal(account_id=f"acct_{role}", role=role, name="N", show_id=show))


async def test_a_host_publishes_and_a_viewer_does_not(gate, tokens):
    assert (await gate.publisher(token(tokens, Role.HOST, "demo"), "demo")).role is Role.HOST
    assert (await gate.publisher(token(tokens, Role.OPERATOR), "demo")).role is Role.OPERATOR
    with pytest.raises(Forbidden):
        await gate.publisher(token(tokens, Role.VIEWER, "demo"), "demo")


@pytest.mark.parametrize("given", [None, "", "nonsense"])
async def test_nobody_comes_in_without_a_token(gate, given):
    with pytest.raises(Unauthenticated):
        await gate.publisher(given, "demo")
    with pytest.raises(Unauthenticated):
        await gate.subscriber(given, "demo", joining=True)


async def test_a_token_for_another_show_is_refused_and_a_show_must_exist(gate, tokens):
    with pytest.raises(Forbidden):
        await gate.subscriber(token(tokens, Role.VIEWER, "other"), "demo", joining=False)
    with pytest.raises(NotFound):
        await gate.publisher(token(tokens, Role.OPERATOR), "nowhere")


async def test_joins_are_limited_and_the_verbs_on_a_session_are_not(gate, tokens, redis, cuts):
    viewer = token(tokens, Role.VIEWER, "demo")
    for _ in range(6):
        await gate.subscriber(viewer, "demo", joining=True)
    with pytest.raises(RateLimited):
        await gate.subscriber(viewer, "demo", joining=True)
    await gate.subscriber(viewer, "demo", joining=False)
    lifted = Gate(tokens, Shows(), Limiter(redis, load=True), Room(), cuts)
    await lifted.subscriber(viewer, "demo", joining=True)


async def test_a_stopped_video_lets_nobody_join_and_costs_none_of_the_joins(gate, tokens, cuts):
    viewer = token(tokens, Role.VIEWER, "demo")
    cuts.set_video("demo", open=False, reason="A wrong picture")
    for _ in range(7):
        with pytest.raises(VideoStopped, match="A wrong picture"):
            await gate.subscriber(viewer, "demo", joining=True)
    await gate.subscriber(viewer, "demo", joining=False)
    cuts.set_video("demo", open=True, reason="")
    await gate.subscriber(viewer, "demo", joining=True)


async def test_who_is_banned_does_not_join_and_may_still_end_what_runs(gate, tokens):
    banned = token(tokens, Role.MODERATOR)
    with pytest.raises(Banned):
        await gate.subscriber(banned, "demo", joining=True)
    await gate.subscriber(banned, "demo", joining=False)
