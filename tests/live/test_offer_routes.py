"""Bundles, flash prices and coupons through HTTP, as host, operator and buyer use them."""

import asyncio
import time

import pytest

from schema.people import Role

SHOW = "/api/v1/shows/demo"


def soon_ms(seconds: float) -> int:
    return time.time_ns() // 1_000_000 + int(seconds * 1000)


async def show(shop):
    return (await shop.ask("GET", SHOW)).json()


async def hold(shop, variant, key, **more):
    body = {"variant_id": variant, **more}
    return await shop.ask("POST", f"{SHOW}/holds", body, Role.VIEWER, Idempotency_Key=key)


async def eventually(check, within_s=15.0):
    async with asyncio.timeout(within_s):
        while not await check():
            await asyncio.sleep(0.05)


@pytest.fixture
async def bundled(shop):
    """The shop with a bundle of one red and two blue ones."""
    parts = [{"variant_id": "red"}, {"variant_id": "blue", "units": 2}]
    asked = {"bundle_id": "trio", "title": "Three pots", "price_amount": 12000, "parts": parts}
    made = await shop.ask("POST", f"{SHOW}/bundles", asked, Role.OPERATOR)
    assert made.status_code == 201, made.text
    return shop


class TestBundles:
    async def test_it_is_listed_with_its_parts_and_as_many_as_the_scarcest_allows(self, bundled):
        (trio,) = (await show(bundled))["bundles"]
        assert (trio["available"], trio["price"]["amount"], trio["instead_of"]["amount"]) == (4, 12000, 14700)
        assert trio["parts"] == [{"variant_id": "red", "units": 1}, {"variant_id": "blue", "units": 2}]

    async def test_a_viewer_holds_and_pays_for_it_by_its_id(self, bundled):
        taken = (await hold(bundled, "trio", "k")).json()
        assert taken["bundle"]["total"]["amount"] == 12000
        pay = {"payment_method": "fake_ok"}
        path = f"/api/v1/holds/{taken['hold_id']}/pay"
        order = (await bundled.ask("POST", path, pay, Role.VIEWER, Idempotency_Key="p")).json()
        assert (order["total"]["amount"], len(order["lines"])) == (12000, 2)
        after = await show(bundled)
        assert after["bundles"][0]["available"] == 3
        assert [item["stock"]["sold"] for item in after["items"]] == [1, 2]

    async def test_a_rehearsal_has_it_too(self, bundled):
        show = {"title": "Soon", "starts_at_ms": 1000, "show_id": "soon"}
        await bundled.ask("POST", "/api/v1/shows", show, Role.OPERATOR)
        for variant in ("red", "blue"):
            item = {"variant_id": variant, "opening_stock": 4}
            await bundled.ask("POST", "/api/v1/shows/soon/items", item, Role.OPERATOR)
        parts = [{"variant_id": "red"}, {"variant_id": "blue"}]
        duo = {"bundle_id": "duo", "title": "Two pots", "price_amount": 9000, "parts": parts}
        assert (await bundled.ask("POST", "/api/v1/shows/soon/bundles", duo, Role.OPERATOR)).status_code == 201
        rehearsals = bundled.services["rehearsals"]
        rehearsal = await rehearsals.begin("soon")
        assert await rehearsals.begin("soon") == rehearsal
        (copied,) = (await bundled.ask("GET", f"/api/v1/shows/{rehearsal}")).json()["bundles"]
        assert (copied["bundle_id"], copied["available"], len(copied["parts"])) == ("duo", 4, 2)

    async def test_it_is_pinned_like_an_item(self, bundled):
        assert (await bundled.ask("POST", f"{SHOW}/pins", {"variant_id": "trio"}, Role.HOST)).status_code == 201
        assert (await show(bundled))["pins"] == ["trio"]

    @pytest.mark.parametrize(
        ("change", "status"),
        [
            ({"bundle_id": "trio"}, 409),
            ({"bundle_id": "red"}, 409),
            ({"parts": [{"variant_id": "red"}, {"variant_id": "gone"}]}, 422),
            ({"parts": [{"variant_id": "red"}, {"variant_id": "red"}]}, 422),
            ({"parts": [{"variant_id": "red"}]}, 422),
        ],
    )
    async def test_what_contradicts_itself_is_refused_and_leaves_nothing(self, bundled, change, status):
        parts = [{"variant_id": "red"}, {"variant_id": "blue"}]
        asked = {"bundle_id": "duo", "title": "Two", "price_amount": 1, "parts": parts, **change}
        assert (await bundled.ask("POST", f"{SHOW}/bundles", asked, Role.OPERATOR)).status_code == status
        assert [one["bundle_id"] for one in (await show(bundled))["bundles"]] == ["trio"]


class TestFlashPrices:
    PATH = f"{SHOW}/items/red/flash-price"

    async def begin(self, shop, **more):
        asked = {"price_amount": 3900, "quantity": 2, "ends_at_ms": soon_ms(60), **more}
        return await shop.ask("PUT", self.PATH, asked, Role.HOST)

    async def test_the_show_has_it_with_its_end_and_what_is_left(self, shop):
        begun = await self.begin(shop)
        assert begun.status_code == 200, begun.text
        assert begun.json()["price"]["amount"] == 3900
        assert (await hold(shop, "red", "a", unit_price_amount=3900)).json()["unit_price"]["amount"] == 3900
        red = (await show(shop))["items"][0]
        assert (red["flash"]["remaining"], red["flash"]["quantity"]) == (1, 2)
        assert red["flash"]["instead_of"]["amount"] == 4900
        assert (await self.begin(shop)).status_code == 409

    async def test_at_its_end_the_api_refuses_the_old_price_and_everybody_is_told_the_new_one(self, shop):
        await self.begin(shop)
        ended = await shop.ask("DELETE", self.PATH, None, Role.HOST)
        assert (ended.json()["price"]["amount"], ended.json()["flash"]) == (4900, None)
        refused = await hold(shop, "red", "a", unit_price_amount=3900)
        assert (refused.status_code, refused.json()["code"]) == (409, "price_changed")
        assert (await hold(shop, "red", "b", unit_price_amount=4900)).status_code == 201
        assert (await self.begin(shop)).json()["not_before_ms"] > soon_ms(0)

    async def test_its_end_by_the_clock_is_told_once(self, shop, pg):
        await self.begin(shop, ends_at_ms=soon_ms(1))
        version = (await show(shop))["version"]

        async def told() -> bool:
            return await pg.fetchval("SELECT end_told FROM flash_prices")

        await eventually(told)
        after = await show(shop)
        assert (after["items"][0]["price"]["amount"], after["items"][0]["flash"]) == (4900, None)
        await shop.services["offers"].look()
        assert (await show(shop))["version"] == version + 1

    async def test_a_viewer_begins_none(self, shop):
        asked = {"price_amount": 1, "quantity": 2, "ends_at_ms": soon_ms(60)}
        assert (await shop.ask("PUT", self.PATH, asked, Role.VIEWER)).status_code == 403


class TestCoupons:
    async def test_a_pinned_one_is_in_the_show_and_in_a_quote_that_names_it(self, shop):
        made = await shop.ask("POST", f"{SHOW}/coupons", {"code": "TEN", "percent_bp": 1000}, Role.OPERATOR)
        assert made.status_code == 201, made.text
        assert (await show(shop))["coupon"] is None
        assert (await shop.ask("PUT", f"{SHOW}/coupon", {"code": "TEN"}, Role.HOST)).json()["pinned"]
        assert (await show(shop))["coupon"]["code"] == "TEN"
        taken = (await hold(shop, "red", "a")).json()
        asked = {"hold_ids": [taken["hold_id"]], "coupon": "TEN"}
        quote = (await shop.ask("POST", f"{SHOW}/baskets/quote", asked, Role.VIEWER)).json()
        assert (quote["discount"]["amount"], quote["total"]["amount"]) == (490, 4410)
        pay = {**asked, "total": 4410, "payment_method": "fake_ok"}
        paid = await shop.ask("POST", f"{SHOW}/baskets/pay", pay, Role.VIEWER, Idempotency_Key="p")
        assert paid.json()["total"]["amount"] == 4410
        listed = (await shop.ask("GET", f"{SHOW}/coupons", None, Role.HOST)).json()["items"]
        assert [(one["code"], one["used"]) for one in listed] == [("TEN", 1)]
        assert (await shop.ask("DELETE", f"{SHOW}/coupon", None, Role.HOST)).status_code == 204
        assert (await show(shop))["coupon"] is None

    async def test_charges_are_public_and_set_by_an_operator(self, shop):
        rates = {"home_country": "DE", "tax": [{"country": "DE", "rate_bp": 1900}]}
        assert (await shop.ask("PUT", f"{SHOW}/charges", rates, Role.HOST)).status_code == 403
        assert (await shop.ask("PUT", f"{SHOW}/charges", rates, Role.OPERATOR)).status_code == 200
        assert (await shop.ask("GET", f"{SHOW}/charges")).json()["tax"] == rates["tax"]

    async def test_paying_another_total_is_told_the_right_one(self, shop):
        taken = (await hold(shop, "red", "a")).json()
        pay = {"hold_ids": [taken["hold_id"]], "total": 1, "payment_method": "fake_ok"}
        refused = await shop.ask("POST", f"{SHOW}/baskets/pay", pay, Role.VIEWER, Idempotency_Key="p")
        assert (refused.status_code, refused.json()["code"], refused.json()["total"]) == (409, "price_changed", 4900)
