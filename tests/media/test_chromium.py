"""A real browser publishes and plays."""

import pytest


@pytest.mark.parametrize("codec", ["VP8", "H264"])
async def test_chromium_publishes_and_another_decodes_frames(floor, tabs, wait_until, codec):
    host, viewer = await tabs(), await tabs()
    await host.publish("demo", "host-ann", codec)
    await wait_until(lambda: floor.relay.shows and floor.show("demo").host_present, "the host is on air")
    await viewer.play("demo", "viewer-bob")

    await wait_until(lambda: frames_reach(viewer, 60), "sixty frames are presented")
    stats = await viewer.stats()
    assert stats["video"]["framesDecoded"] >= 60
    assert stats["audio"]["packetsReceived"] > 50
    assert stats["video"]["packetsLost"] == 0
    assert floor.show("demo").video == codec
    assert floor.listener.heard == [("demo", True)]


async def frames_reach(tab, count):
    return await tab.frames() >= count
