"""Whatever viewers were not told is told again: after an outage in the middle of a write, and on an empty Redis."""

import asyncio
import json

import pytest

from live.adapters import HubAnnouncer
from realtime.hub import Hub
from schema.errors import Unavailable
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
        assert await announcer.told("demo") == version, path


async def test_a_version_is_not_marked_over_one_that_is_missing(shop):
    announcer: HubAnnouncer = shop.services["announcer"]
    told = await announcer.told("demo")
    await announcer.announce("demo", told + 2)
    assert await announcer.told("demo") == told
