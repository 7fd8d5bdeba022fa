"""The show's operations, through HTTP, on real stores: what each does, and what it refuses."""

import asyncio
from itertools import pairwise

import pytest

from schema.people import Role

SHOW = "/api/v1/shows/demo"


async def test_a_show_is_scheduled_listed_and_read(client):
    made = await client.ask("POST", "/api/v1/shows", {"title": "Knives", "starts_at_ms": 5}, Role.OPERATOR)
    assert made.status_code == 201
    show = made.json()
    assert made.headers["location"] == f"/api/v1/shows/{show['show_id']}"
    assert (show["state"], show["sales_open"], show["items"], show["pins"]) == ("scheduled", True, [], [])
    listed = (await client.ask("GET", "/api/v1/shows")).json()
    assert [one["show_id"] for one in listed["items"]] == [show["show_id"]]
    assert (await client.ask("GET", made.headers["location"])).json() == show


async def test_a_show_is_an_event_for_calendars(shop):
    answer = await shop.ask("GET", f"{SHOW}/calendar")
    assert answer.headers["content-type"] == "text/calendar; charset=utf-8"
    assert answer.headers["content-disposition"] == 'attachment; filename="demo.ics"'
    lines = answer.text.split("\r\n")
    assert {"SUMMARY:Kitchen", "DTSTART:19700101T000001Z", "URL:http://showfloor.test/watch/demo"} < set(lines)
    assert (await shop.ask("GET", "/api/v1/shows/nowhere/calendar")).status_code == 404


async def test_a_show_id_is_taken_once(client):
    asked = {"title": "Knives", "starts_at_ms": 5, "show_id": "knives"}
    assert (await client.ask("POST", "/api/v1/shows", asked, Role.OPERATOR)).status_code == 201
    again = await client.ask("POST", "/api/v1/shows", {**asked, "title": "Other"}, Role.OPERATOR)
    assert (again.status_code, again.json()["code"]) == (409, "conflict")
    assert (await client.ask("GET", "/api/v1/shows/knives")).json()["title"] == "Knives"


async def test_pages_of_shows_follow_each_other_without_gap_or_overlap(client):
    for number in range(5):
        asked = {"title": "T", "starts_at_ms": number // 2, "show_id": f"s{number}"}
        await client.ask("POST", "/api/v1/shows", asked, Role.OPERATOR)
    seen, cursor = [], None
    for _ in range(3):
        path = "/api/v1/shows?limit=2" + (f"&cursor={cursor}" if cursor else "")
        page = (await client.ask("GET", path)).json()
        seen += [one["show_id"] for one in page["items"]]
        cursor = page["next_cursor"]
    assert seen == ["s4", "s3", "s2", "s1", "s0"]
    assert cursor is None


@pytest.mark.parametrize("query", ["cursor=zzz", "cursor=" + "A" * 600, "limit=0", "limit=101", "limit=x", "limit=²"])
async def test_a_foreign_cursor_or_limit_is_refused(client, query):
    answer = await client.ask("GET", f"/api/v1/shows?{query}")
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid")


async def test_an_item_has_the_shape_that_clients_rely_on(shop):
    show = (await shop.ask("GET", SHOW)).json()
    red = show["items"][0]
    assert red["variant_id"] == "red"
    assert red["title"] == "Pot"
    assert red["price"] == {"amount": 4900, "currency": "EUR"}
    assert red["limit_per_buyer"] == 3
    assert red["stock"] == {"on_hand": 12, "held": 0, "sold": 0, "available": 12, "returned": 0}
    assert [item["position"] for item in show["items"]] == [0, 1]


async def test_an_unchanged_show_is_not_sent_again(shop):
    first = await shop.ask("GET", SHOW)
    again = await shop.ask("GET", SHOW, if_none_match=first.headers["etag"])
    assert (again.status_code, again.content) == (304, b"")
    await shop.ask("POST", f"{SHOW}/items/red/restock", {"quantity": 1}, Role.OPERATOR)
    assert (await shop.ask("GET", SHOW, if_none_match=first.headers["etag"])).status_code == 200


async def test_a_write_on_a_stale_version_is_refused_and_changes_nothing(shop):
    stale = (await shop.ask("GET", SHOW)).headers["etag"]
    await shop.ask("PUT", f"{SHOW}/sales", {"open": False}, Role.OPERATOR)
    refused = await shop.ask("PUT", f"{SHOW}/state", {"state": "ended"}, Role.HOST, if_match=stale)
    assert (refused.status_code, refused.json()["code"]) == (412, "precondition_failed")
    now = await shop.ask("GET", SHOW)
    assert now.json()["state"] == "live"
    done = await shop.ask("PUT", f"{SHOW}/state", {"state": "ended"}, Role.HOST, if_match=now.headers["etag"])
    assert (done.status_code, done.json()["state"]) == (200, "ended")


async def test_stock_that_moves_does_not_refuse_the_hosts_write(shop):
    etag = (await shop.ask("GET", SHOW)).headers["etag"]
    await shop.ask("POST", f"{SHOW}/items/red/restock", {"quantity": 1}, Role.OPERATOR)
    done = await shop.ask("PUT", f"{SHOW}/state", {"state": "paused"}, Role.HOST, if_match=etag)
    assert done.status_code == 200


async def test_a_foreign_etag_never_matches(shop):
    refused = await shop.ask("PUT", f"{SHOW}/state", {"state": "ended"}, Role.HOST, if_match='"other"')
    assert refused.status_code == 412


async def test_a_move_the_life_of_a_show_does_not_have_is_refused(shop):
    refused = await shop.ask("PUT", f"{SHOW}/state", {"state": "scheduled"}, Role.HOST)
    assert (refused.status_code, refused.json()["code"], refused.json()["state"]) == (409, "conflict", "live")


async def test_the_kill_switch_shows_and_raises_the_version(shop):
    before = (await shop.ask("GET", SHOW)).json()["version"]
    closed = (await shop.ask("PUT", f"{SHOW}/sales", {"open": False}, Role.OPERATOR)).json()
    assert (closed["sales_open"], closed["version"]) == (False, before + 1)
    same = (await shop.ask("PUT", f"{SHOW}/sales", {"open": False}, Role.OPERATOR)).json()
    assert same["version"] == before + 1


async def test_slow_mode_is_set(shop):
    answer = await shop.ask("PUT", f"{SHOW}/chat-settings", {"slow_mode_ms": 3000}, Role.HOST)
    assert answer.json()["slow_mode_ms"] == 3000
    refused = await shop.ask("PUT", f"{SHOW}/chat-settings", {"slow_mode_ms": 600_001}, Role.HOST)
    assert (refused.status_code, refused.json()["pointer"]) == (422, "/slow_mode_ms")


async def test_a_pin_appears_once_and_goes(shop):
    first = await shop.ask("POST", f"{SHOW}/pins", {"variant_id": "red"}, Role.HOST)
    assert (first.status_code, first.json()["variant_id"]) == (201, "red")
    again = await shop.ask("POST", f"{SHOW}/pins", {"variant_id": "red"}, Role.HOST)
    assert (again.status_code, again.json()) == (201, first.json())
    await shop.ask("POST", f"{SHOW}/pins", {"variant_id": "blue"}, Role.HOST)
    assert (await shop.ask("GET", SHOW)).json()["pins"] == ["red", "blue"]
    assert (await shop.ask("DELETE", f"{SHOW}/pins/red", role=Role.HOST)).status_code == 204
    assert (await shop.ask("DELETE", f"{SHOW}/pins/red", role=Role.HOST)).status_code == 204
    assert (await shop.ask("GET", SHOW)).json()["pins"] == ["blue"]


async def test_a_pin_may_say_which_moment_of_the_video_it_belongs_to(shop):
    """Without a host there is none to belong to, and the pin is no other than one that did not say."""
    said = await shop.ask(
        "POST", f"{SHOW}/pins", {"variant_id": "red", "captured_at_ms": 1_780_000_000_000.25}, Role.HOST
    )
    assert (said.status_code, set(said.json())) == (201, {"variant_id", "pinned_at_ms"})
    refused = await shop.ask("POST", f"{SHOW}/pins", {"variant_id": "blue", "captured_at_ms": -1}, Role.HOST)
    assert (refused.status_code, refused.json()["pointer"]) == (422, "/captured_at_ms")
    assert (await shop.ask("GET", SHOW)).json()["pins"] == ["red"]


async def test_what_is_not_on_sale_cannot_be_pinned(shop):
    refused = await shop.ask("POST", f"{SHOW}/pins", {"variant_id": "cream"}, Role.HOST)
    assert (refused.status_code, refused.json()["code"]) == (404, "not_found")


async def test_a_new_price_is_shown(shop):
    answer = await shop.ask("PUT", f"{SHOW}/items/red/price", {"price_amount": 3900}, Role.HOST)
    assert (answer.status_code, answer.json()["price"]["amount"]) == (200, 3900)
    assert (await shop.ask("GET", SHOW)).json()["items"][0]["price"]["amount"] == 3900
    other = await shop.ask("PUT", f"{SHOW}/items/none/price", {"price_amount": 3900}, Role.HOST)
    assert other.status_code == 404


async def test_a_restock_with_a_key_adds_its_units_once(shop):
    async def restock(quantity: int, key: str):
        path = f"{SHOW}/items/blue/restock"
        return await shop.ask("POST", path, {"quantity": quantity}, Role.OPERATOR, idempotency_key=key)

    first = (await restock(10, "truck")).json()
    assert (await restock(10, "truck")).json() == first
    other = await restock(11, "truck")
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_mismatch")
    assert (await restock(10, "van")).json()["stock"]["on_hand"] == first["stock"]["on_hand"] + 10


async def test_a_restock_answers_the_item(shop):
    answer = await shop.ask("POST", f"{SHOW}/items/blue/restock", {"quantity": 10}, Role.OPERATOR)
    assert answer.status_code == 200
    assert answer.json()["stock"] == {"on_hand": 18, "held": 0, "sold": 0, "available": 18, "returned": 0}
    assert (await shop.ask("POST", f"{SHOW}/items/no/restock", {"quantity": 1}, Role.OPERATOR)).status_code == 404


async def test_a_variant_goes_on_sale_once_in_a_show(shop):
    again = await shop.ask("POST", f"{SHOW}/items", {"variant_id": "red", "opening_stock": 5}, Role.OPERATOR)
    assert (again.status_code, again.json()["code"]) == (409, "conflict")
    assert (await shop.ask("GET", SHOW)).json()["items"][0]["stock"]["on_hand"] == 12


async def test_an_item_must_be_priced_in_the_currency_of_its_show(shop):
    product = {"title": "Mug", "currency": "USD", "variants": [{"price_amount": 900, "variant_id": "mug"}]}
    await shop.ask("POST", "/api/v1/products", product, Role.OPERATOR)
    refused = await shop.ask("POST", f"{SHOW}/items", {"variant_id": "mug", "opening_stock": 5}, Role.OPERATOR)
    assert (refused.status_code, refused.json()["pointer"]) == (422, "/variant_id")


async def test_a_product_comes_back_with_its_variants_in_order(client):
    product = {
        "title": "Pot",
        "image": "/images/pot.webp",
        "variants": [{"option": option, "price_amount": 100, "sku": option[0]} for option in ("red", "blue", "cream")],
    }
    made = await client.ask("POST", "/api/v1/products", product, Role.OPERATOR)
    assert made.status_code == 201
    assert [variant["option"] for variant in made.json()["variants"]] == ["red", "blue", "cream"]
    page = (await client.ask("GET", "/api/v1/products?limit=1", role=Role.OPERATOR)).json()
    assert page == {"items": [made.json()], "next_cursor": None}


async def test_a_taken_product_or_variant_leaves_nothing_behind(client):
    product = {"title": "Pot", "product_id": "pot", "variants": [{"price_amount": 1, "variant_id": "red"}]}
    assert (await client.ask("POST", "/api/v1/products", product, Role.OPERATOR)).status_code == 201
    assert (await client.ask("POST", "/api/v1/products", product, Role.OPERATOR)).status_code == 409
    other = {**product, "product_id": "pan"}
    assert (await client.ask("POST", "/api/v1/products", other, Role.OPERATOR)).status_code == 409
    page = (await client.ask("GET", "/api/v1/products", role=Role.OPERATOR)).json()
    assert [one["product_id"] for one in page["items"]] == ["pot"]


@pytest.mark.parametrize("image", ["https://elsewhere.example/a.png", "//elsewhere.example/a.png", "javascript:1"])
async def test_an_image_from_elsewhere_is_refused(client, image):
    product = {"title": "Pot", "image": image, "variants": [{"price_amount": 1}]}
    answer = await client.ask("POST", "/api/v1/products", product, Role.OPERATOR)
    assert (answer.status_code, answer.json()["pointer"]) == (422, "/image")


OPERATORS = [
    ("POST", "/api/v1/shows", {"title": "T", "starts_at_ms": 1}),
    ("POST", "/api/v1/products", {"title": "T", "variants": [{"price_amount": 1}]}),
    ("GET", "/api/v1/products", None),
    ("PUT", f"{SHOW}/sales", {"open": False}),
    ("POST", f"{SHOW}/items", {"variant_id": "red", "opening_stock": 1}),
    ("POST", f"{SHOW}/items/red/restock", {"quantity": 1}),
]
HOSTS = [
    ("PUT", f"{SHOW}/state", {"state": "ended"}),
    ("PUT", f"{SHOW}/chat-settings", {"slow_mode_ms": 1}),
    ("POST", f"{SHOW}/pins", {"variant_id": "red"}),
    ("DELETE", f"{SHOW}/pins/red", None),
    ("PUT", f"{SHOW}/items/red/price", {"price_amount": 1}),
]
BELOW = [(*one, Role.HOST) for one in OPERATORS] + [(*one, Role.VIEWER) for one in OPERATORS + HOSTS]


@pytest.mark.parametrize(("method", "path", "body", "role"), BELOW)
async def test_a_role_below_what_is_needed_is_refused_and_changes_nothing(shop, method, path, body, role):
    before = (await shop.ask("GET", SHOW)).json()
    refused = await shop.ask(method, path, body, role)
    assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")
    assert (await shop.ask(method, path, body)).status_code == 401
    assert (await shop.ask("GET", SHOW)).json() == before


async def test_writes_of_one_show_are_told_in_the_order_they_were_stored(shop):
    """Many hosts at once: each version is taken once, none is lost."""
    answers = await asyncio.gather(
        *(shop.ask("PUT", f"{SHOW}/chat-settings", {"slow_mode_ms": n}, Role.HOST) for n in range(1, 21))
    )
    versions = sorted(answer.json()["version"] for answer in answers)
    assert all(after == before + 1 for before, after in pairwise(versions))


async def test_the_run_of_a_show_is_kept_in_its_order(shop):
    assert (await shop.ask("GET", SHOW)).json()["run"] == []
    answer = await shop.ask("PUT", f"{SHOW}/run", {"variant_ids": ["blue", "red"]}, Role.HOST)
    assert (answer.status_code, answer.json()["run"]) == (200, ["blue", "red"])
    assert [item["position"] for item in answer.json()["items"]] == [0, 1]  # the numbers that a comment buys by
    assert (await shop.ask("GET", SHOW)).json()["run"] == ["blue", "red"]


@pytest.mark.parametrize("run", [["red", "red"], ["green"], ["red"] * 401])
async def test_a_run_of_what_is_not_there_is_refused(shop, run):
    refused = await shop.ask("PUT", f"{SHOW}/run", {"variant_ids": run}, Role.HOST)
    assert (refused.status_code, refused.json()["pointer"]) == (422, "/variant_ids")
    assert (await shop.ask("GET", SHOW)).json()["run"] == []
