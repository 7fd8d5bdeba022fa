"""The console: stock, orders, refunds, moderation, and the switch that stops sales."""

import pytest
from playwright.async_api import expect

SHOW, POT = "kitchen", "pot-blue"


@pytest.fixture
async def console(site, open_page):
    page = await open_page(f"{site.base_url}/console/{SHOW}#token={site.operator}")
    await expect(page.get_by_test_id("connection")).to_have_attribute("data-status", "open")
    return page


async def board(console, row, **columns):
    for column, units in columns.items():
        await expect(console.get_by_test_id(f"board-{row}-{column}")).to_have_text(str(units))


async def test_the_board_counts_and_totals_what_is_sold_and_restocked(site, console):
    await board(console, POT, on_hand=8, held=0, sold=0, available=8)
    await board(console, "total", on_hand=9, held=0, sold=0, available=9)
    await site.buy(POT, "one")
    await board(console, POT, on_hand=7, held=0, sold=1, available=7)
    await console.get_by_test_id(f"restock-{POT}").click()
    await board(console, POT, on_hand=17, held=0, sold=1, available=17)
    await console.get_by_test_id(f"restock-input-{POT}").fill("3")
    await console.get_by_test_id(f"restock-custom-{POT}").click()
    await board(console, POT, on_hand=20, held=0, sold=1, available=20)
    await board(console, "total", on_hand=21, held=0, sold=1, available=21)
    assert console.problems == []


async def test_an_order_appears_and_is_refunded_in_part_and_then_in_full(site, console):
    order = await site.buy(POT, "one")
    await expect(console.get_by_test_id(f"order-{order}")).to_be_visible()
    await expect(console.get_by_test_id("total-paid")).to_have_text("€49.00")
    await console.get_by_test_id(f"refund-input-{order}").fill("9,50")
    await console.get_by_test_id(f"refund-part-{order}").click()
    await console.get_by_test_id("confirm-yes").click()
    await expect(console.get_by_test_id("total-refunded")).to_have_text("€9.50")
    assert (await site.stock(POT))["on_hand"] == 7  # the unit stays with the buyer

    await console.get_by_test_id(f"refund-{order}").click()
    await console.get_by_test_id("confirm-no").click()
    await expect(console.get_by_test_id("total-refunded")).to_have_text("€9.50")
    await console.get_by_test_id(f"refund-{order}").click()
    await console.get_by_test_id("confirm-yes").click()
    await expect(console.get_by_test_id("total-refunded")).to_have_text("€49.00")
    await expect(console.get_by_test_id("total-net")).to_have_text("€0.00")
    await expect(console.get_by_test_id(f"refund-{order}")).to_have_count(0)
    await board(console, POT, on_hand=8)


async def test_an_impossible_part_is_refused_before_it_is_asked(site, console):
    order = await site.buy(POT, "one")
    await console.get_by_test_id(f"refund-input-{order}").fill("50")
    await console.get_by_test_id(f"refund-part-{order}").click()
    await expect(console.get_by_test_id("toasts")).to_contain_text("Between")
    await expect(console.get_by_test_id("confirm")).to_have_count(0)
    assert (await site.ask("GET", f"/api/v1/orders/{order}", token=site.operator))["refunded"]["amount"] == 0


async def test_an_open_hold_is_listed(site, console):
    token = await site.guest()
    hold = await site.ask("POST", f"/api/v1/shows/{SHOW}/holds", {"variant_id": POT}, token, Idempotency_Key="tap")
    await expect(console.get_by_test_id(f"hold-{hold['hold_id']}")).to_contain_text("€49.00")
    await site.ask("DELETE", f"/api/v1/holds/{hold['hold_id']}", token=token)
    await expect(console.get_by_test_id(f"hold-{hold['hold_id']}")).to_have_count(0)


async def test_the_switch_stops_sales_after_a_question(site, console):
    await console.get_by_test_id("sales-switch").click()
    await console.get_by_test_id("confirm-no").click()
    assert (await site.show())["sales_open"] is True
    await console.get_by_test_id("sales-switch").click()
    await console.get_by_test_id("confirm-yes").click()
    await expect(console.get_by_test_id("sales-state")).to_have_attribute("data-open", "false")
    assert (await site.show())["sales_open"] is False


async def test_a_message_is_taken_down_and_slow_mode_set(site, console):
    message = await site.say("rude words", await site.guest())
    await console.get_by_test_id(f"chat-delete-{message}").click()
    await expect(console.get_by_test_id("chat-list")).not_to_contain_text("rude words")
    async with console.expect_response("**/chat-settings"):
        await console.get_by_test_id("slow-mode").select_option("5000")
    assert (await site.show())["slow_mode_ms"] == 5000
    await expect(console.get_by_test_id("slow-mode")).to_have_value("5000")
    assert console.problems == []


async def test_what_the_payment_provider_refused_is_shown_and_said_again(site, pg, open_page):
    await site.buy(POT, "one")
    parked = "UPDATE outbox SET state = 'parked', why = '409 from the provider', attempts = 3 RETURNING outbox_id"
    entry = await pg.fetchval(parked)
    page = await open_page(f"{site.base_url}/console/{SHOW}#token={site.operator}")
    await expect(page.get_by_test_id(f"parked-{entry}")).to_contain_text("409 from the provider")
    await page.get_by_test_id(f"parked-again-{entry}").click()
    await expect(page.get_by_test_id("provider")).to_have_count(0)  # nothing is left to do
    assert page.problems == []
