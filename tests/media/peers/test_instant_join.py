"""Chromium joins a host with 4 s between keyframes that ignores PLI: the picture is there at once, and live."""

import pytest

from live.demo import pixel_clock
from media.clock import now_ms
from media.config import RelayConfig

CODECS = pytest.mark.parametrize("codec", ["VP8", "H264"])


def drawn(stats):
    """(on the screen, drawn by the host) of the pictures whose clock could be read, in ms since 1970."""
    half, found = pixel_clock.MODULUS_MS / 2, []
    for at, row in stats["shown"]:
        ms = pixel_clock.read(row)
        if ms is not None:
            found.append((at, at - ((at - ms + half) % pixel_clock.MODULUS_MS - half)))
    return found


async def joined_late(floor, tabs, slow_host, wait_until, codec):
    """A tab that joins 2.5 s after a keyframe, and the moment of its joining."""
    await slow_host(codec)
    await wait_until(lambda: floor.relay.shows and floor.show("demo").keyframes, "the host is on air")
    show, tab = floor.relay.shows["demo"], await tabs()
    began = {}

    def two_and_a_half_seconds_on():
        newest = show.layers[0].track.history.get(show.layers[0].track.highest)
        if newest is None:
            return False
        if began.get("keyframes") != floor.show("demo").keyframes:
            began.update(keyframes=floor.show("demo").keyframes, at=newest.timestamp)
        return (newest.timestamp - began["at"] & 0xFFFFFFFF) > 2500 * 90

    await wait_until(two_and_a_half_seconds_on, "the keyframe lies far back")
    joined_ms = now_ms()
    await tab.play("demo", "viewer-bob", reads_clock=True)
    return tab, joined_ms


def skew_ms(stats):
    played = [stats[kind].get("estimatedPlayoutTimestamp", 0) for kind in ("video", "audio")]
    return played[0] - played[1]


@CODECS
async def test_the_picture_begins_at_the_last_keyframe_and_goes_live_in_step_with_the_sound(
    floor, tabs, slow_host, wait_until, codec
):
    tab, joined_ms = await joined_late(floor, tabs, slow_host, wait_until, codec)
    await wait_until(lambda: is_live(tab), "pictures under a second old, in step with the sound")
    stats = await tab.stats()
    # The next keyframe is 1.5 s away; a busy browser may skip some pictures before it shows its first.
    assert drawn(stats)[0][1] < joined_ms + 1000, "the first picture does not wait for the next keyframe"
    assert (stats["video"]["packetsLost"], stats["video"]["pliCount"], stats["video"]["nackCount"]) == (0, 0, 0)
    assert floor.show("demo").shown_at_once == 1


@CODECS
async def test_without_the_cache_the_first_picture_is_the_next_keyframe(floor, tabs, slow_host, wait_until, codec):
    floor.relay.config = RelayConfig(bind_host="127.0.0.1", gop_packets=0)
    tab, joined_ms = await joined_late(floor, tabs, slow_host, wait_until, codec)
    before = floor.show("demo").keyframes
    sound = floor.relay.shows["demo"].sound.highest
    await wait_until(tab.frames, "a picture is there")
    assert floor.show("demo").keyframes > before
    assert floor.relay.shows["demo"].sound.highest > sound
    assert floor.show("demo").shown_at_once == 0
    await wait_until(lambda: any_drawn(tab), "its clock is read")
    assert drawn(await tab.stats())[0][1] > joined_ms


async def any_drawn(tab):
    return drawn(await tab.stats())


async def is_live(tab):
    stats = await tab.stats()
    seen = drawn(stats)
    is_heard = "audio" in stats  # the picture may be there before the first packet of sound
    return bool(seen) and is_heard and seen[-1][0] - seen[-1][1] < 1000 and abs(skew_ms(stats)) < 500
