"""A real browser publishes three layers, and real browsers get the one that their network carries."""

import asyncio
import time
from pathlib import Path

import pytest
from netem.front import Front
from netem.link import Conditions

from media.core.layers import Move

TAB = Path(__file__).parent / "tab.js"
ENCODINGS = [
    {"rid": "x", "maxBitrate": 150_000, "scaleResolutionDownBy": 4},
    {"rid": "y", "maxBitrate": 500_000, "scaleResolutionDownBy": 2},
    {"rid": "z", "maxBitrate": 1_500_000},
]
NARROW = Conditions(rate_bps=300_000)


@pytest.fixture
async def host(tabs, floor, wait_until):
    """On air with three layers, of known size."""
    host = await tabs()
    await host.page.evaluate("args => publishLayers(...args)", ["demo", "host-ann", ENCODINGS])
    await wait_until(lambda: floor.relay.shows and len(floor.relay.shows["demo"].rungs) == 3, "three layers", 60)
    await wait_until(lambda: all(layer.width for layer in floor.show("demo").layers), "their keyframes")
    return host


def subscriber(floor, name):
    return next(s.member for s in floor.relay._sessions.values() if s.account_id == f"acc_viewer-{name}")


async def behind(front, tabs):
    """A tab whose media goes through the bad network."""
    tab = await tabs()
    await tab.page.goto(front.base_url + "/")
    await tab.page.add_script_tag(path=TAB)
    return tab


async def plays(tab, width):
    """True if the newest picture is so wide."""
    return (await tab.stats()).get("video", {}).get("frameWidth") == width


async def frozen(tab):
    """Seconds, and pictures shown."""
    video = (await tab.stats())["video"]
    return video["totalFreezesDuration"], video["framesDecoded"]


async def test_each_layer_of_a_browser_is_taken_and_measured_whatever_its_name(host, floor):
    show = floor.relay.shows["demo"]
    layers = floor.show("demo").layers
    assert [layer.rid for layer in layers] == ["x", "y", "z"]
    assert [(layer.width, layer.height) for layer in layers] == [(320, 180), (640, 360), (1280, 720)]
    assert [rung.layer for rung in show.rungs] == [0, 1, 2]
    assert all(layer.is_on_air for layer in layers)


async def test_a_narrow_viewer_gets_the_low_layer_while_another_gets_the_high_one_and_is_back_when_it_widens(
    host, tabs, floor, wait_until, record_property
):
    free = await tabs()
    await free.play("demo", "viewer-free")
    async with Front(floor.base_url, seed=7, down=NARROW) as front:
        narrow = await behind(front, tabs)
        await narrow.play("demo", "viewer-narrow")
        await wait_until(lambda: plays(free, 1280), "the free one gets the high layer", 60)
        await wait_until(lambda: reach(narrow, 80), "the narrow one plays", 60)
        beside = [(await frozen(free))[0]]
        await wait_until(lambda: plays(narrow, 320), "the low layer", 60)
        before, seen = await frozen(narrow)
        await wait_until(lambda: reach(narrow, seen + 200), "it goes on", 60)
        after, _ = await frozen(narrow)
        beside.append((await frozen(free))[0])
        assert await plays(narrow, 320)
        assert await plays(free, 1280)
        front.set(down=Conditions())
        lifted = time.monotonic()
        await wait_until(lambda: plays(narrow, 1280), "it gets the high layer as well", 60)
        record_property("back_s", round(time.monotonic() - lifted, 1))
        record_property("frozen_s", round(after - before, 2))
        record_property("frozen_beside_s", round(beside[1] - beside[0], 2))
        for tab in (free, narrow):
            assert (await tab.stats())["video"]["pliCount"] <= 1


async def reach(tab, count):
    return await tab.frames() >= count


async def test_a_viewer_whose_network_narrows_goes_down_and_plays_on(host, tabs, floor, wait_until, record_property):
    async with Front(floor.base_url, seed=7) as front:
        viewer = await behind(front, tabs)
        await viewer.play("demo", "viewer-bob")
        await wait_until(lambda: plays(viewer, 1280), "the high layer", 60)
        front.set(down=NARROW)
        narrowed, before = time.monotonic(), await frozen(viewer)
        await wait_until(lambda: plays(viewer, 320), "the low layer", 60)
        took = time.monotonic() - narrowed
        seen = await viewer.frames()
        await wait_until(lambda: reach(viewer, seen + 100), "it plays on", 60)
        after = await frozen(viewer)
        record_property("down_s", round(took, 1))
        record_property("frozen_s", round(after[0] - before[0], 2))


async def test_a_layer_that_the_browser_pauses_is_left_and_found_again(host, tabs, floor, wait_until):
    viewer = await tabs()
    await viewer.play("demo", "viewer-bob")
    await wait_until(lambda: plays(viewer, 1280), "the high layer", 60)
    await host.page.evaluate("pauseLayer('z', false)")
    await wait_until(lambda: plays(viewer, 640), "the middle layer", 60)
    assert [layer.is_on_air for layer in floor.show("demo").layers] == [True, True, False]
    await host.page.evaluate("pauseLayer('z', true)")
    await wait_until(lambda: plays(viewer, 1280), "the high layer again", 60)


async def test_sound_and_picture_stay_together_across_switches(host, tabs, floor, wait_until):
    viewer = await tabs()
    await viewer.play("demo", "viewer-bob")
    await wait_until(lambda: plays(viewer, 1280), "it has switched", 60)
    assert subscriber(floor, "bob").switches >= 1
    seen = await viewer.frames()
    await wait_until(lambda: reach(viewer, seen + 100), "it plays on", 60)
    stats = await viewer.stats()
    apart_ms = stats["video"]["estimatedPlayoutTimestamp"] - stats["audio"]["estimatedPlayoutTimestamp"]
    assert abs(apart_ms) < 500


async def test_many_switches_do_not_stop_the_picture(host, tabs, floor, wait_until):
    """Each layer counts its pictures from a random start: see core/pictures.py."""
    viewer = await tabs()
    await viewer.play("demo", "viewer-bob")
    await wait_until(lambda: reach(viewer, 30), "it plays", 60)
    one, show = subscriber(floor, "bob"), floor.relay.shows["demo"]
    one.consider = lambda _: None
    async with asyncio.timeout(100):
        for number in range(9):
            await go_to(show, one, number % 3, wait_until)
            await wait_until(lambda w=(320, 640, 1280)[number % 3]: plays(viewer, w), "the layer is seen", 30)
    stats = (await viewer.stats())["video"]
    assert stats["packetsLost"] == 0


async def go_to(show, one, number, wait_until):
    show.move(one, Move(number, False))
    await wait_until(lambda: one.layer is show.layers[number], "it has moved", 30)
