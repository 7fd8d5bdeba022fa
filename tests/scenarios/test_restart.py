"""The demo's host and crowd, and a server that is killed under them and comes back."""

import asyncio

import msgspec
import pytest
from websockets.asyncio.client import connect

from live.demo import child
from live.demo.publisher import PublisherOrders
from live.demo.viewers import ViewersOrders

SHOW, VARIANT, VIEWERS = "restart", "pot", 5
WAIT_S = 60


@pytest.mark.timeout(180)
async def test_host_and_crowd_come_back_by_themselves_after_kill_9_of_the_server(service):
    await service.start()
    host, _ = await service.sell(SHOW, VARIANT, stock=10)
    guests = await service.guests(SHOW, VIEWERS)
    camera = PublisherOrders(base_url=service.base_url, show=SHOW, token=host)
    crowd = ViewersOrders(
        base_url=service.base_url, show=SHOW, seed=7, tokens=[guest["viewer_token"] for guest in guests]
    )
    async with (
        child.running("live.demo.publisher", camera) as publisher,
        child.running("live.demo.viewers", crowd) as viewers,
    ):
        await until_there(service)
        service.kill()
        await service.start()
        await until_there(service)
        assert (publisher.returncode, viewers.returncode) == (None, None)
    assert (publisher.returncode, viewers.returncode) == (0, 0)  # their input ended, and so did they


async def until_there(service):
    """Return once video arrives and all of the crowd is seen; besides it, this asks with a socket of its own."""
    (guest,) = await service.guests(SHOW, 1)
    where = f"ws://127.0.0.1:{service.port}/ws/{SHOW}?ticket={guest['ticket']}"
    state = {}
    async with asyncio.timeout(WAIT_S), connect(where, subprotocols=["showfloor.v1+json"], compression=None) as socket:
        while not state.get("host") or state.get("viewers") != VIEWERS + 1:
            state |= msgspec.json.decode(await socket.recv()).get("st", {})
