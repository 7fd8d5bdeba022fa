"""Frame-true pins: the modules that match a pin with its picture, and a host whose pictures arrive late."""

import re
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from netem.link import Conditions
from netem.udp import UdpRelay, through
from playwright.async_api import expect

from live.demo import pixel_clock

SHOW, POT, KNIFE = "kitchen", "pot-blue", "knife"
BURNED_CLOCK = (Path(__file__).parents[2] / "benchmarks" / "burned_clock.js").read_text()
LATE_MS = 1200
"""The viewer's pictures are so much later than what the socket says."""
NEAR_MS = 250


@pytest.fixture
async def page(bare_pages, open_page):
    """A page whose modules can be imported; no service stands behind it."""
    return await open_page(bare_pages)


async def test_a_timeline_leads_from_one_picture_to_the_others_across_the_wrap(page, module):
    times = await module(
        page,
        "frames.js",
        """
        const line = new it.Timeline();
        const before = line.at(5);
        line.learn(0xffffffff - 899, 10_000);
        return [before, line.at(0), line.at(0xffffffff - 1799), line.at(0xffffffff - 899)];
        """,
    )
    assert times == [None, 10_010, 9990, 10_000]


GATE = """
    const told = [];
    const frames = { areSeen: true, followed: new Set(), follow(one) { this.followed.add(one); return () => this.followed.delete(one); } };
    const gate = new it.PinGate({ apply: (frame) => told.push(...(frame.ev ?? []).map((e) => e.t + " " + (e.variant_id ?? ""))), frames });
    const show = (capturedMs) => [...frames.followed].forEach((one) => one(capturedMs));
    const pin = (variant_id, captured_at_ms) => ({ t: "pin", variant_id, captured_at_ms });
    const unpin = (variant_id) => ({ t: "unpin", variant_id });
    const take = (...ev) => gate.take({ e: "x", o: 1, ev });
    const by = () => gate.notes.map((note) => note.by + " " + note.skewMs);
"""


async def gate(page, module, body):
    return await module(page, "pingate.js", GATE + body)


async def test_a_pin_waits_for_its_picture_and_nothing_else_waits(page, module):
    steps = await gate(
        page,
        module,
        """
        take(pin("pot", 1000), { t: "price", variant_id: "pot" }, { t: "sold_out", variant_id: "pot" }, { t: "chat" });
        const first = [...told];
        show(950);
        const second = told.length;
        show(1033);
        return [first, second, told.at(-1), by(), frames.followed.size];
        """,
    )
    assert steps == [["price pot", "sold_out pot", "chat "], 3, "pin pot", ["picture 33"], 0]


async def test_pins_keep_their_order_and_an_unpin_waits_for_its_own_pin_alone(page, module):
    steps = await gate(
        page,
        module,
        """
        take(pin("a", 1000), pin("b", 2000), pin("c"), unpin("a"), unpin("other"));
        const first = [...told];
        show(1000);
        const second = [...told];
        show(2000);
        return [first, second.slice(first.length), told.slice(second.length)];
        """,
    )
    assert steps == [["unpin other"], ["pin a", "unpin a"], ["pin b", "pin c"]]


async def test_a_snapshot_passes_whole_and_what_waited_is_forgotten(page, module):
    told = await gate(
        page,
        module,
        """
        take(pin("a", 1000));
        gate.take({ e: "y", o: 9, snapshot: true, ev: [pin("b", 9000)] });
        show(9999);
        return [told, frames.followed.size];
        """,
    )
    assert told == [["pin b"], 0]


@pytest.mark.parametrize("unseen", ["frames.areSeen = false", "gate.isOff = () => true"])
async def test_where_no_picture_is_seen_a_pin_is_shown_at_once(page, module, unseen):
    told = await gate(page, module, f"{unseen}; take(pin('a', 1000)); return [told, by()];")
    assert told == [["pin a"], ["unseen null"]]


async def test_a_host_who_leaves_ends_the_wait(page, module):
    told = await gate(
        page,
        module,
        """
        take(pin("a", 1000));
        const before = [...told];
        gate.isOff = () => true;
        gate.take({ e: "x", o: 1, st: { host: false } });
        return [before, told, by()];
        """,
    )
    assert told == [[], ["pin a"], ["unseen null"]]


async def test_pictures_that_do_not_say_when_they_were_captured_are_not_waited_for(page, module):
    told = await gate(
        page,
        module,
        """
        take(pin("a", 1000), pin("b", 2000));
        show(null);
        const before = [...told];
        await new Promise((done) => (gate.onNote = (notes) => notes.length === 2 && done()));
        return [before, told, by()];
        """,
    )
    assert told == [[], ["pin a", "pin b"], ["unknown null", "unknown null"]]


async def test_pictures_known_to_tell_their_time_are_waited_for_through_a_freeze(page, module):
    """None comes at all; the one wait or the other ends."""
    told = await gate(
        page,
        module,
        """
        frames.areTimed = true;
        take(pin("a", 1000));
        await new Promise((done) => (gate.onNote = done));
        return [told, by(), gate.notes[0].waitedMs >= it.WAIT_MAX_MS - 50];
        """,
    )
    assert told == [["pin a"], ["late null"], True]


async def test_a_picture_that_does_not_come_is_waited_for_a_bounded_time(page, module):
    told = await gate(
        page,
        module,
        """
        take(pin("a", 1000), unpin("a"));
        show(500);
        const before = [...told];
        await new Promise((done) => (gate.onNote = done));
        return [before, told, by(), frames.followed.size];
        """,
    )
    assert told == [[], ["pin a", "unpin a"], ["late null"], 0]


async def test_statistics_between_two_readings(page, module):
    rates = await module(
        page,
        "statistics.js",
        """
        const reports = (atMs, more) => [
            { type: "inbound-rtp", kind: "video", timestamp: atMs, codecId: "c", frameWidth: 640, frameHeight: 360, ...more },
            { type: "inbound-rtp", kind: "audio", bytesReceived: 500, packetsReceived: 50 },
            { type: "codec", id: "c", mimeType: "video/VP8" },
            { type: "candidate-pair", nominated: true, currentRoundTripTime: 0.02 },
        ];
        const before = it.reading(reports(1000, { bytesReceived: 1000, packetsReceived: 100, packetsLost: 0, framesDecoded: 10 }));
        const after = it.reading(reports(3000, { bytesReceived: 251_000, packetsReceived: 196, packetsLost: 4, framesDecoded: 70 }));
        return [it.rates(before, after), after.size, after.codec, after.roundTripMs, it.rates(after, after), it.p95([]), it.p95([3, 1, 2])];
        """,
    )
    moved = {"bitrateBps": 1_000_000, "framesPerSecond": 30, "lossPercent": 4, "bufferMs": None}
    assert rates == [moved, "640x360", "VP8", 20, None, None, 3]


# A host in the studio, a viewer behind a path whose pictures are late


@pytest.fixture
async def late_viewer(site, open_page):
    """A viewer whose media, and nothing else, takes `LATE_MS` longer."""
    async with AsyncExitStack() as stack:

        async def join(before: str = ""):
            page = await open_page(site.base_url)

            async def delayed(route):
                answer = await route.fetch()
                sdp = await answer.text()
                found = re.search(r"a=candidate:\S+ \d+ udp \d+ (\S+) (\d+) ", sdp)
                if found is None:
                    return await route.fulfill(response=answer)
                late = UdpRelay((found[1], int(found[2])), seed=7, down=Conditions(delay_ms=LATE_MS))
                relay = await stack.enter_async_context(late)
                return await route.fulfill(response=answer, body=through(sdp, relay.port))

            await page.route(f"**/whep/{SHOW}", delayed)
            await page.add_init_script(BURNED_CLOCK + "burnedClock.watch();" + before)
            await page.goto(f"{site.base_url}/watch/{SHOW}?stats")
            await page.wait_for_function("() => window.__showfloor?.firstFrameMs")
            await expect(page.get_by_test_id("connection")).to_have_attribute("data-status", "open")
            return page

        yield join


@pytest.fixture
async def studio(site, open_page):
    """A host on the air whose picture is a clock."""
    page = await open_page(site.base_url)
    await page.add_init_script(BURNED_CLOCK + "burnedClock.useAsCamera();")
    await page.goto(f"{site.base_url}/studio/{SHOW}#token={site.host}")
    await page.get_by_test_id("golive").click()
    await expect(page.get_by_test_id("air")).to_have_attribute("data-status", "live")
    return page


async def knows_its_pictures(viewer):
    """The viewer's page has learned when the pictures were captured, or sees none."""
    await expect(viewer.get_by_test_id("statistics-frames")).to_contain_text("VP8")
    await expect(viewer.get_by_test_id("statistics-age")).to_contain_text("ms")


async def skew_ms(studio, viewer):
    """How much newer than the tap the picture was with which the pin appeared, read from the pixels."""
    await knows_its_pictures(viewer)
    async with studio.expect_request(f"**/api/v1/shows/{SHOW}/pins") as asked:
        await studio.get_by_test_id(f"pin-{POT}").click()
    tapped_ms = (await asked.value).post_data_json["captured_at_ms"]
    await expect(viewer.get_by_test_id(f"pin-card-{POT}")).to_be_visible()
    (seen,) = await viewer.evaluate("() => burnedClock.appeared")
    drawn_ms = pixel_clock.read(seen["row"])
    assert drawn_ms is not None
    half = pixel_clock.MODULUS_MS / 2
    return (drawn_ms - tapped_ms + half) % pixel_clock.MODULUS_MS - half


async def test_a_pin_appears_with_the_picture_that_the_host_showed_at_the_tap(studio, late_viewer):
    viewer = await late_viewer()
    # Not before its picture; how long after it a busy machine takes is the benchmark's to say.
    assert await skew_ms(studio, viewer) > -NEAR_MS
    (note,) = await viewer.evaluate("() => window.__showfloor.pins")
    assert (note["variant"], note["by"]) == (POT, "picture")
    await expect(viewer.get_by_test_id("statistics-skew")).to_contain_text("of 1")
    assert viewer.problems == []


async def test_a_page_that_does_not_wait_shows_the_pin_long_before_its_picture(studio, late_viewer):
    viewer = await late_viewer("Object.defineProperty(document, 'hidden', { get: () => true });")
    assert await skew_ms(studio, viewer) < -NEAR_MS
    assert await viewer.evaluate("() => window.__showfloor.pins[0].by") == "unseen"


async def test_a_pin_from_elsewhere_belongs_to_the_newest_picture_of_the_relay(site, studio, late_viewer):
    viewer = await late_viewer()
    await knows_its_pictures(viewer)
    await site.pin(KNIFE)  # the request as it always was
    await expect(viewer.get_by_test_id(f"pin-card-{KNIFE}")).to_be_visible()
    (note,) = await viewer.evaluate("() => window.__showfloor.pins")
    assert (note["variant"], note["by"]) == (KNIFE, "picture")


async def test_who_comes_later_sees_the_pin_at_once(site, studio, late_viewer):
    await site.pin(POT)
    viewer = await late_viewer()
    await expect(viewer.get_by_test_id(f"pin-card-{POT}")).to_be_visible()
    assert await viewer.evaluate("() => window.__showfloor.pins ?? []") == []


async def test_the_statistics_come_and_go(site, studio, open_page):
    viewer = await open_page(f"{site.base_url}/watch/{SHOW}?stats")
    await expect(viewer.get_by_test_id("statistics-age")).to_contain_text("ms")
    await expect(viewer.get_by_test_id("statistics-bitrate")).to_contain_text("kbit/s")
    await viewer.get_by_label("Close the statistics").click()
    await expect(viewer.get_by_test_id("statistics")).to_have_count(0)
    await viewer.keyboard.press("Alt+Shift+S")
    await expect(viewer.get_by_test_id("statistics")).to_be_visible()
    assert viewer.problems == []
