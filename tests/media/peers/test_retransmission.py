"""What the network lost comes again, in a stream of its own, to a real browser behind a lossy relay."""

from pathlib import Path

import pytest
from netem.front import Front
from netem.link import Conditions

TAB = Path(__file__).parent / "tab.js"
LOSSY = Conditions(loss=0.05, delay_ms=10)


async def behind(front, tabs):
    tab = await tabs()
    await tab.page.goto(front.base_url + "/")
    await tab.page.add_script_tag(path=TAB)
    return tab


async def repaired(tab):
    return (await tab.stats()).get("video", {}).get("retransmittedPacketsReceived", 0)


@pytest.mark.parametrize("codec", ["VP8", "H264"])
async def test_chromium_gets_its_lost_packets_as_rtx(floor, tabs, wait_until, codec):
    host = await tabs()
    await host.publish("demo", "host-ann", codec)
    await wait_until(lambda: floor.relay.shows and floor.show("demo").host_present, "the host is on air")
    async with Front(floor.base_url, seed=7, down=LOSSY, up=LOSSY) as front:
        viewer = await behind(front, tabs)
        await viewer.play("demo", "viewer-bob")

        async def enough():
            return await repaired(viewer) >= 20 and await viewer.frames() >= 100

        await wait_until(enough, "lost packets are repaired by RTX and the picture goes on")
        stats = await viewer.stats()
        assert stats["video"]["rtxSsrc"] != stats["video"]["ssrc"]
        assert stats["video"]["framesDecoded"] >= 100
        assert floor.show("demo").resent >= 20


async def test_what_a_browser_lost_on_its_way_to_us_comes_as_rtx(floor, tabs, wait_until):
    async with Front(floor.base_url, seed=7, down=Conditions(delay_ms=10), up=LOSSY) as front:
        host, viewer = await behind(front, tabs), await tabs()
        await host.publish("demo", "host-ann", "VP8")
        await wait_until(lambda: floor.relay.shows and floor.show("demo").host_present, "the host is on air")
        await viewer.play("demo", "viewer-bob")
        feed = next(iter(floor.relay.shows.values())).feed

        async def enough():
            return feed.repaired >= 10 and await viewer.frames() >= 60

        await wait_until(enough, "lost packets come again and the viewer sees pictures")
        stats = await host.stats()
        assert stats["video"]["retransmittedPacketsSent"] >= feed.repaired
