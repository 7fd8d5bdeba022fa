"""The watch page while its server cannot reach the others: what it says, and that it goes on by itself."""

import pytest
from playwright.async_api import expect
from valkeys import own_valkey

SHOW, POT = "kitchen", "pot-blue"


@pytest.mark.timeout(120)
async def test_the_page_says_that_chat_waits_and_stock_may_be_old_and_goes_on_by_itself(open_site, open_page):
    async with own_valkey() as valkey, open_site(redis_url=valkey.url) as site:
        await site.pin(POT)
        sockets = []
        page = await open_page("about:blank")
        page.on("websocket", lambda made: sockets.append(made.url))
        await page.goto(f"{site.base_url}/watch/{SHOW}")
        stock, send, typed = (page.get_by_test_id(name) for name in (f"stock-{POT}", "chat-send", "chat-input"))
        notice = page.get_by_test_id("chat-notice")
        await expect(stock).to_have_text("8 left")
        await expect(stock).to_have_attribute("data-stale", "false")
        await expect(page.get_by_test_id("viewers")).to_have_text("1")
        await typed.fill("is it dishwasher safe?")

        valkey.kill()
        await expect(stock).to_have_text("8 left a moment ago")
        await expect(stock).to_have_attribute("data-stale", "true")
        await expect(notice).to_contain_text("waits")
        await expect(send).to_be_disabled()
        await typed.press("Enter")  # says nothing, and loses nothing
        await expect(typed).to_have_value("is it dishwasher safe?")

        await valkey.start()
        await expect(stock).to_have_text("8 left")
        await expect(notice).to_have_text("")
        await expect(send).to_be_enabled()
        await typed.press("Enter")
        await expect(page.get_by_test_id("chat-list")).to_contain_text("is it dishwasher safe?")
        assert len(sockets) == 1  # the socket stayed
