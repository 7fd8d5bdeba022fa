"""The bill beside the video: what is shown is what is charged, and nothing that one holds is forgotten."""

import asyncio

import pytest
from playwright.async_api import expect

SHOW, POT, KNIFE = "kitchen", "pot-blue", "knife"
BASE = f"/api/v1/shows/{SHOW}"
QUOTE = "**/baskets/quote"


@pytest.fixture
async def watch(site, open_page):
    """A viewer with pot and knife pinned."""
    for variant in (POT, KNIFE):
        await site.pin(variant)
    page = await open_page(f"{site.base_url}/watch/{SHOW}")
    await expect(page.get_by_test_id(f"buy-{POT}")).to_be_visible()
    return page


async def orders(site) -> list[tuple[int, list[str], str | None]]:
    """Of each: what was charged, for what, with which coupon."""
    page = await site.ask("GET", f"{BASE}/orders", token=site.operator)
    return [
        (one["total"]["amount"], sorted(line["variant_id"] for line in one["lines"]), one["coupon"])
        for one in page["items"]
    ]


async def take_both(watch):
    await watch.get_by_test_id(f"buy-{POT}").click()
    await watch.get_by_test_id("keep").click()
    await watch.get_by_test_id(f"buy-{KNIFE}").click()
    await expect(watch.get_by_test_id("kept")).to_contain_text("pot")


async def test_while_the_server_does_not_add_it_up_nothing_can_be_paid_and_then_all_of_it_is(site, watch):
    await watch.route(QUOTE, lambda route: route.abort())
    await take_both(watch)
    await expect(watch.get_by_test_id("bill-problem")).to_contain_text("could not reach")
    await expect(watch.get_by_test_id("pay-ok")).to_be_disabled()
    await watch.unroute(QUOTE)
    await expect(watch.get_by_test_id("bill-total")).to_have_text("€108.00")  # it went on asking
    await expect(watch.get_by_test_id("bill-problem")).to_have_count(0)
    await watch.get_by_test_id("pay-ok").click()
    await expect(watch.get_by_test_id("order-id")).to_be_visible()
    assert await orders(site) == [(10800, [KNIFE, POT], None)]


async def test_a_refusal_to_add_it_up_is_said_once_and_can_be_tried_again(site, watch):
    asked = []
    problem = {"status": 400, "code": "bad_request", "detail": "It could not be read."}

    async def refuse(route):
        asked.append(route)
        await route.fulfill(status=400, json=problem, content_type="application/problem+json")

    await watch.route(QUOTE, refuse)
    await take_both(watch)
    await expect(watch.get_by_test_id("bill-problem")).to_contain_text("It could not be read.")
    await expect(watch.get_by_test_id("bill-again")).to_be_visible()
    await expect(watch.get_by_test_id("pay-ok")).to_be_disabled()
    assert len(asked) == 1
    await watch.unroute(QUOTE)
    await watch.get_by_test_id("bill-again").click()
    await expect(watch.get_by_test_id("pay-ok")).to_contain_text("€108.00")
    await expect(watch.get_by_test_id("pay-ok")).to_be_enabled()


async def test_a_coupon_that_the_quote_brings_late_is_waited_for(site, watch):
    await site.ask("POST", f"{BASE}/coupons", {"code": "TEN", "percent_bp": 1000}, site.operator)
    await site.ask("PUT", f"{BASE}/coupon", {"code": "TEN"}, site.host)
    await watch.reload()
    may_answer = asyncio.Event()

    async def late(route):
        await may_answer.wait()
        await route.continue_()

    await watch.route(QUOTE, late)
    async with watch.expect_request(QUOTE):
        await watch.get_by_test_id(f"buy-{POT}").click()
    await expect(watch.get_by_test_id("hold-timer")).to_be_visible()
    await expect(watch.get_by_test_id("pay-ok")).to_be_disabled()
    may_answer.set()
    await expect(watch.get_by_test_id("pay-ok")).to_contain_text("€44.10")
    await watch.get_by_test_id("pay-ok").click()
    await expect(watch.get_by_test_id("order-id")).to_be_visible()
    assert await orders(site) == [(4410, [POT], "TEN")]


async def test_what_is_not_in_the_order_stays_in_the_basket(site, watch):
    may_pay = asyncio.Event()

    async def slow(route):
        await may_pay.wait()
        await route.continue_()

    await watch.get_by_test_id(f"buy-{KNIFE}").click()
    await watch.route("**/pay", slow)
    async with watch.expect_request("**/pay"):
        await watch.get_by_test_id("pay-ok").click()
    await watch.get_by_test_id("chat-input").fill("BUY POT BLUE")
    await watch.get_by_test_id("chat-input").press("Enter")
    await expect(watch.get_by_test_id("kept")).to_contain_text("pot")  # held by a comment, while the knife is paid for
    may_pay.set()
    await expect(watch.get_by_test_id("order-id")).to_be_visible()
    assert await orders(site) == [(5900, [KNIFE], None)]
    await watch.get_by_test_id("order-close").click()
    await watch.get_by_test_id("basket").click()
    await watch.get_by_test_id("pay-ok").click()
    await expect(watch.get_by_test_id("order-id")).to_be_visible()
    assert (await site.stock(POT))["sold"] == 1


async def test_what_is_kept_survives_a_reload_in_which_the_server_does_not_answer(site, watch):
    await watch.get_by_test_id(f"buy-{POT}").click()
    await watch.get_by_test_id("keep").click()
    await expect(watch.get_by_test_id("basket")).to_be_visible()
    one = "**/api/v1/holds/*"
    await watch.route(one, lambda route: route.fulfill(status=500, json={"code": "internal"}))
    async with watch.expect_response(one):
        await watch.reload()
    await watch.get_by_test_id(f"buy-{KNIFE}").click()
    await expect(watch.get_by_test_id("pay-ok")).to_contain_text("€59.00")
    await watch.unroute(one)
    await watch.reload()
    await expect(watch.get_by_test_id("kept")).to_contain_text("pot")
    await expect(watch.get_by_test_id("pay-ok")).to_contain_text("€108.00")
