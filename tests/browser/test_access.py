"""The console for those who only read, and for those who hand out access."""

import re

from playwright.async_api import expect

SHOW, POT = "kitchen", "pot-blue"


async def test_an_analyst_reads_the_board_and_has_nothing_to_press(site, open_page):
    await site.buy(POT, "one")
    page = await open_page(f"{site.base_url}/console/{SHOW}#token={site.analyst}")
    await expect(page.get_by_test_id(f"board-{POT}-sold")).to_have_text("1")
    await expect(page.get_by_test_id("total-orders")).to_have_text("1")
    await expect(page.get_by_test_id("orders").locator("li")).to_have_count(1)
    for what in ("sales-switch", "video-switch", f"pin-{POT}", f"restock-{POT}", "chat-input", "slow-mode", "audit"):
        await expect(page.get_by_test_id(what)).to_have_count(0)
    async with page.expect_download() as saved:
        await page.get_by_test_id("export-orders").click()
    assert (await saved.value).suggested_filename == f"orders-{SHOW}.csv"
    assert page.problems == []
    await page.goto(f"{site.base_url}/studio/{SHOW}#token={site.analyst}")
    await expect(page.get_by_test_id("token-refused")).to_contain_text("for an analyst")


async def test_an_admin_hands_out_a_link_that_opens_its_page(site, open_page):
    page = await open_page(f"{site.base_url}/console/{SHOW}#token={site.admin}")
    await page.get_by_test_id("access-name").fill("Mo")
    await page.get_by_test_id("access-role").select_option("moderator")
    await page.get_by_test_id("access-give").click()
    link = await page.get_by_test_id("access-link").input_value()
    assert re.fullmatch(rf"{site.base_url}/console/{SHOW}#token=[\w.-]+", link)
    assert page.problems == []
    other = await open_page(link)
    await expect(other.get_by_test_id("moderator")).to_be_visible()
