"""The whole service on a cluster of three servers, without a word of it in the settings."""

import asyncio
from contextlib import AsyncExitStack

import pytest
from redis.asyncio import Redis, RedisCluster
from redis.exceptions import ConnectionError, NoPermissionError  # noqa: A004 - redis-py's own
from valkeys import own_cluster

from live.redis_clients import is_cluster, open_redis
from schema.people import Role


@pytest.fixture(scope="module")
async def cluster():
    async with own_cluster() as made:
        yield made


@pytest.fixture
async def on_cluster(settings, cluster, database_url, run_app):
    async with run_app(settings, cluster.url, database_url) as client:
        yield client


async def test_three_shows_on_three_servers_sell_talk_and_let_people_in(on_cluster, cluster):
    client = on_cluster
    assert isinstance(client.services["hub"]._broker._cluster, RedisCluster)
    owners = set()
    for number in range(6):
        show, pot = f"show{number}", f"pot{number}"
        owners.add((await cluster.owner(f"sf:{{{show}}}:hub")).port)
        await opened(client, show, pot)
        await visited(client, show, pot)
    assert len(owners) == 3
    assert (await client.ask("GET", "/readyz")).status_code == 200


async def opened(client, show, pot):
    """A live show that sells two pots."""
    base = f"/api/v1/shows/{show}"
    asked = {"title": "Kitchen", "starts_at_ms": 1000, "show_id": show}
    assert (await client.ask("POST", "/api/v1/shows", asked, Role.OPERATOR)).status_code == 201
    variants = [{"option": "red", "price_amount": 4900, "variant_id": pot}]
    product = {"title": "Pot", "product_id": f"p-{show}", "variants": variants}
    assert (await client.ask("POST", "/api/v1/products", product, Role.OPERATOR)).status_code == 201
    item = {"variant_id": pot, "opening_stock": 2, "limit_per_buyer": 3}
    assert (await client.ask("POST", f"{base}/items", item, Role.OPERATOR)).status_code == 201
    assert (await client.ask("PUT", f"{base}/state", {"state": "live"}, Role.HOST)).status_code == 200


async def visited(client, show, pot):
    """Somebody comes in, hears of a pin, talks and buys all there is."""
    base = f"/api/v1/shows/{show}"
    guest = (await client.ask("POST", f"{base}/guests")).json()
    client.tokens[Role.VIEWER] = guest["viewer_token"]
    (holder,) = await client.services["tickets"].redeem(show, [guest["ticket"]])
    assert holder.show_id == show
    assert (await client.ask("POST", f"{base}/pins", {"variant_id": pot}, Role.HOST)).status_code == 201
    assert (await client.ask("POST", f"{base}/chat", {"text": "hello"}, Role.VIEWER)).status_code == 202
    taps = [
        await client.ask(
            "POST", f"{base}/holds", {"variant_id": pot, "quantity": 1}, Role.VIEWER, Idempotency_Key=f"{show}{number}"
        )
        for number in range(3)
    ]
    assert [tap.status_code for tap in taps] == [201, 201, 409], taps[-1].text
    assert taps[-1].json()["code"] == "sold_out"
    room = await client.services["hub"].open(show)
    async with asyncio.timeout(20):
        while room.channel.state(f"stock.{pot}") is None or room.channel.received < 2:
            await asyncio.sleep(0.02)


async def test_a_single_server_is_taken_for_one(stores):
    async with AsyncExitStack() as stack:
        assert isinstance(await open_redis(stack, stores.redis_url), Redis)


async def test_one_that_may_not_say_is_taken_for_a_single_one_and_one_that_is_away_for_neither(redis, monkeypatch):
    async def forbidden(*_):
        raise NoPermissionError("this user has no permissions to run the 'info' command")

    with monkeypatch.context() as acl:
        acl.setattr(redis, "info", forbidden)
        assert not await is_cluster(redis)
    async with Redis.from_url("redis://127.0.0.1:1") as nobody:
        with pytest.raises(ConnectionError):
            await is_cluster(nobody)
