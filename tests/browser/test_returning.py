"""A guest is one for all tabs of a browser, and hears of what happens to an order or a place while looking elsewhere."""

import json

import pytest
from playwright.async_api import expect

from checkout.outbox import Outbox
from checkout.payments import ProviderFailed

SHOW, POT, KNIFE = "kitchen", "pot-blue", "knife"
GUEST = "() => JSON.parse(localStorage.getItem('showfloor.guest.kitchen'))?.viewer_id"
OF_TWO_TABS = """
    const guests = [new it.GuestSession("kitchen"), new it.GuestSession("kitchen")];
    const tokens = await Promise.all(guests.map((guest) => guest.token()));
    await Promise.all(guests.map((guest) => guest.ticket()));
    return [...new Set([...guests.map(({ id }) => id), JSON.parse(localStorage.getItem("showfloor.guest.kitchen")).viewer_id])];
"""


@pytest.fixture
async def watch(site, open_page):
    for variant in (POT, KNIFE):
        await site.pin(variant)
    page = await open_page(f"{site.base_url}/watch/{SHOW}")
    await expect(page.get_by_test_id("connection")).to_have_attribute("data-status", "open")
    return page


async def another_tab(watch):
    page = await watch.context.new_page()
    await page.goto(watch.url)
    return page


async def fail_captures(watch):
    """What is paid for from here on is paid with a card whose money cannot be taken."""

    async def pay(route):
        asked = route.request.post_data_json | {"payment_method": "fake_capture_fails"}
        await route.continue_(post_data=json.dumps(asked))

    await watch.route("**/pay", pay)


async def test_a_banned_viewer_is_banned_in_every_tab(site, watch):
    guest = await watch.evaluate(GUEST)
    await site.ask("PUT", f"/api/v1/shows/{SHOW}/sanctions/{guest}", {"kind": "ban"}, site.host)
    await expect(watch.get_by_test_id("connection")).to_contain_text("sent you out")
    tab = await another_tab(watch)
    await expect(tab.get_by_test_id("connection")).to_contain_text("sent you out")
    assert await tab.evaluate(GUEST) == guest


async def test_a_closed_tab_does_not_lose_a_place_in_line(site, watch):
    rival = await site.hold(KNIFE, "rival")
    await watch.get_by_test_id(f"wait-{KNIFE}").click()
    await expect(watch.get_by_test_id(f"waiting-{KNIFE}")).to_be_visible()
    tab = await another_tab(watch)
    await watch.close()
    await expect(tab.get_by_test_id(f"waiting-{KNIFE}")).to_contain_text("You are next")
    await expect(tab.get_by_test_id("connection")).to_have_attribute("data-status", "open")
    await site.release(*rival)
    await expect(tab.get_by_test_id("buy-notice")).to_contain_text("your turn")
    await tab.get_by_test_id("pay-ok").click()
    await expect(tab.get_by_test_id("order-id")).to_be_visible()
    assert (await site.stock(KNIFE))["sold"] == 1


async def test_two_tabs_that_join_at_once_are_one_guest(site, open_page, module):
    page = await open_page(site.base_url)
    assert len(await module(page, "session.js", OF_TWO_TABS)) == 1


async def test_whoever_leaves_a_shared_device_leaves_nothing_there(site, watch):
    tab = await another_tab(watch)
    await expect(tab.get_by_test_id("connection")).to_have_attribute("data-status", "open")
    await watch.get_by_test_id(f"buy-{POT}").click()
    await watch.get_by_test_id("keep").click()
    await expect(watch.get_by_test_id("basket")).to_be_visible()
    before = await watch.evaluate(GUEST)
    await watch.get_by_test_id("all-items").click()
    await watch.get_by_test_id("forget-me").click()
    await watch.get_by_test_id("confirm-yes").click()
    for page in (watch, tab):
        await page.wait_for_function(f"(before) => ![before, undefined].includes(({GUEST})())", arg=before)
        await expect(page.get_by_test_id(f"buy-{POT}")).to_be_enabled()
        await expect(page.get_by_test_id("basket")).to_have_count(0)
    assert await watch.evaluate(GUEST) == await tab.evaluate(GUEST)


async def test_an_order_whose_money_could_not_be_taken_says_so_in_its_panel(site, watch):
    await fail_captures(watch)
    await watch.get_by_test_id(f"buy-{POT}").click()
    await watch.get_by_test_id("pay-ok").click()
    await expect(watch.get_by_test_id("order-failed")).to_be_visible()
    await expect(watch.get_by_test_id("purchase")).to_contain_text("Nothing was charged")
    await expect(watch.get_by_test_id("receipt")).to_have_count(0)
    await watch.get_by_test_id("order-close").click()
    await expect(watch.get_by_test_id(f"stock-{POT}")).to_have_text("8 left")


async def test_and_when_its_panel_is_closed_the_page_is_told(site, watch, monkeypatch):
    async def no_answer(*_) -> None:
        raise ProviderFailed("the payment network does not answer")

    await fail_captures(watch)
    with monkeypatch.context() as patch:
        patch.setattr(Outbox, "_capture", no_answer)
        await watch.get_by_test_id(f"buy-{POT}").click()
        await watch.get_by_test_id("pay-ok").click()
        await watch.get_by_test_id("order-close").click()
    await expect(watch.get_by_test_id("toasts")).to_contain_text("A payment failed after all: nothing was charged")
