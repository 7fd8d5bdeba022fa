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
