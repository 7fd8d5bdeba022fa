"""The studio: a camera on the air, pins, prices, and the life of the show."""

import pytest
from playwright.async_api import expect

SHOW, POT = "kitchen", "pot-blue"


@pytest.fixture
async def studio(site, open_page):
    page = await open_page(f"{site.base_url}/studio/{SHOW}#token={site.host}")
    await expect(page.get_by_test_id(f"item-{POT}")).to_be_visible()
    await expect(page.get_by_test_id("connection")).to_have_attribute("data-status", "open")
    return page


async def test_going_live_and_stopping(site, studio):
    await expect(studio.get_by_test_id("camera")).not_to_have_value("")  # the preview runs
    await studio.get_by_test_id("golive").click()
    await expect(studio.get_by_test_id("air")).to_have_attribute("data-status", "live")
    await expect(studio.get_by_test_id("bitrate")).to_contain_text("kbit/s")
    await studio.get_by_test_id("stop").click()
    await expect(studio.get_by_test_id("show-state")).to_have_text("Paused")  # the viewers get the curtain
    await expect(studio.get_by_test_id("golive")).to_be_visible()
    await studio.get_by_test_id("golive").click()
    await expect(studio.get_by_test_id("show-state")).to_have_text("Live")
    assert (await site.show())["state"] == "live"
    assert studio.problems == []


async def test_an_item_is_pinned_and_unpinned(site, studio):
    await studio.get_by_test_id(f"pin-{POT}").click()
    await expect(studio.get_by_test_id(f"unpin-{POT}")).to_be_visible()
    assert (await site.show())["pins"] == [POT]
    await studio.get_by_test_id(f"unpin-{POT}").click()
    await expect(studio.get_by_test_id(f"pin-{POT}")).to_be_visible()
    assert (await site.show())["pins"] == []


async def test_a_price_changes_and_nonsense_does_not(site, studio):
    await studio.get_by_test_id(f"price-{POT}").click()
    field = studio.get_by_test_id(f"price-input-{POT}")
    await expect(field).to_have_value("49.00")
    await field.fill("cheap")
    await studio.get_by_test_id(f"price-save-{POT}").click()
    await expect(studio.get_by_test_id("toasts")).to_contain_text("not a price")
    await field.fill("39,5")
    await studio.get_by_test_id(f"price-save-{POT}").click()
    await expect(studio.get_by_test_id(f"price-{POT}")).to_have_text("€39.50")
    assert (await site.show())["items"][0]["price"]["amount"] == 3950


async def test_the_end_asks_first(site, studio):
    await studio.get_by_test_id("end").click()
    await studio.get_by_test_id("confirm-no").click()
    assert (await site.show())["state"] == "live"
    await studio.get_by_test_id("end").click()
    await studio.get_by_test_id("confirm-yes").click()
    await expect(studio.get_by_test_id("show-state")).to_have_text("Ended")
    await expect(studio.get_by_test_id("golive")).to_be_disabled()
    assert (await site.show())["state"] == "ended"


async def test_the_stock_beside_an_item_is_live(site, studio):
    await site.buy(POT, "one")
    await expect(studio.get_by_test_id(f"stock-{POT}")).to_have_text("7 left")


async def test_a_browser_without_a_camera_says_what_to_do(site, open_page):
    page = await open_page(f"{site.base_url}/studio/{SHOW}")
    await page.add_init_script(
        "navigator.mediaDevices.getUserMedia = async () => { throw new DOMException('', 'NotFoundError'); }"
    )
    await page.get_by_test_id("token").fill(site.host)
    await page.get_by_test_id("token-accept").click()
    await expect(page.get_by_test_id("camera-problem")).to_contain_text("No camera")
    await page.get_by_test_id("golive").click()
    await expect(page.get_by_test_id("camera-problem")).to_be_visible()
    assert (await site.show())["host_present"] is False


async def test_of_two_hosts_the_newer_one_stays_and_the_other_is_told(site, studio, open_page):
    await studio.get_by_test_id("golive").click()
    await expect(studio.get_by_test_id("air")).to_have_attribute("data-status", "live")
    newer = await open_page(f"{site.base_url}/studio/{SHOW}#token={site.host}")
    await expect(newer.get_by_test_id("air")).to_have_text("Another source is on air")
    await newer.get_by_test_id("golive").click()
    await expect(newer.get_by_test_id("air")).to_have_attribute("data-status", "live")
    await expect(studio.get_by_test_id("air")).to_have_attribute("data-status", "replaced")
    await expect(studio.get_by_test_id("air")).to_have_text("Another host took over")
    await expect(studio.get_by_test_id("golive")).to_be_visible()  # the show is taken back on purpose, or not at all
    await expect(newer.get_by_test_id("air")).to_have_attribute("data-status", "live")


IS_BLACK = """() => {
    const video = document.querySelector('video'), canvas = document.createElement('canvas');
    [canvas.width, canvas.height] = [32, 32];
    const pen = canvas.getContext('2d');
    pen.drawImage(video, 0, 0, 32, 32);
    return video.videoWidth > 0 && pen.getImageData(0, 0, 32, 32).data.every((value, at) => at % 4 === 3 || value < 32);
}"""
HEARD = "() => document.querySelector('video').srcObject.getAudioTracks().every(({ enabled }) => enabled)"


async def test_in_a_break_nobody_sees_or_hears_the_host(site, studio, open_page):
    await studio.get_by_test_id("golive").click()
    viewer = await open_page(f"{site.base_url}/watch/{SHOW}")
    await viewer.wait_for_function(f"() => window.__showfloor?.firstFrameMs && !({IS_BLACK})()")
    assert await viewer.evaluate(HEARD)
    await studio.get_by_test_id("pause").click()
    await expect(studio.get_by_test_id("held")).to_be_visible()
    assert not await studio.evaluate(HEARD)  # the preview's tracks are those that are sent
    await viewer.wait_for_function(IS_BLACK)
    await viewer.wait_for_function(f"() => !({HEARD})()")
    await studio.get_by_test_id("resume").click()
    await viewer.wait_for_function(f"() => ({HEARD})() && !({IS_BLACK})()")
    assert await studio.evaluate(HEARD)
    assert viewer.problems == []


UNPLUGGED = """(kinds) => {
    const tracks = document.querySelector('video').srcObject.getTracks().filter(({ kind }) => kinds.includes(kind));
    for (const track of tracks) track.stop();
    for (const track of tracks) track.dispatchEvent(new Event('ended'));
}"""
NO_DEVICES = "navigator.mediaDevices.getUserMedia = async () => { throw new DOMException('', 'NotFoundError'); }"


@pytest.mark.parametrize("kinds", [["video"], ["audio"], ["audio", "video"]])
async def test_a_camera_that_is_unplugged_on_air_is_replaced(site, studio, open_page, kinds):
    await studio.get_by_test_id("golive").click()
    viewer = await open_page(f"{site.base_url}/watch/{SHOW}")
    await viewer.wait_for_function("() => window.__showfloor?.firstFrameMs")
    await studio.evaluate(UNPLUGGED, kinds)
    await expect(studio.get_by_test_id("toasts")).to_contain_text("disconnected")
    shown = await viewer.evaluate("() => document.querySelector('video').getVideoPlaybackQuality().totalVideoFrames")
    await viewer.wait_for_function(
        f"() => document.querySelector('video').getVideoPlaybackQuality().totalVideoFrames > {shown + 30}"
    )
    await expect(studio.get_by_test_id("air")).to_have_attribute("data-status", "live")


async def test_without_another_camera_the_host_is_told_and_one_that_comes_is_taken(studio):
    await studio.wait_for_function("() => document.querySelector('video')?.srcObject")
    await studio.evaluate(f"() => {{ window.wasGiven = navigator.mediaDevices.getUserMedia; {NO_DEVICES} }}")
    await studio.evaluate(UNPLUGGED, ["video"])
    await expect(studio.get_by_test_id("camera-problem")).to_contain_text("Your camera was disconnected")
    await studio.evaluate("() => { navigator.mediaDevices.getUserMedia = window.wasGiven; }")
    await studio.evaluate("() => void navigator.mediaDevices.dispatchEvent(new Event('devicechange'))")
    await expect(studio.get_by_test_id("camera-problem")).to_have_count(0)


async def test_a_pause_is_resumed_while_another_source_is_on_air(site, studio, open_page):
    camera = await open_page(f"{site.base_url}/studio/{SHOW}#token={site.host}")
    await camera.get_by_test_id("golive").click()
    await expect(studio.get_by_test_id("air")).to_have_text("Another source is on air")
    await studio.get_by_test_id("pause").click()
    await expect(studio.get_by_test_id("show-state")).to_have_text("Paused")
    await studio.get_by_test_id("resume").click()
    await expect(studio.get_by_test_id("show-state")).to_have_text("Live")


@pytest.mark.parametrize(
    ("kind", "words"), [("viewer", "This token is for a viewer"), ("garbage", "This token is not valid")]
)
async def test_a_token_that_does_not_open_the_studio_is_told_so(site, open_page, kind, words):
    token = await site.guest() if kind == "viewer" else "garbage"
    page = await open_page(f"{site.base_url}/studio/{SHOW}#token={token}")
    await expect(page.get_by_test_id("token-refused")).to_contain_text(words)
    await expect(page.get_by_test_id("golive")).to_have_count(0)


async def test_next_shows_what_the_order_says_and_the_order_can_be_changed(site, studio):
    rows = studio.get_by_test_id("items").locator("> li")
    before = [await row.get_attribute("data-testid") for row in await rows.all()]
    await studio.get_by_test_id(before[1].replace("item-", "earlier-")).click()
    await expect(rows.first).to_have_attribute("data-testid", before[1])
    await rows.first.drag_to(rows.nth(1))
    await expect(rows.first).to_have_attribute("data-testid", before[0])
    for name in before[:2]:
        await studio.get_by_test_id("next").click()
        await expect(studio.get_by_test_id(name.replace("item-", "unpin-"))).to_be_visible()
    await expect(studio.get_by_test_id(before[0].replace("item-", "pin-"))).to_be_visible()
    assert (await site.show())["pins"] == [before[1].removeprefix("item-")]
    assert studio.problems == []
