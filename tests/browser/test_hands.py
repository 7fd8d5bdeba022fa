"""The operator's hands in the console, the rehearsal in the studio, and the books that anybody may open."""

import csv
import json

import pytest
from playwright.async_api import expect

from live.offline import check

SHOW, POT = "kitchen", "pot-blue"
PHONE, DESKTOP = (360, 740), (1280, 800)


@pytest.fixture
async def console(site, open_page):
    page = await open_page(f"{site.base_url}/console/{SHOW}#token={site.operator}")
    await expect(page.get_by_test_id("connection")).to_have_attribute("data-status", "open")
    return page


async def saved(page, test_id, folder):
    """What a button downloads."""
    async with page.expect_download() as waiting:
        await page.get_by_test_id(test_id).click()
    file = await waiting.value
    path = folder / file.suggested_filename
    await file.save_as(path)
    return path


async def test_stock_is_withdrawn_with_a_reason_and_the_alert_comes_once(site, console):
    await console.get_by_test_id(f"stock-more-{POT}").click()
    await console.get_by_test_id(f"withdraw-units-{POT}").fill("3")
    await console.get_by_test_id(f"withdraw-reason-{POT}").fill("broken in the van")
    await console.get_by_test_id(f"withdraw-save-{POT}").click()
    await expect(console.get_by_test_id(f"board-{POT}-available")).to_have_text("5")
    await expect(console.get_by_test_id("toasts")).to_contain_text("Low stock: Cast iron pot, blue, 5 left")
    await expect(console.get_by_test_id(f"low-{POT}")).to_be_visible()
    await console.get_by_test_id(f"restock-{POT}").click()
    await expect(console.get_by_test_id(f"low-{POT}")).to_have_count(0)
    assert console.problems == []


async def test_a_wrong_price_is_listed_and_taken_back_and_the_log_says_by_whom(site, console):
    await site.ask("PUT", f"/api/v1/shows/{SHOW}/items/{POT}/price", {"price_amount": 490}, site.host)
    order = await site.buy(POT, "cheap")
    hold, _ = await site.hold(POT, "open")
    await site.ask("PUT", f"/api/v1/shows/{SHOW}/items/{POT}/price", {"price_amount": 4900}, site.host)
    dear = await site.buy(POT, "dear")
    await console.get_by_test_id("price-errors").locator("summary").click()
    await console.get_by_test_id("price-error-variant").select_option(POT)
    await console.get_by_test_id("price-error-amount").fill("4,90")
    await console.get_by_test_id("price-error-look").click()
    found = console.get_by_test_id("price-error-found")
    await expect(found).to_contain_text("1 sale, 1 open hold, €4.90 to give back")
    await console.get_by_test_id("price-error-take-back").click()
    await console.get_by_test_id("confirm-yes").click()
    await expect(found).to_contain_text("0 sales, 0 open holds, €0.00 to give back. 2 taken back, 0 left")
    states = [(await site.ask("GET", f"/api/v1/orders/{one}", token=site.operator))["state"] for one in (order, dear)]
    assert states == ["refunded", "captured"]
    assert (await site.ask("GET", f"/api/v1/holds/{hold}", token=site.operator))["state"] == "released"
    await console.get_by_test_id("audit").locator("summary").click()
    log = console.get_by_test_id("audit-entries")
    await expect(log).to_contain_text("Took back a wrong price")
    await expect(log).to_contain_text("Changed the price")
    await expect(log).to_contain_text("€49.00 → €4.90")
    assert console.problems == []


async def test_the_orders_are_exported_and_add_up(site, console, tmp_path):
    await site.buy(POT, "one")
    await expect(console.get_by_test_id("total-paid")).to_have_text("€49.00")
    path = await saved(console, "export-orders", tmp_path)
    (line,) = csv.DictReader(path.read_text().splitlines())
    assert (path.name, line["paid"], line["currency"]) == (f"orders-{SHOW}.csv", "49.00", "EUR")


@pytest.mark.parametrize("size", [PHONE, DESKTOP], ids=["phone", "desktop"])
async def test_a_buyer_takes_the_receipt_and_finds_the_order_in_the_books(site, open_page, tmp_path, size):
    await site.pin(POT)
    watch = await open_page(f"{site.base_url}/watch/{SHOW}", size)
    await watch.get_by_test_id(f"buy-{POT}").click()
    await watch.get_by_test_id("pay-ok").click()
    receipt = await saved(watch, "receipt", tmp_path)
    books = await open_page(f"{site.base_url}/audit/{SHOW}", size)
    await expect(books.get_by_test_id(f"book-{POT}-sold")).to_have_text("\u22121")
    await expect(books.get_by_test_id("balanced")).to_have_attribute("data-balanced", "true")
    await books.get_by_test_id("check").click()
    await expect(books.get_by_test_id("verdict")).to_have_attribute("data-good", "true")
    await books.get_by_test_id("receipt").set_input_files(receipt)
    await expect(books.get_by_test_id("mine")).to_contain_text("Your order, number 1, is in the ledger.")
    ledger = await saved(books, "download-ledger", tmp_path)
    text, ok = check(ledger, receipt)
    assert ok, text
    forged = tmp_path / "forged.json"
    forged.write_text(json.dumps(json.loads(receipt.read_text()) | {"order_id": "ord_another"}))
    await books.get_by_test_id("receipt").set_input_files(forged)
    await expect(books.get_by_test_id("mine")).to_have_attribute("data-good", "false")
    wide = await books.evaluate("() => [document.documentElement.scrollWidth, innerWidth]")
    assert wide[0] <= wide[1]
    assert watch.problems == books.problems == []


async def test_an_edited_ledger_does_not_pass_in_the_browser(site, open_page):
    await site.buy(POT, "one")
    books = await open_page(f"{site.base_url}/audit/{SHOW}")

    async def edited(route):
        answer = await route.fetch()
        await route.fulfill(response=answer, body=(await answer.text()).replace('"units":8', '"units":9', 1))

    await books.route("**/public-ledger", edited)
    await books.get_by_test_id("check").click()
    await expect(books.get_by_test_id("verdict")).to_have_attribute("data-good", "false")
    await expect(books.get_by_test_id("verdict")).to_contain_text("entry 1 was changed")


async def test_a_host_rehearses_and_comes_back_and_nothing_has_changed(site, open_page):
    merchant = site.merchant
    await site.ask("POST", "/api/v1/shows", {"show_id": "soon", "title": "Soon", "starts_at_ms": 1000}, merchant)
    item = {"variant_id": POT, "opening_stock": 4, "limit_per_buyer": 2}
    await site.ask("POST", "/api/v1/shows/soon/items", item, merchant)
    before = await site.ask("GET", "/api/v1/shows/soon")
    studio = await open_page(f"{site.base_url}/studio/soon#token={merchant}")
    await studio.get_by_test_id("rehearse").click()
    await studio.get_by_test_id("confirm-yes").click()
    await expect(studio.get_by_test_id("rehearsal")).to_contain_text("Nothing here counts")
    await expect(studio).to_have_url(f"{site.base_url}/studio/soon-rehearsal")
    await site.ask("PUT", "/api/v1/shows/soon-rehearsal/state", {"state": "live"}, merchant)
    watch = await open_page(f"{site.base_url}/watch/soon-rehearsal")
    await expect(watch.get_by_test_id("rehearsal")).to_be_visible()
    await studio.get_by_test_id("rehearsal-end").click()
    await expect(studio).to_have_url(f"{site.base_url}/studio/soon")
    assert await site.ask("GET", "/api/v1/shows/soon") == before
    assert (await site.ask("GET", "/api/v1/shows/soon-rehearsal"))["state"] == "ended"
