"""The watch page: what a viewer sees, and a purchase by mouse, by keyboard, and through a bad connection."""

from playwright.async_api import expect

from checkout.outbox import Outbox
from checkout.payments import ProviderFailed

SHOW, POT, KNIFE = "kitchen", "pot-blue", "knife"


async def test_a_purchase_needs_no_mouse(site, watch):
    async def tab_to(test_id):
        for _ in range(30):
            await watch.keyboard.press("Tab")
            if await watch.evaluate("() => document.activeElement.dataset.testid") == test_id:
                return
        raise AssertionError(f"{test_id} is out of the keyboard's reach")

    await tab_to(f"buy-{POT}")
    await watch.keyboard.press("Enter")
    await expect(watch.get_by_test_id("purchase")).to_be_focused()  # the focus follows the purchase
    await tab_to("pay-ok")
    await watch.keyboard.press("Enter")
    await expect(watch.get_by_test_id("order-id")).to_be_visible()
    assert await site.stock(POT) == {"on_hand": 7, "held": 0, "sold": 1, "available": 7, "returned": 0}
    assert watch.problems == []


async def test_a_hold_outlives_a_reload_and_the_guest_stays_the_same(site, watch):
    await watch.get_by_test_id(f"buy-{POT}").click()
    await expect(watch.get_by_test_id("hold-timer")).to_be_visible()
    before = await watch.evaluate("() => localStorage.getItem('showfloor.guest.kitchen')")
    await watch.reload()
    await expect(watch.get_by_test_id("hold-timer")).to_be_visible()
    assert await watch.evaluate("() => localStorage.getItem('showfloor.guest.kitchen')") == before
    await watch.get_by_test_id("pay-ok").click()
    await expect(watch.get_by_test_id("order-id")).to_be_visible()
    assert (await site.stock(POT))["sold"] == 1


async def test_a_tap_whose_answer_the_reload_swallowed_holds_one_unit(site, watch):
    async def swallow(route):
        await route.fetch()

    await watch.route("**/holds", swallow)
    async with watch.expect_request("**/holds"):
        await watch.get_by_test_id(f"buy-{POT}").click()
    await expect(watch.get_by_test_id(f"stock-{POT}")).to_have_text("7 left")  # the server has it
    await watch.unroute("**/holds")
    await watch.reload()
    await expect(watch.get_by_test_id("hold-timer")).to_be_visible()
    assert (await site.stock(POT))["held"] == 1


async def test_letting_go_returns_the_unit(site, watch):
    await watch.get_by_test_id(f"buy-{POT}").click()
    await watch.get_by_test_id("release").click()
    await expect(watch.get_by_test_id(f"stock-{POT}")).to_have_text("8 left")
    assert (await site.stock(POT))["held"] == 0


async def test_a_declined_card_keeps_the_unit_and_another_one_pays(site, watch):
    await watch.get_by_test_id(f"buy-{POT}").click()
    await watch.get_by_test_id("pay-declined").click()
    await expect(watch.get_by_test_id("buy-notice")).to_contain_text("declined")
    assert (await site.stock(POT))["held"] == 1
    await watch.get_by_test_id("pay-ok").click()
    await expect(watch.get_by_test_id("order-id")).to_be_visible()
    assert (await site.stock(POT))["sold"] == 1


async def test_a_slow_bank_is_waited_for(site, watch):
    await watch.get_by_test_id(f"buy-{POT}").click()
    await watch.get_by_test_id("pay-slow").click()
    await expect(watch.get_by_test_id("order-id")).to_be_visible(timeout=40_000)
    assert (await site.stock(POT))["sold"] == 1


async def lose_answer(route):
    await route.fetch()
    await route.abort()


async def test_a_payment_whose_answers_were_all_lost_is_found_again(site, watch):
    await watch.get_by_test_id(f"buy-{POT}").click()
    await watch.route("**/pay", lose_answer)
    await watch.get_by_test_id("pay-ok").click()
    await expect(watch.get_by_test_id("order-id")).to_be_visible()
    assert (await site.stock(POT))["sold"] == 1


async def test_paying_again_after_an_outage_is_one_order(site, watch):
    keys = []
    watch.on("request", lambda asked: keys.append(asked.headers["idempotency-key"]) if "/pay" in asked.url else None)
    await watch.get_by_test_id(f"buy-{POT}").click()
    await expect(watch.get_by_test_id("hold-timer")).to_be_visible()
    await watch.route("**/api/v1/holds/**", lambda route: route.abort())
    await watch.get_by_test_id("pay-ok").click()
    await expect(watch.get_by_test_id("buy-notice")).to_contain_text("could not reach")
    await watch.unroute("**/api/v1/holds/**")
    await watch.get_by_test_id("pay-ok").click()
    await expect(watch.get_by_test_id("order-id")).to_be_visible()
    assert len(set(keys)) == 1
    orders = await site.ask("GET", f"/api/v1/shows/{SHOW}/orders", token=site.operator)
    assert len(orders["items"]) == 1


async def test_the_last_unit_sold_elsewhere_disables_the_button(site, watch):
    await site.pin(KNIFE)
    await expect(watch.get_by_test_id(f"buy-{KNIFE}")).to_be_enabled()
    await site.buy(KNIFE, "rival")
    await expect(watch.get_by_test_id(f"buy-{KNIFE}")).to_be_disabled()
    await expect(watch.get_by_test_id(f"stock-{KNIFE}")).to_have_text("Sold out")


async def test_who_came_too_late_waits_in_line_and_gets_what_comes_back(site, watch):
    await site.pin(KNIFE)
    hold = await site.hold(KNIFE, "rival")
    await watch.get_by_test_id(f"wait-{KNIFE}").click()
    await expect(watch.get_by_test_id(f"waiting-{KNIFE}")).to_contain_text("You are next")
    await watch.reload()
    await expect(watch.get_by_test_id(f"waiting-{KNIFE}")).to_contain_text("You are next")
    await site.release(*hold)
    await expect(watch.get_by_test_id("hold-timer")).to_be_visible(timeout=15_000)
    await expect(watch.get_by_test_id("buy-notice")).to_contain_text("your turn")
    await watch.get_by_test_id("pay-ok").click()
    await expect(watch.get_by_test_id("order-id")).to_be_visible()
    assert (await site.stock(KNIFE))["sold"] == 1


async def test_an_offer_during_another_purchase_is_kept_in_the_basket_and_a_place_can_be_left(site, watch):
    await site.pin(KNIFE)
    hold = await site.hold(KNIFE, "rival")
    await watch.get_by_test_id(f"wait-{KNIFE}").click()
    await expect(watch.get_by_test_id(f"waiting-{KNIFE}")).to_be_visible()
    await watch.get_by_test_id(f"buy-{POT}").click()
    await expect(watch.get_by_test_id("hold-timer")).to_be_visible()
    await site.release(*hold)
    await expect(watch.get_by_test_id("toasts")).to_contain_text("your turn in line")
    await expect(watch.get_by_test_id("purchase")).to_contain_text("pot")
    await expect(watch.get_by_test_id("kept")).to_contain_text("Chef's knife")
    await expect(watch.get_by_test_id("pay-ok")).to_contain_text("€108.00")
    await watch.get_by_label("Let it go").click()
    await watch.get_by_test_id("release").click()
    await expect(watch.get_by_test_id(f"buy-{KNIFE}")).to_be_enabled()  # it has come back
    rival = await site.hold(KNIFE, "rival-2")
    await watch.get_by_test_id(f"wait-{KNIFE}").click()
    await watch.get_by_test_id(f"leave-{KNIFE}").click()
    await expect(watch.get_by_test_id(f"wait-{KNIFE}")).to_be_visible()
    await site.release(*rival)
    await expect(watch.get_by_test_id(f"buy-{KNIFE}")).to_be_enabled()


async def test_the_limit_per_buyer_is_told_in_words(site, watch):
    await watch.get_by_test_id("all-items").click()
    await watch.get_by_label("Quantity of Cast iron pot").select_option("3")
    await watch.get_by_test_id(f"drawer-buy-{POT}").click()
    await watch.get_by_test_id("pay-ok").click()
    await watch.get_by_test_id("order-close").click()
    await watch.get_by_test_id(f"buy-{POT}").click()
    await expect(watch.get_by_test_id("toasts")).to_contain_text("limit")
    assert (await site.stock(POT))["sold"] == 3


async def test_a_comment_buys_and_a_second_one_goes_to_the_basket(site, watch):
    async def say(text):
        await watch.get_by_test_id("chat-input").fill(text)
        await watch.get_by_test_id("chat-input").press("Enter")

    await say("buy cast lamp")
    await expect(watch.get_by_test_id("toasts")).to_contain_text("no such item")
    await say("BUY POT BLUE 2")
    await expect(watch.get_by_test_id("hold-timer")).to_be_visible()
    await expect(watch.get_by_test_id("chat-list")).to_contain_text("BUY POT BLUE 2")
    await say("sold 2")
    await expect(watch.get_by_test_id("kept")).to_contain_text("Chef's knife")
    assert (await site.stock(POT))["held"] == 2
    assert (await site.stock(KNIFE))["held"] == 1
    assert watch.problems == []


async def test_stopped_sales_close_every_button_and_open_again(site, watch):
    await site.set_sales(is_open=False)
    await expect(watch.get_by_test_id("sales-closed")).to_be_visible()
    await expect(watch.get_by_test_id(f"buy-{POT}")).to_be_disabled()
    await site.set_sales(is_open=True)
    await expect(watch.get_by_test_id(f"buy-{POT}")).to_be_enabled()


async def test_what_a_viewer_writes_stays_text(watch):
    written = '<img src=x onerror="window.__ran = true"> & <b>bold</b>'
    await watch.get_by_test_id("chat-input").fill(written)
    await watch.get_by_test_id("chat-input").press("Enter")
    await expect(watch.get_by_test_id("chat-list")).to_contain_text(written)
    assert await watch.evaluate("() => document.querySelectorAll('[data-testid=chat-list] img').length") == 0
    assert await watch.evaluate("() => window.__ran === undefined")


async def test_a_deleted_message_vanishes(site, watch):
    guest = await site.guest()
    message = await site.say("rude words", guest)
    await expect(watch.get_by_test_id("chat-list")).to_contain_text("rude words")
    await site.ask("DELETE", f"/api/v1/shows/{SHOW}/chat/{message}", token=site.host)
    await expect(watch.get_by_test_id("chat-list")).not_to_contain_text("rude words")


async def test_slow_mode_makes_the_writer_wait_and_loses_no_words(site, watch):
    await site.ask("PUT", f"/api/v1/shows/{SHOW}/chat-settings", {"slow_mode_ms": 60_000}, site.host)
    field, list_ = watch.get_by_test_id("chat-input"), watch.get_by_test_id("chat-list")
    await field.fill("first")
    await field.press("Enter")
    await expect(list_).to_contain_text("first")
    await expect(watch.get_by_test_id("chat-send")).to_be_disabled()
    await field.fill("second")
    await field.press("Enter")
    await expect(field).to_have_value("second")
    await expect(list_).not_to_contain_text("second")


async def test_the_curtain_falls_and_rises_with_the_show(site, watch):
    curtain = watch.get_by_test_id("curtain")
    await expect(curtain).to_contain_text("The host is back in a moment")  # live, but nobody publishes
    await site.set_state("paused")
    await expect(curtain).to_contain_text("short break")
    await expect(watch.get_by_test_id(f"buy-{POT}")).to_be_enabled()  # the shop stays open
    await site.set_state("live")
    await expect(curtain).to_contain_text("back in a moment")
    await expect(watch.get_by_test_id("sound")).to_be_visible()
    await site.set_state("ended")
    await expect(curtain).to_contain_text("has ended")
    await expect(watch.get_by_test_id("sound")).to_be_hidden()  # there is nothing to hear any more
    await expect(watch.get_by_test_id(f"buy-{POT}")).to_be_enabled()


async def test_a_show_that_is_not_there_says_so(site, open_page):
    page = await open_page(f"{site.base_url}/watch/nowhere")
    await expect(page.get_by_test_id("curtain")).to_contain_text("no such show")


async def test_the_pinned_set_follows_the_host(site, watch):
    await expect(watch.get_by_test_id(f"pin-card-{POT}")).to_be_visible()
    await site.pin(KNIFE)
    await expect(watch.get_by_test_id(f"pin-card-{KNIFE}")).to_be_visible()
    await site.ask("DELETE", f"/api/v1/shows/{SHOW}/pins/{POT}", token=site.host)
    await expect(watch.get_by_test_id(f"pin-card-{POT}")).to_be_hidden()
    await site.ask("PUT", f"/api/v1/shows/{SHOW}/items/{KNIFE}/price", {"price_amount": 3900}, site.host)
    await expect(watch.get_by_test_id(f"price-{KNIFE}")).to_have_text("€39.00")


async def test_on_a_phone_what_the_host_has_just_pinned_comes_into_view(site, open_page):
    await site.pin(POT)
    page = await open_page(f"{site.base_url}/watch/{SHOW}", (390, 844))
    await expect(page.get_by_test_id(f"pin-card-{POT}")).to_be_in_viewport(ratio=1)
    await site.pin(KNIFE)
    await expect(page.get_by_test_id(f"pin-card-{KNIFE}")).to_be_in_viewport(ratio=1)
    assert page.problems == []


async def test_an_order_can_be_cancelled_until_its_money_is_taken(site, watch, monkeypatch):
    async def no_answer(*_) -> None:
        raise ProviderFailed("the payment network does not answer")

    with monkeypatch.context() as patch:
        patch.setattr(Outbox, "_capture", no_answer)
        await watch.get_by_test_id(f"buy-{POT}").click()
        await watch.get_by_test_id("pay-ok").click()
        await watch.get_by_test_id("order-cancel").click()
        assert (await site.stock(POT))["sold"] == 1
        await watch.get_by_test_id("confirm-yes").click()
        await expect(watch.get_by_test_id("order-cancelled")).to_be_visible()
    stock = await site.stock(POT)
    assert stock["available"] == stock["on_hand"]
    await watch.get_by_test_id("order-close").click()
    await expect(watch.get_by_test_id(f"buy-{POT}")).to_be_enabled()


async def test_an_order_whose_money_is_taken_offers_no_way_back(site, watch):
    await watch.get_by_test_id(f"buy-{POT}").click()
    await watch.get_by_test_id("pay-ok").click()
    order_id = await watch.get_by_test_id("order-id").text_content()
    async with watch.expect_response(lambda answer: answer.url.endswith(f"/orders/{order_id}") and answer.ok) as seen:
        pass
    assert (await (await seen.value).json())["state"] == "captured"
    await expect(watch.get_by_test_id("order-cancel")).to_be_hidden()
    await expect(watch.get_by_test_id("order-id")).to_be_visible()


async def test_a_tap_that_the_books_do_not_answer_is_confirming_and_then_yours(site, watch, pg):
    async with pg.acquire() as books, books.transaction():
        await books.execute("SELECT FROM stock WHERE variant_id = $1 FOR UPDATE", POT)  # nobody decides meanwhile
        await watch.get_by_test_id(f"buy-{POT}").click()
        await expect(watch.get_by_test_id("confirming")).to_be_visible()
        await expect(watch.get_by_test_id("pay-ok")).to_be_hidden()
        await watch.reload()
        await expect(watch.get_by_test_id("confirming")).to_be_visible()
    await expect(watch.get_by_test_id("hold-timer")).to_be_visible(timeout=60_000)
    await expect(watch.get_by_test_id("buy-notice")).to_contain_text("it is yours")
    await watch.get_by_test_id("pay-ok").click()
    await expect(watch.get_by_test_id("order-id")).to_be_visible()
    assert (await site.stock(POT))["sold"] == 1
