"""A browser's page knows when the picture on its screen was captured."""

import pytest

PLAUSIBLE_MS = 5_000


async def known(tab):
    return await tab.page.evaluate("lastFrame && captured()")


@pytest.mark.parametrize("codec", ["VP8", "H264"])
async def test_the_page_reads_the_capture_time_of_the_picture_on_its_screen(floor, tabs, wait_until, codec):
    host, viewer = await tabs(), await tabs()
    await host.publish("demo", "host-ann", codec)
    await wait_until(lambda: floor.relay.shows and floor.show("demo").host_present, "the host is on air")
    await viewer.play("demo", "viewer-bob")
    seen = {}
    while len(seen) < 60:
        one = await wait_until(lambda: known(viewer), "the page knows it")
        seen[one["rtpTimestamp"]] = one
    found = list(seen.values())
    # The host's clock is shifted to ours by its first report, whose own delay is not known: some ms to either side.
    assert all(abs(one["ago"]) < PLAUSIBLE_MS for one in found)
    # By the clock of the pictures themselves, over a second or more, whichever of them carried the time.
    first, last = found[0], found[-1]
    ticks = last["rtpTimestamp"] - first["rtpTimestamp"] & 0xFFFFFFFF
    assert ticks > 90_000
    assert abs((last["at"] - first["at"]) - ticks / 90) < 200
