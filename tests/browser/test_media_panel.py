"""The console's media panel over a real show: what the relay and the viewers' pages say arrives in words and numbers."""

import os
import re

import pytest
from playwright.async_api import expect

SHOW = "kitchen"
PHONE, DESKTOP = (360, 740), (1280, 800)
SHOTS = os.environ.get("SHOWFLOOR_SCREENSHOTS", "")

SPREAD = {"count": 9, "p50": 0.0, "p95": 0.0}
LAYER = {"is_on_air": True, "frames_per_second": 30, "keyframe_interval_ms": 2000}
WELL = {
    "host": {"present": True, "loss": 0.0, "newest_frame_age_ms": 40, "layers": [LAYER]},
    "viewers": {"frozen": SPREAD, "loss": SPREAD, "age_ms": SPREAD},
}


@pytest.fixture
async def on_air(site, open_page):
    """A host who publishes from the studio."""
    studio = await open_page(f"{site.base_url}/studio/{SHOW}#token={site.host}")
    await studio.get_by_test_id("golive").click()
    await expect(studio.get_by_test_id("air")).to_have_attribute("data-status", "live")
    return studio


async def shot(page, name):
    if SHOTS:
        await page.screenshot(path=f"{SHOTS}/{name}.png", full_page=True)


async def shows_what_arrives_and_who_watches(console):
    """The console's panel, all of it that comes without a report of a page."""
    await expect(console.get_by_test_id("media-sessions")).to_have_text("2")
    await expect(console.get_by_test_id("media-in")).to_contain_text("bit/s")
    await expect(console.get_by_test_id("media-rtt")).to_contain_text("ms /")
    await expect(console.locator('[data-testid^="layer-"]').first).to_contain_text("VP8")  # one of the studio's three
    await expect(console.get_by_test_id("curve-viewers").locator("svg")).to_be_visible()
    await expect(console.get_by_test_id("media-picture")).to_be_visible()
    for name in ("nacks", "resends", "wishes", "plis", "host-nacks"):
        await expect(console.get_by_test_id(f"media-{name}")).to_have_text(re.compile(r"^\d+$"))
    await console.get_by_text("Who fares worst").click()
    await expect(console.get_by_test_id("worst").locator("tr")).to_have_count(2)
    for label in ("Asked again", "Sent again", "Keyframes"):
        told = console.get_by_test_id("worst").locator(f'td[data-label="{label}"]')
        await expect(told.first).to_have_text(re.compile(r"^\d+$"))


async def is_no_wider_than_its_window(console):
    wide = await console.evaluate("() => [document.documentElement.scrollWidth, innerWidth]")
    return wide[0] <= wide[1]


@pytest.mark.timeout(300)
async def test_the_panel_shows_how_the_video_fares_on_a_phone_and_on_a_desktop(site, open_page, until, on_air):
    viewers = [await open_page(f"{site.base_url}/watch/{SHOW}") for _ in range(2)]
    for viewer in viewers:
        await expect(viewer.get_by_test_id("curtain")).to_have_attribute("data-kind", "")
    sizes = (PHONE, DESKTOP)
    consoles = [await open_page(f"{site.base_url}/console/{SHOW}#token={site.operator}", size) for size in sizes]
    for console in consoles:
        await shows_what_arrives_and_who_watches(console)

    async def pages_have_reported():
        numbers = await site.ask("GET", f"/api/v1/shows/{SHOW}/media", token=site.operator)
        return numbers["viewers"]["frozen"]["count"] and numbers["viewers"]

    told = await until(
        pages_have_reported, "a page reports", 120
    )  # one every 15 s, of a picture that moved all the while
    assert 0 <= told["frozen"]["p50"] <= 1
    for console in consoles:
        await expect(console.get_by_test_id("media-frozen")).to_contain_text("%")
    assert told["age_ms"]["count"] >= 1
    assert told["age_ms"]["p50"] < 5000
    for console, size in zip(consoles, sizes, strict=True):
        await shot(console, f"media-{size[0]}")
        assert await is_no_wider_than_its_window(console)
        assert console.problems == []
    assert [viewer.problems for viewer in viewers] == [[], []]


async def test_a_host_who_leaves_is_named_as_the_trouble(site, open_page, on_air):
    console = await open_page(f"{site.base_url}/console/{SHOW}#token={site.operator}")
    await expect(console.get_by_test_id("media-verdict")).to_contain_text("On air since")
    await on_air.context.close()
    await expect(console.get_by_test_id("media-verdict")).to_contain_text("No video arrives from the host")
    await expect(console.get_by_test_id("media-verdict")).to_have_attribute("data-level", "warn")


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({}, []),
        ({"host": {"loss": 0.031}}, ["loses 3.1 %"]),
        ({"host": {"newest_frame_age_ms": 1500}}, ["1.5 s late"]),
        ({"host": {"layers": [{**LAYER, "frames_per_second": 9}]}}, ["fewer than 15"]),
        ({"host": {"layers": [{**LAYER, "is_on_air": False, "frames_per_second": 0}]}}, []),
        ({"host": {"layers": [{**LAYER, "keyframe_interval_ms": 12_000}]}}, []),
        ({"viewers": {"frozen": {**SPREAD, "p95": 0.05}}}, ["stand still 5.0 %"]),
        ({"viewers": {"loss": {**SPREAD, "p95": 0.2}}}, ["loses 20 %"]),
        ({"viewers": {"age_ms": {**SPREAD, "p95": 2400}}}, ["2.4 s or more behind"]),
        ({"viewers": {"age_ms": {"count": 0, "p50": None, "p95": None}}, "host": {"loss": None}}, []),
    ],
)
async def test_a_verdict_says_what_is_wrong_and_nothing_else(bare_pages, open_page, module, changed, words):
    console = await open_page(bare_pages)
    numbers = {part: {**values, **changed.get(part, {})} for part, values in WELL.items()}
    said = await module(console, "media.js", "return it.complaints(argument)", numbers)
    assert len(said) == len(words)
    assert all(one in line for one, line in zip(words, said, strict=True))


async def test_a_report_is_what_happened_since_the_last(bare_pages, open_page, module):
    page = await open_page(bare_pages)
    make = "return it.reportOf(...argument)"
    before, after = {"atMs": 1000, "frozenS": 1.0}, {"atMs": 16_000, "frozenS": 1.25}
    assert await module(page, "report.js", make, [before, after, [200, 90, 210], "https://shop/whep/s/sub_1"]) == {
        "t": "watched", "watched_ms": 15_000, "frozen_ms": 250, "age_ms": 200, "session": "sub_1",
    }  # fmt: skip
    assert (await module(page, "report.js", make, [before, after, [], None]))["age_ms"] is None
    assert await module(page, "report.js", make, [before, {"atMs": 1500, "frozenS": 1}, [], None]) is None
    assert await module(page, "report.js", make, [before, {"atMs": 500_000, "frozenS": 1}, [], None]) is None
    assert (await module(page, "report.js", make, [before, {"atMs": 3000, "frozenS": 99}, [-5], ""]))[
        "frozen_ms"
    ] == 2000
