"""A real browser publishes and plays."""

import pytest


@pytest.mark.parametrize("codec", ["VP8", "H264", "VP9", "AV1"])
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


async def test_the_host_is_killed_and_comes_back_and_the_viewer_plays_on_in_the_same_session(floor, tabs, wait_until):
    host, viewer = await tabs(), await tabs()
    await host.publish("demo", "host-ann", "VP8")
    path = await viewer.play("demo", "viewer-bob")
    await wait_until(lambda: frames_reach(viewer, 30), "the first host is seen")
    await host.page.context.close()
    await wait_until(lambda: not floor.show("demo").host_present, "the host is gone")
    stopped = await viewer.frames()

    again = await tabs()
    await again.publish("demo", "host-ann", "VP8")
    await wait_until(lambda: frames_reach(viewer, stopped + 60), "the picture goes on")
    stats = await viewer.stats()
    assert await viewer.state() == "connected"
    assert stats["video"]["packetsLost"] == 0
    assert stats["video"]["keyFramesDecoded"] >= 2
    assert floor.listener.heard[:3] == [("demo", True), ("demo", False), ("demo", True)]
    answer = await floor.http.delete(path, headers={"Authorization": "Bearer viewer-bob"})
    assert answer.status_code == 200


async def test_a_host_that_returns_with_another_codec_is_seen_by_a_browser_without_a_new_session(
    floor, tabs, wait_until
):
    host, viewer = await tabs(), await tabs()
    await host.publish("demo", "host-ann", "VP8")
    await viewer.play("demo", "viewer-bob")
    await wait_until(lambda: frames_reach(viewer, 30), "the first host is seen")
    again = await tabs()
    await again.publish("demo", "host-ann", "H264")
    await wait_until(lambda: floor.show("demo").video == "H264", "the newer is on air")
    stopped = await viewer.frames()
    await wait_until(lambda: frames_reach(viewer, stopped + 60), "the picture goes on in the other codec")
    assert await viewer.state() == "connected"


async def frames_reach(tab, count):
    return await tab.frames() >= count
