"""Peers behind a bad network: the seeded relay stands between them and the media port."""

import asyncio
from pathlib import Path

from netem.front import Front
from netem.link import Conditions
from netem.udp import UdpRelay, through

DEADLINE_S = 30
TAB = Path(__file__).parent / "tab.js"


async def test_a_light_viewer_joins_and_is_sent_pictures_through_the_relay(floor, peers, wait_until):
    host = await peers.host()
    viewer = peers.light()
    late = Conditions(delay_ms=5, jitter_ms=5)
    async with UdpRelay(("127.0.0.1", floor.relay.udp_port), seed=7, down=late, up=late) as relay:
        answer = await floor.post("/whep/demo", viewer.offer("opus", "VP8"), "viewer-bob")
        async with asyncio.timeout(DEADLINE_S):
            await viewer.connect(through(answer.text, relay.port))
        host.show([1000, 500], keyframe=True)
        await wait_until(lambda: viewer.packets >= 2, "the picture comes")
        assert viewer.remote == ("127.0.0.1", relay.port)
        await viewer.close()


async def test_chromium_plays_on_behind_loss_and_hears_of_it(floor, tabs, wait_until):
    host = await tabs()
    await host.publish("demo", "host-ann", "VP8")
    await wait_until(lambda: floor.relay.shows and floor.show("demo").host_present, "the host is on air")
    conditions = Conditions(loss=0.05, delay_ms=10)
    async with Front(floor.base_url, seed=7, down=conditions, up=conditions) as front:
        viewer = await tabs()
        await viewer.page.goto(front.base_url + "/")
        await viewer.page.add_script_tag(path=TAB)
        await viewer.play("demo", "viewer-bob")
        async with asyncio.timeout(DEADLINE_S):
            while await viewer.frames() < 150:
                await asyncio.sleep(0.05)
        counts = front.counts()
        assert counts["down_lost"] > 0
        assert floor.show("demo").resent > 0
