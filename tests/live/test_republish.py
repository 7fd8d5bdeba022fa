"""Whatever viewers were not told is told again: after an outage in the middle of a write, and on an empty Redis."""

import asyncio
import json

import msgspec
import pytest

from live.adapters import HubAnnouncer
from live.catalog import ITEMS_MAX
from live.core.pinboard import PINS_MAX
from live.marks import MemoryMarks
from live.republish import REST_MAX_S, Republisher
from realtime.broker_redis import KEPT_MAX
from realtime.hub import Hub
from schema.errors import Conflict, Unavailable
from schema.people import Role

SHOW = "/api/v1/shows/demo"


async def seen(client):
    """The events and the state that somebody who comes now gets."""
    hub: Hub = client.services["hub"]
    broker = hub._broker
    loaded = await broker.load("demo", "", 0)
    kept = sorted(json.loads(data)["t"] + "." + json.loads(data)["variant_id"] for _, data in loaded.kept.values())
    return kept, {key: json.loads(value) for key, value in loaded.state.items()}


@pytest.fixture
def republisher(shop):
    return shop.services["republisher"]


async def test_a_pin_that_was_stored_and_never_told_is_told(shop, republisher, monkeypatch):
    await shop.ask("POST", f"{SHOW}/pins", {"variant_id": "blue"}, Role.HOST)

    async def away(*_args, **_named):
        raise Unavailable

    with monkeypatch.context() as outage:
        outage.setattr(Hub, "publish", away)
        pinned = await shop.ask("POST", f"{SHOW}/pins", {"variant_id": "red"}, Role.HOST)
        assert pinned.status_code == 201
        assert (await shop.ask("DELETE", f"{SHOW}/pins/blue", role=Role.HOST)).status_code == 204
    assert (await seen(shop))[0] == ["pin.blue"]
    await republisher.compare()
    assert (await seen(shop))[0] == ["pin.red", "price.blue", "price.red"]


async def test_an_empty_redis_is_filled_again(shop, republisher, redis):
    await shop.ask("POST", f"{SHOW}/pins", {"variant_id": "red"}, Role.HOST)
    await shop.ask("PUT", f"{SHOW}/sales", {"open": False}, Role.OPERATOR)
    await redis.flushdb()
    assert await seen(shop) == ([], {})
    await republisher.compare()
    async with asyncio.timeout(10):
        while not {"stock.red", "host", "show"} <= (await seen(shop))[1].keys():
            await redis.ping()  # a turn of the loop, and of the server
    kept, state = await seen(shop)
    assert kept == ["pin.red", "price.blue", "price.red"]
    assert (state["show"], state["sales"], state["host"]) == ("live", False, False)
    assert state["stock.red"]["available"] == 12


async def test_what_was_told_is_not_told_twice(shop, republisher, monkeypatch):
    await shop.ask("POST", f"{SHOW}/pins", {"variant_id": "red"}, Role.HOST)

    async def forbidden(*_args, **_named):
        raise AssertionError("told again")

    monkeypatch.setattr(HubAnnouncer, "republish", forbidden)
    await republisher.compare()


async def test_every_kind_of_write_marks_its_version_as_told(shop):
    announcer: HubAnnouncer = shop.services["announcer"]
    for method, path, body, role in (
        ("POST", f"{SHOW}/pins", {"variant_id": "red"}, Role.HOST),
        ("DELETE", f"{SHOW}/pins/red", None, Role.HOST),
        ("PUT", f"{SHOW}/items/red/price", {"price_amount": 1}, Role.HOST),
        ("PUT", f"{SHOW}/chat-settings", {"slow_mode_ms": 5}, Role.HOST),
        ("PUT", f"{SHOW}/sales", {"open": False}, Role.OPERATOR),
        ("PUT", f"{SHOW}/state", {"state": "paused"}, Role.HOST),
    ):
        await shop.ask(method, path, body, role)
        version = (await shop.ask("GET", SHOW)).json()["version"]
        assert await announcer.marks.told("demo") == version, path


async def test_a_version_is_not_marked_over_one_that_is_missing(shop):
    announcer: HubAnnouncer = shop.services["announcer"]
    told = await announcer.marks.told("demo")
    await announcer.announce("demo", told + 2)
    assert await announcer.marks.told("demo") == told


async def open_other(shop):
    asked = {"title": "Other", "starts_at_ms": 1, "show_id": "other"}
    assert (await shop.ask("POST", "/api/v1/shows", asked, Role.OPERATOR)).status_code == 201


async def two_shows_untold(shop, redis):
    """`demo` and `other`, of whose writes Redis knows nothing."""
    await open_other(shop)
    await redis.delete("sf:{demo}:told", "sf:{other}:told")


async def test_a_show_that_cannot_be_told_keeps_no_other_waiting(shop, republisher, redis, monkeypatch):
    await two_shows_untold(shop, redis)
    announcer: HubAnnouncer = shop.services["announcer"]
    tell, tried = HubAnnouncer.republish, []

    async def refuse_first(self, show, version, events):
        tried.append(show)
        if show == tried[0]:
            raise Conflict("too much is kept")
        await tell(self, show, version, events)

    monkeypatch.setattr(HubAnnouncer, "republish", refuse_first)
    await republisher.compare()
    broken, (whole,) = tried[0], {"demo", "other"} - {tried[0]}
    assert await announcer.marks.told(whole) is not None
    assert await announcer.marks.told(broken) is None


async def test_a_show_that_cannot_be_told_is_asked_for_ever_more_rarely(shop, republisher, redis, monkeypatch):
    await redis.delete("sf:{demo}:told")
    now_s, tried = [1000.0], []

    async def refuse(_self, _show, _version, _events):
        tried.append(now_s[0])
        raise Conflict("too much is kept")

    with monkeypatch.context() as broken:
        broken.setattr(HubAnnouncer, "republish", refuse)
        broken.setattr("live.republish.time.monotonic", lambda: now_s[0])
        for _ in range(100):
            await republisher.compare()
            now_s[0] += 2.0
        assert [at - 1000 for at in tried] == [0, 2, 6, 14, 30, 62, 122, 182]
        broken.undo()
        broken.setattr("live.republish.time.monotonic", lambda: now_s[0] + REST_MAX_S)
        await republisher.compare()
    assert await shop.services["announcer"].marks.told("demo") is not None
    assert republisher._resting == {}


async def test_at_the_start_too_one_show_that_fails_keeps_no_other_waiting(shop, republisher, monkeypatch):
    await open_other(shop)
    told, tell = [], Republisher._tell_state

    async def refuse_first(self, show):
        told.append(show)
        if show == told[0]:
            raise Unavailable
        await tell(self, show)

    republisher._owed_state = None
    monkeypatch.setattr(Republisher, "_tell_state", refuse_first)
    await republisher.look()
    assert sorted(told) == ["demo", "other"]
    assert republisher._owed_state == {told[0]}


async def test_what_is_stored_is_never_refused_because_it_could_not_be_told(shop, monkeypatch):
    async def full(*_args, **_named):
        raise Conflict("A show retains at most so many publications")

    monkeypatch.setattr(Hub, "publish", full)
    answer = await shop.ask("PUT", f"{SHOW}/items/red/price", {"price_amount": 5}, Role.HOST)
    assert (answer.status_code, answer.json()["price"]["amount"]) == (200, 5)


async def test_a_show_takes_no_more_items_than_realtime_can_keep(shop, monkeypatch):
    assert ITEMS_MAX + PINS_MAX < KEPT_MAX
    monkeypatch.setattr("live.catalog.ITEMS_MAX", 2)
    product = {"title": "Lid", "product_id": "lid", "variants": [{"price_amount": 100, "variant_id": "lid"}]}
    assert (await shop.ask("POST", "/api/v1/products", product, Role.OPERATOR)).status_code == 201
    before = (await shop.ask("GET", SHOW)).json()
    refused = await shop.ask("POST", f"{SHOW}/items", {"variant_id": "lid", "opening_stock": 1}, Role.OPERATOR)
    assert (refused.status_code, refused.json()["code"], refused.json()["limit"]) == (409, "conflict", 2)
    assert (await shop.ask("GET", SHOW)).json() == before
    again = await shop.ask("POST", f"{SHOW}/items", {"variant_id": "red", "opening_stock": 1}, Role.OPERATOR)
    assert "restock" in again.json()["detail"]  # what is on sale already is told so, not that the show is full


# -- a broker in memory -----------------------------------------------------------------------------------------


async def test_with_a_broker_in_memory_what_was_pinned_is_there_again_after_a_restart(
    settings, redis_url, redis, database_url, run_app, fill
):
    alone = msgspec.structs.replace(settings, broker="memory")
    async with run_app(alone, redis_url, database_url) as shop:
        await fill(shop, "demo", {"red": 12, "blue": 8})
        await shop.ask("POST", f"{SHOW}/pins", {"variant_id": "red"}, Role.HOST)
        assert (await seen(shop))[0] == ["pin.red"]
    assert not await redis.keys("sf:{demo}:hub")
    assert not await redis.keys("sf:{demo}:told")
    async with run_app(alone, redis_url, database_url) as shop:
        assert (await shop.ask("GET", "/readyz")).status_code == 200
        assert (await seen(shop))[0] == ["pin.red", "price.blue", "price.red"]


async def test_versions_told_that_outlive_the_broker_leave_it_empty(
    settings, redis_url, redis, database_url, run_app, fill
):
    """The negative control: were they kept in Redis, nobody would tell anything again."""
    alone = msgspec.structs.replace(settings, broker="memory")
    async with run_app(settings, redis_url, database_url) as shop:
        await fill(shop, "demo", {"red": 12})
        await shop.ask("POST", f"{SHOW}/pins", {"variant_id": "red"}, Role.HOST)
        version = await shop.services["announcer"].marks.told("demo")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(MemoryMarks, "all_told", lambda *_: _as_told(version))
        async with run_app(alone, redis_url, database_url) as shop:
            assert (await shop.ask("GET", "/readyz")).status_code == 200
            assert (await seen(shop))[0] == []


async def _as_told(version):
    return [version]
