"""What a show offers, on the pages: a flash price with its countdown, a bundle, a pinned coupon, a basket with its bill."""

import time

import pytest
from playwright.async_api import expect

SHOW, POT, KNIFE = "kitchen", "pot-blue", "knife"
BASE = f"/api/v1/shows/{SHOW}"
CHARGES = {
    "home_country": "DE",
    "tax": [{"country": "DE", "rate_bp": 1900}, {"country": "AT", "rate_bp": 2000}],
    "shipping": [
        {"country": "DE", "method": "standard", "amount": 0},
        {"country": "AT", "method": "standard", "amount": 690},
    ],
}


@pytest.fixture
async def watch(site, open_page):
    """A viewer of a show with tax, shipping, a bundle and a pinned coupon; pot and bundle are pinned."""
    await site.ask("PUT", f"{BASE}/charges", CHARGES, site.operator)
    parts = [{"variant_id": POT}, {"variant_id": KNIFE}]
    bundle = {"bundle_id": "set", "title": "Pot and knife", "price_amount": 9500, "parts": parts}
    await site.ask("POST", f"{BASE}/bundles", bundle, site.operator)
    await site.ask("POST", f"{BASE}/coupons", {"code": "TEN", "percent_bp": 1000}, site.operator)
    for variant in (POT, "set"):
        await site.pin(variant)
    page = await open_page(f"{site.base_url}/watch/{SHOW}")
    await expect(page.get_by_test_id(f"buy-{POT}")).to_be_visible()
    return page


async def flash(site, lasts_s: float, **more):
    asked = {"price_amount": 3900, "quantity": 2, "ends_at_ms": int((time.time() + lasts_s) * 1000), **more}
    await site.ask("PUT", f"{BASE}/items/{POT}/flash-price", asked, site.host)


async def test_a_flash_price_counts_down_and_what_is_left_of_it_shrinks_and_at_its_end_the_usual_one_is_back(
    site, watch
):
    await flash(site, 600)
    note = watch.get_by_test_id(f"flash-{POT}")
    await expect(note).to_have_attribute("data-remaining", "2")
    await expect(watch.get_by_test_id(f"price-{POT}")).to_have_text("€39.00")
    await site.hold(POT, "rival")
    await expect(note).to_have_attribute("data-remaining", "1")
    await watch.get_by_test_id(f"buy-{POT}").click()
    await expect(watch.get_by_test_id("bill-total")).to_have_text("€39.00")
    await watch.get_by_test_id("release").click()
    await site.ask("DELETE", f"{BASE}/items/{POT}/flash-price", None, site.host)
    await expect(watch.get_by_test_id(f"price-{POT}")).to_have_text("€49.00")
    await expect(note).to_have_count(0)
    assert watch.problems == []


async def test_two_things_are_kept_and_paid_for_as_one_with_the_pinned_coupon_at_the_total_that_was_shown(site, watch):
    await site.ask("PUT", f"{BASE}/coupon", {"code": "TEN"}, site.host)
    await watch.get_by_test_id(f"buy-{POT}").click()
    await expect(watch.get_by_test_id("coupon-pinned")).to_contain_text("TEN")
    await expect(watch.get_by_test_id("bill-total")).to_have_text("€44.10")
    await watch.get_by_test_id("keep").click()
    await expect(watch.get_by_test_id("basket")).to_contain_text("1 item")
    await watch.get_by_test_id("buy-set").click()
    await expect(watch.get_by_test_id("bill-total")).to_have_text("€129.60")
    await watch.get_by_test_id("ship-country").select_option("AT")
    await expect(watch.get_by_test_id("bill-total")).to_have_text("€136.50")
    await expect(watch.get_by_test_id("bill-shipping")).to_have_text("€6.90")
    await expect(watch.get_by_test_id("bill-tax")).to_have_text("€22.75")
    await watch.get_by_test_id("pay-ok").click()
    await expect(watch.get_by_test_id("order-id")).to_be_visible()
    (order,) = (await site.ask("GET", f"{BASE}/orders", token=site.operator))["items"]
    assert (order["total"]["amount"], order["country"], order["coupon"]) == (13650, "AT", "TEN")
    assert sorted(line["variant_id"] for line in order["lines"]) == [KNIFE, POT, POT]
    await watch.get_by_test_id("order-close").click()
    await expect(watch.get_by_test_id("basket")).to_have_count(0)
    assert watch.problems == []


async def test_what_is_kept_outlives_a_reload(site, watch):
    await watch.get_by_test_id(f"buy-{POT}").click()
    await watch.get_by_test_id("keep").click()
    await watch.reload()
    await watch.get_by_test_id("basket").click()
    await watch.get_by_test_id("pay-ok").click()
    await expect(watch.get_by_test_id("order-id")).to_be_visible()
    assert (await site.stock(POT))["sold"] == 1


async def test_a_bundle_is_sold_out_as_soon_as_one_of_its_parts_is(site, watch):
    await expect(watch.get_by_test_id("stock-set")).to_have_text("1 left")
    await site.hold(KNIFE, "rival")
    await expect(watch.get_by_test_id("buy-set")).to_be_disabled()


async def test_the_host_begins_a_flash_price_and_pins_a_coupon_and_every_page_has_them(site, watch, open_page):
    studio = await open_page(f"{site.base_url}/studio/{SHOW}#token={site.host}")
    await studio.get_by_test_id(f"flash-{POT}").click()
    await studio.get_by_test_id(f"flash-price-{POT}").fill("39")
    await studio.get_by_test_id(f"flash-units-{POT}").fill("2")
    await studio.get_by_test_id(f"flash-begin-{POT}").click()
    await expect(watch.get_by_test_id(f"price-{POT}")).to_have_text("€39.00")
    await studio.get_by_test_id("coupon-TEN").click()
    await watch.get_by_test_id(f"buy-{POT}").click()
    await expect(watch.get_by_test_id("bill-total")).to_have_text("€35.10")
    console = await open_page(f"{site.base_url}/console/{SHOW}#token={site.operator}")
    await expect(console.get_by_test_id("board-set-available")).to_have_text("1")
    await expect(console.get_by_test_id(f"flash-{POT}")).to_have_attribute("data-remaining", "1")
    assert [*watch.problems, *console.problems] == []
