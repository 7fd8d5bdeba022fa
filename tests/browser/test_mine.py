"""What one has in the show, on the watch page: holds to pay for and orders, wherever they were made."""

import json
import re

from playwright.async_api import expect

from checkout.outbox import Outbox
from checkout.payments import ProviderFailed

SHOW, POT, KNIFE = "kitchen", "pot-blue", "knife"
GUEST = f"showfloor.guest.{SHOW}"
PHONE = (360, 740)


async def guest_of(page):
    return await page.evaluate("(key) => localStorage.getItem(key)", GUEST)


async def another_tab(page, url):
    """The same account's, in the same browser."""
    tab = await page.context.new_page()
    await tab.goto(url)
    return tab


async def test_a_hold_claimed_while_the_page_was_away_is_paid_for_and_its_order_stays(site, watch, until):
    address, mine = watch.url, watch.get_by_test_id("mine")
    await expect(mine).to_be_hidden()
    token = json.loads(await guest_of(watch))["viewer_token"]
    await watch.goto("about:blank")
    await site.say("BUY POT BLUE 2", token)

    async def is_held() -> bool:
        return (await site.stock(POT))["held"] == 2

    await until(is_held, "the claim is a hold")
    await watch.goto(address)
    await expect(mine).to_have_accessible_name("Your purchases: 1 to pay for")

    await mine.focus()
    await watch.keyboard.press("Enter")
    holds = watch.get_by_test_id("mine-holds")
    await expect(holds).to_contain_text("Cast iron pot blue \N{MULTIPLICATION SIGN} 2")
    await expect(holds.get_by_role("timer")).to_have_text(re.compile(r"^[0-5]:\d\d$"))
    await watch.keyboard.press("Escape")
    await expect(mine).to_be_focused()

    tab = await another_tab(watch, address)
    await expect(tab.get_by_test_id("mine")).to_have_accessible_name("Your purchases: 1 to pay for")
    await mine.click()
    await watch.get_by_test_id("mine-pay").click()
    await expect(watch.get_by_test_id("mine-drawer")).to_be_hidden()
    await watch.get_by_test_id("pay-ok").click()
    order_id = await watch.get_by_test_id("order-id").text_content()
    await watch.get_by_test_id("order-close").click()
    for page in (watch, tab):  # the other tab hears of it by itself
        await expect(page.get_by_test_id("mine")).to_have_accessible_name("Your purchases: 1 order")

    await watch.reload()
    await mine.click()
    order = watch.get_by_test_id(f"mine-order-{order_id}")
    await expect(order).to_contain_text("Cast iron pot blue \N{MULTIPLICATION SIGN} 2")
    await expect(order.get_by_test_id("mine-state")).to_have_text("Paid")
    async with watch.expect_download() as download:
        await order.get_by_test_id("mine-receipt").click()
    assert (await download.value).suggested_filename == f"receipt-{order_id}.json"
    assert (await site.stock(POT))["sold"] == 2
    assert watch.problems == []


async def test_what_a_page_still_offers_to_pay_for_follows_what_another_tab_did(site, watch):
    await watch.get_by_test_id(f"buy-{POT}").click()
    await expect(watch.get_by_test_id("hold-timer")).to_be_visible()
    tab = await another_tab(watch, watch.url)
    await tab.get_by_test_id("mine").click()
    await tab.get_by_test_id("mine-release").click()
    await expect(tab.get_by_test_id("mine-empty")).to_be_visible()
    await expect(watch.get_by_test_id("purchase")).to_be_hidden()
    await expect(watch.get_by_test_id(f"stock-{POT}")).to_have_text("8 left")
    assert (await site.stock(POT))["held"] == 0


async def test_on_a_phone_two_holds_are_paid_for_together_and_the_order_is_cancelled(site, open_page, monkeypatch):
    async def no_answer(*_) -> None:
        raise ProviderFailed("the payment network does not answer")

    await site.pin(KNIFE)
    await site.pin(POT)
    page = await open_page(f"{site.base_url}/watch/{SHOW}", PHONE)
    for variant in (POT, KNIFE):
        await page.get_by_test_id(f"buy-{variant}").click()
        await page.get_by_test_id("keep").click()
    mine = page.get_by_test_id("mine")
    await expect(mine).to_have_accessible_name("Your purchases: 2 to pay for")
    await mine.click()
    wide = await page.evaluate("() => [document.documentElement.scrollWidth, innerWidth]")
    assert wide[0] <= wide[1]
    with monkeypatch.context() as patch:
        patch.setattr(Outbox, "_capture", no_answer)
        await page.get_by_test_id("mine-pay").first.click()
        await expect(page.get_by_test_id("bill-total")).to_have_text("€108.00")
        await page.get_by_test_id("pay-ok").click()
        await page.get_by_test_id("order-close").click()
        await mine.click()
        await page.get_by_test_id("mine-cancel").click()
        await page.get_by_test_id("confirm-yes").click()
        await expect(page.get_by_test_id("mine-state")).to_contain_text("Cancelled")
    assert [(await site.stock(variant))["available"] for variant in (POT, KNIFE)] == [8, 1]
    assert page.problems == []
