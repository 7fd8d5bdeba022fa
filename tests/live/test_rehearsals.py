"""A show tried out before it begins: nothing of it counts."""

import pytest

from schema.people import Role

SHOW = "/api/v1/shows/friday"
TRIAL = "/api/v1/shows/friday-rehearsal"


@pytest.fixture
async def friday(client):
    """A scheduled show with a product in two colours."""
    await client.ask(
        "POST", "/api/v1/shows", {"title": "Friday", "starts_at_ms": 1000, "show_id": "friday"}, Role.OPERATOR
    )
    variants = [{"option": name, "price_amount": 4900, "variant_id": name} for name in ("red", "blue")]
    await client.ask("POST", "/api/v1/products", {"title": "Pot", "variants": variants}, Role.OPERATOR)
    for name in ("red", "blue"):
        asked = {"variant_id": name, "opening_stock": 8, "limit_per_buyer": 3, "price_amount": 3900}
        await client.ask("POST", f"{SHOW}/items", asked, Role.OPERATOR)
    return client


async def rehearse(client, show=SHOW, *, on=True, role=Role.HOST):
    return await client.ask("PUT", f"{show}/rehearsal", {"on": on}, role)


async def buy(client, show, key="k"):
    guest = (await client.ask("POST", f"{show}/guests")).json()
    bearer = {"Authorization": f"Bearer {guest['viewer_token']}"}
    held = await client.ask("POST", f"{show}/holds", {"variant_id": "red"}, idempotency_key=key, **bearer)
    if held.status_code != 201:
        return held
    pay = f"/api/v1/holds/{held.json()['hold_id']}/pay"
    return await client.ask("POST", pay, {"payment_method": "fake_ok"}, idempotency_key=key, **bearer)


async def everything_about(client, show):
    parts = ("", "/totals", "/orders", "/holds", "/open-book", "/low-stock", "/orders.csv")
    answers = [await client.ask("GET", f"{show}{part}", role=Role.OPERATOR) for part in parts]
    assert {answer.status_code for answer in answers} == {200}
    book = answers[4].json()
    book.pop("made_at_ms")
    return [answer.text for answer in answers if answer is not answers[4]] + [book]


async def test_an_order_in_the_rehearsal_leaves_the_shows_stock_and_statistics_unchanged(friday):
    before = await everything_about(friday, SHOW)
    begun = (await rehearse(friday)).json()
    assert (begun["show_id"], begun["rehearsal_id"]) == ("friday", "friday-rehearsal")
    copy = (await friday.ask("GET", TRIAL)).json()
    assert (copy["rehearsal_of"], copy["state"], copy["title"]) == ("friday", "scheduled", "Friday")
    assert [(i["variant_id"], i["price"]["amount"], i["limit_per_buyer"], i["stock"]["available"])
            for i in copy["items"]] == [("red", 3900, 3, 8), ("blue", 3900, 3, 8)]  # fmt: skip
    host = {"Authorization": f"Bearer {begun['token']}"}
    assert (await friday.ask("PUT", f"{TRIAL}/state", {"state": "live"}, **host)).status_code == 200
    assert (await friday.ask("POST", f"{TRIAL}/pins", {"variant_id": "red"}, **host)).status_code == 201
    order = await buy(friday, TRIAL)
    assert (order.status_code, order.json()["total"]["amount"]) == (200, 3900)
    assert (await friday.ask("GET", TRIAL)).json()["items"][0]["stock"]["sold"] == 1
    assert await everything_about(friday, SHOW) == before
    receipt = await friday.ask("GET", f"/api/v1/orders/{order.json()['order_id']}/receipt", role=Role.OPERATOR)
    assert receipt.json()["test"] is True
    assert (await friday.ask("GET", f"{TRIAL}/orders.csv", role=Role.OPERATOR)).status_code == 409


async def test_it_stands_in_no_list_and_its_webhooks_say_test(friday):
    types = {"url": "http://127.0.0.1:9/", "types": ["order.paid", "show.live"]}
    friday.services["webhooks"]._postman._reach = "any"
    made = await friday.ask("POST", "/api/v1/webhook-endpoints", types, Role.OPERATOR)
    begun = (await rehearse(friday)).json()
    host = {"Authorization": f"Bearer {begun['token']}"}
    await friday.ask("PUT", f"{TRIAL}/state", {"state": "live"}, **host)
    await buy(friday, TRIAL)
    shows = (await friday.ask("GET", "/api/v1/shows")).json()["items"]
    assert [show["show_id"] for show in shows] == ["friday"]
    listed = await friday.ask(
        "GET", f"/api/v1/webhook-endpoints/{made.json()['endpoint_id']}/deliveries", role=Role.OPERATOR
    )
    assert [(one["type"], one["test"]) for one in listed.json()["items"]] == [("order.paid", True), ("show.live", True)]


async def test_begun_twice_it_is_one_and_the_next_one_starts_afresh(friday):
    first, again = await rehearse(friday), await rehearse(friday)
    assert first.json()["rehearsal_id"] == again.json()["rehearsal_id"]
    host = {"Authorization": f"Bearer {first.json()['token']}"}
    await friday.ask("PUT", f"{TRIAL}/state", {"state": "live"}, **host)
    await buy(friday, TRIAL)
    ended = await friday.ask("PUT", f"{TRIAL}/rehearsal", {"on": False}, **host)
    assert ended.json() == {"show_id": "friday", "rehearsal_id": None, "token": None}
    assert (await friday.ask("GET", TRIAL)).json()["state"] == "ended"
    assert (await buy(friday, TRIAL, "late")).json()["code"] == "sales_closed"
    await friday.ask("PUT", f"{TRIAL}/sales", {"open": True}, Role.OPERATOR)
    assert (await buy(friday, TRIAL, "later")).json()["code"] == "sales_closed"
    assert (await rehearse(friday)).json()["rehearsal_id"] == "friday-rehearsal-2"
    fresh = (await friday.ask("GET", "/api/v1/shows/friday-rehearsal-2")).json()
    assert [item["stock"]["available"] for item in fresh["items"]] == [8, 8]


async def test_one_that_was_made_by_half_is_completed(friday, monkeypatch):
    catalog = friday.services["catalog"]
    real, calls = catalog.allocate, []

    async def once(*asked):
        calls.append(asked)
        if len(calls) > 1:
            raise OSError
        return await real(*asked)

    monkeypatch.setattr(catalog, "allocate", once)
    assert (await rehearse(friday)).status_code == 503
    monkeypatch.undo()
    assert (await rehearse(friday)).json()["rehearsal_id"] == "friday-rehearsal"
    assert len((await friday.ask("GET", TRIAL)).json()["items"]) == 2


async def test_only_a_show_to_come_is_rehearsed_and_only_by_its_host(friday):
    assert (await rehearse(friday, role=Role.VIEWER)).status_code == 403
    await rehearse(friday)
    assert (await rehearse(friday, TRIAL)).status_code == 409
    assert (await rehearse(friday, "/api/v1/shows/none")).status_code == 404
    await friday.ask("PUT", f"{SHOW}/state", {"state": "live"}, Role.HOST)
    assert (await rehearse(friday)).status_code == 409
    assert (await rehearse(friday, on=False)).status_code == 200


async def test_where_payments_are_real_nothing_is_rehearsed(friday):
    friday.services["rehearsals"]._play_money = False
    refused = await rehearse(friday)
    assert (refused.status_code, refused.json()["code"]) == (409, "conflict")
    assert (await friday.ask("GET", TRIAL)).status_code == 404
