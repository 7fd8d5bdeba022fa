"""Checkout over HTTP, as DESIGN's table has it."""

import pytest

from schema.errors import RateLimited
from schema.pages import to_cursor

KEY = {"idempotency-key": "k1"}
TAP = {"variant_id": "pot", "quantity": 1}


@pytest.fixture
async def http(shop, desk):
    """Clients by name, on a show with five pots."""
    await shop.item(stock=5, price=4900)
    return lambda who="": shop.client(who)


async def tap(client, key="k1", **body):
    return await client.post("/api/v1/shows/gala/holds", json={**TAP, **body}, headers={"idempotency-key": key})


async def test_tap_pay_and_refund_from_end_to_end(shop, http):
    async with http("viewer:ann") as ann, http("operator:op") as operator:
        held = await tap(ann)
        assert held.status_code == 201
        hold = held.json()
        assert {"hold_id", "state", "expires_at_ms"} <= hold.keys()
        assert hold["state"] == "held"
        assert held.headers["location"] == f"/api/v1/holds/{hold['hold_id']}"
        assert (await ann.get(held.headers["location"])).json() == hold
        assert [h["hold_id"] for h in (await operator.get("/api/v1/shows/gala/holds")).json()["items"]] == [
            hold["hold_id"]
        ]

        paid = await ann.post(f"/api/v1/holds/{hold['hold_id']}/pay", json={"payment_method": "fake_ok"}, headers=KEY)
        assert paid.status_code == 200
        order = paid.json()
        assert order["total"] == {"amount": 4900, "currency": "EUR"}
        assert (await ann.get(f"/api/v1/orders/{order['order_id']}")).json()["order_id"] == order["order_id"]
        assert [o["order_id"] for o in (await operator.get("/api/v1/shows/gala/orders")).json()["items"]] == [
            order["order_id"]
        ]

        back = await operator.post(f"/api/v1/orders/{order['order_id']}/refund", json={"amount": 900})
        assert (back.status_code, back.json()["amount"]["amount"], back.json()["units_returned"]) == (200, 900, 0)
        rest = await operator.post(f"/api/v1/orders/{order['order_id']}/refund")
        assert (rest.json()["amount"]["amount"], rest.json()["units_returned"]) == (4000, 1)
        again = await operator.post(f"/api/v1/orders/{order['order_id']}/refund")
        assert (again.status_code, again.json()["code"]) == (409, "conflict")
    assert (await shop.verify()).problems == []


async def test_declined_is_402_and_slow_is_202_with_the_hold(shop, http):
    async with http("viewer:ann") as ann:
        hold = (await tap(ann)).json()
        pay = f"/api/v1/holds/{hold['hold_id']}/pay"
        declined = await ann.post(pay, json={"payment_method": "fake_declined"}, headers=KEY)
        assert (declined.status_code, declined.json()["code"]) == (402, "payment_declined")
        slow = await ann.post(pay, json={"payment_method": "fake_slow"}, headers={"idempotency-key": "k2"})
        assert (slow.status_code, slow.json()["state"], slow.headers["retry-after"]) == (202, "paying", "1")

        async def sold() -> bool:
            return (await ann.get(f"/api/v1/holds/{hold['hold_id']}")).json()["state"] == "sold"

        await shop.eventually(sold)
        done = await ann.post(pay, json={"payment_method": "fake_slow"}, headers={"idempotency-key": "k2"})
        assert done.status_code == 200


async def test_a_method_that_the_provider_does_not_know_is_refused_and_the_hold_stays_held(http):
    async with http("viewer:ann") as ann:
        hold = (await tap(ann)).json()
        path = f"/api/v1/holds/{hold['hold_id']}"
        refused = await ann.post(f"{path}/pay", json={"payment_method": "shells"}, headers=KEY)
        assert (refused.status_code, refused.json()["code"]) == (422, "invalid")
        assert (await ann.get(path)).json() == hold


async def test_a_release_is_204_twice(http):
    async with http("viewer:ann") as ann:
        hold = (await tap(ann)).json()
        for _ in range(2):
            assert (await ann.delete(f"/api/v1/holds/{hold['hold_id']}")).status_code == 204


async def test_replayed_mismatched_and_missing_keys(http):
    async with http("viewer:ann") as ann:
        first = await tap(ann)
        again = await tap(ann)
        assert (again.status_code, again.content) == (201, first.content)
        other = await tap(ann, quantity=2)
        assert (other.status_code, other.json()["code"]) == (422, "idempotency_mismatch")
        missing = await ann.post("/api/v1/shows/gala/holds", json=TAP)
        assert (missing.status_code, missing.json()["code"]) == (400, "idempotency_key_missing")


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"variant_id": "pot", "quantity": 0}, 422),
        ({"variant_id": "pot", "quantity": -1}, 422),
        ({"variant_id": "pot", "quantity": 1.5}, 422),
        ({"variant_id": "pot", "price": 1}, 422),
        ({"quantity": 1}, 422),
        ({"variant_id": "no such"}, 404),
        ({"variant_id": "pot\u0000"}, 422),
    ],
)
async def test_a_body_that_is_not_a_tap_changes_nothing(shop, http, body, status):
    async with http("viewer:ann") as ann:
        answer = await ann.post("/api/v1/shows/gala/holds", json=body, headers=KEY)
        assert answer.status_code == status
    assert (await shop.stock()).held == 0


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/api/v1/shows/gala/holds"),
        ("GET", "/api/v1/shows/gala/orders"),
        ("GET", "/api/v1/shows/gala/totals"),
        ("POST", "/api/v1/orders/ord_x/refund"),
    ],
)
async def test_what_is_the_operators_is_forbidden_to_viewers_and_hosts(http, method, path):
    for who, status in (("viewer:ann", 403), ("host:h", 403), ("", 401)):
        async with http(who) as client:
            assert (await client.request(method, path)).status_code == status


@pytest.mark.parametrize("query", ["limit=0", "limit=201", "limit=x", "limit=²", "cursor=!!", "cursor=AAAA"])
async def test_a_page_that_cannot_be_is_422(http, query):
    async with http("operator:op") as operator:
        for what in ("holds", "orders"):
            answer = await operator.get(f"/api/v1/shows/gala/{what}?{query}")
            assert (answer.status_code, answer.json()["code"]) == (422, "invalid")


@pytest.mark.parametrize("position", [(2**64 - 1, ""), (0, "\x00"), (-1, "x", "y")])
async def test_a_cursor_that_points_beyond_what_postgres_holds_is_422(http, position):
    async with http("operator:op") as operator:
        answer = await operator.get(f"/api/v1/shows/gala/holds?cursor={to_cursor(position)}")
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid")


async def test_the_limiter_is_asked_before_the_desk(shop, http, monkeypatch):
    asked = []

    async def check(self, rule, subject):
        asked.append((rule, subject))

    async with http("viewer:ann") as ann:
        monkeypatch.setattr(shop.limits, "check", check)
        hold = (await tap(ann)).json()["hold_id"]
        assert asked == [("buy", "ann")]
        await ann.post(f"/api/v1/holds/{hold}/pay", json={"payment_method": "fake_ok"}, headers=KEY)
    assert asked == [("buy", "ann")] * 2


async def test_who_has_used_up_the_limit_adds_no_payment(shop, http, monkeypatch):
    async def check(self, rule, subject):
        raise RateLimited(retry_after_ms=500)

    async with http("viewer:ann") as ann:
        hold = (await tap(ann)).json()["hold_id"]
        monkeypatch.setattr(shop.limits, "check", check)
        refused = await ann.post(f"/api/v1/holds/{hold}/pay", json={"payment_method": "fake_declined"}, headers=KEY)
        assert refused.status_code == 429
    assert await shop.pg.fetchval("SELECT count(*) FROM payments") == 0


async def test_a_nul_in_a_payment_method_is_422_and_nothing_is_tried(shop, http):
    async with http("viewer:ann") as ann:
        hold = (await tap(ann)).json()["hold_id"]
        answer = await ann.post(f"/api/v1/holds/{hold}/pay", json={"payment_method": "fake\u0000ok"}, headers=KEY)
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid")
    assert await shop.pg.fetchval("SELECT count(*) FROM payments") == 0


async def test_a_repeated_402_says_what_the_first_said(http):
    async with http("viewer:ann") as ann:
        hold = (await tap(ann)).json()
        pay = f"/api/v1/holds/{hold['hold_id']}/pay"
        said = [await ann.post(pay, json={"payment_method": "fake_declined"}, headers=KEY) for _ in range(2)]
        assert said[0].json() == said[1].json()
        assert said[1].json()["expires_at_ms"] == hold["expires_at_ms"]


async def test_the_totals_of_a_show(http):
    async with http("viewer:ann") as ann, http("operator:op") as operator:
        hold = (await tap(ann)).json()["hold_id"]
        await ann.post(f"/api/v1/holds/{hold}/pay", json={"payment_method": "fake_ok"}, headers=KEY)
        euros = {"amount": 4900, "currency": "EUR"}
        assert (await operator.get("/api/v1/shows/gala/totals")).json() == {
            "orders": 1, "units_sold": 1, "paid": euros, "refunded": {**euros, "amount": 0}, "net": euros,
        }  # fmt: skip
        assert (await operator.get("/api/v1/shows/none/totals")).status_code == 404


class TestWebhook:
    URL = "/api/v1/payments/webhooks/fake"

    async def undecided(self, shop, ann):
        """A hold whose slow payment the network has decided, and said nothing of."""
        shop.pay.faults.drop_webhooks = 1
        hold = (await tap(ann)).json()
        await ann.post(f"/api/v1/holds/{hold['hold_id']}/pay", json={"payment_method": "fake_slow"}, headers=KEY)
        payment_id = await shop.pg.fetchval("SELECT payment_id FROM payments")

        async def decided() -> bool:
            return (await shop.provider.retrieve(payment_id)).state == "authorized"

        await shop.eventually(decided)
        return hold, payment_id

    async def test_a_signed_event_is_applied_once_however_often_it_comes(self, shop):
        await shop.open(pace=shop.idle)
        await shop.item(stock=5)
        async with shop.client("viewer:ann") as ann:
            hold, payment_id = await self.undecided(shop, ann)
            body, headers = shop.pay.signed("evt_1", payment_id)
            for _ in range(3):
                assert (await ann.post(self.URL, content=body, headers=headers)).status_code == 200

            async def sold() -> bool:
                return (await ann.get(f"/api/v1/holds/{hold['hold_id']}")).json()["state"] == "sold"

            await shop.eventually(sold)
        assert await shop.pg.fetchval("SELECT count(*) FROM provider_events") == 1
        assert await shop.pg.fetchval("SELECT count(*) FROM orders") == 1

    @pytest.mark.parametrize("forgery", ["body", "signature", "no headers", "old", "garbage", "half a signature"])
    async def test_a_forged_event_is_401_and_changes_nothing(self, shop, forgery):
        await shop.open(pace=shop.idle)
        await shop.item(stock=5)
        async with shop.client("viewer:ann") as ann:
            _, payment_id = await self.undecided(shop, ann)
            body, headers = shop.pay.signed("evt_1", payment_id)
            if forgery == "body":
                body = body.replace(b"evt_1", b"evt_2")
            elif forgery == "signature":
                headers["webhook-signature"] = "v1," + "A" * 43 + "="
            elif forgery == "no headers":
                headers = {}
            elif forgery == "old":
                headers["webhook-timestamp"] = "1"
            elif forgery == "garbage":
                body = b"\xff\xfe"
            else:
                headers["webhook-signature"] = "v1"
            assert (await ann.post(self.URL, content=body, headers=headers)).status_code == 401
        assert await shop.pg.fetchval("SELECT count(*) FROM provider_events") == 0
        assert (await shop.stock()).sold == 0

    async def test_an_event_about_nothing_of_ours_is_200_and_changes_nothing(self, shop, desk):
        await shop.item(stock=5)
        body, headers = shop.pay.signed("evt_1", "pay_nobody")
        async with shop.client() as network:
            assert (await network.post(self.URL, content=body, headers=headers)).status_code == 200
        assert (await shop.verify()).problems == []

    async def test_duplicates_of_the_network_itself_make_one_order(self, shop):
        await shop.open(pace=shop.idle)
        shop.pay.faults.duplicate_webhooks = 5
        await shop.item(stock=5)
        hold = await shop.tap("ann")
        await shop.pay_for("ann", hold, "fake_slow")

        async def sold() -> bool:
            return await shop.hold_state(hold) == "sold"

        await shop.eventually(sold)
        assert await shop.pg.fetchval("SELECT count(*) FROM orders") == 1


async def test_an_order_is_cancelled_by_its_buyer_before_its_capture_and_not_after(shop):
    await shop.open(pace=shop.idle)
    await shop.item(stock=2)
    order = await shop.sold_without_capture("ann")
    async with shop.client("viewer:ann") as ann, shop.client("viewer:bob") as bob:
        assert (await bob.post(f"/api/v1/orders/{order}/cancel")).status_code == 404
        for _ in range(2):
            done = await ann.post(f"/api/v1/orders/{order}/cancel")
            assert (done.status_code, done.json()["state"]) == (200, "cancelled")
    taken = await shop.buy("cat")
    await shop.captured(taken)
    async with shop.client("viewer:cat") as cat:
        late = await cat.post(f"/api/v1/orders/{taken.order_id}/cancel")
    assert (late.status_code, late.json()["order_state"]) == (409, "captured")


async def test_where_a_payment_stands_is_told_to_its_buyer_alone(shop, http):
    async with http("viewer:ann") as ann, http("viewer:bob") as bob:
        hold = (await tap(ann)).json()["hold_id"]
        step = await ann.get(f"/api/v1/holds/{hold}/payment")
        assert step.json() == {
            "hold_id": hold, "hold_state": "held", "state": "", "client_secret": "", "code": ""
        }  # fmt: skip
        assert step.headers["cache-control"] == "no-store"
        await ann.post(f"/api/v1/holds/{hold}/pay", json={"payment_method": "fake_declined"}, headers=KEY)
        assert (await ann.get(f"/api/v1/holds/{hold}/payment")).json()["code"] == "payment_declined"
        assert (await bob.get(f"/api/v1/holds/{hold}/payment")).status_code == 404


async def test_a_guests_address_has_the_shape_of_one(shop, http):
    async with http("viewer:guest_a") as guest:
        hold = (await tap(guest)).json()["hold_id"]
        pay = f"/api/v1/holds/{hold}/pay"
        for wrong in (
            "ann",
            "ann@",
            "@x.example",
            "ann@x",
            "a b@x.example",
            "ann@x.example\u0000",
            "a@" + "x" * 254 + ".de",
        ):
            refused = await guest.post(pay, json={"payment_method": "fake_ok", "email": wrong}, headers=KEY)
            assert (refused.status_code, refused.json()["code"]) == (422, "invalid"), wrong
        paid = await guest.post(pay, json={"payment_method": "fake_ok", "email": "Ann@X.example"}, headers=KEY)
        assert paid.status_code == 200
    assert await shop.pg.fetchrow("SELECT email, mailbox FROM payments") == ("Ann@X.example", "ann@x.example")


async def test_what_waits_at_the_outbox_is_the_operators(shop, http):
    await shop.sold_without_capture("ann")
    entry = await shop.pg.fetchval("UPDATE outbox SET state = 'parked', why = 'no' RETURNING outbox_id")
    async with http("viewer:ann") as ann, http("operator:op") as operator:
        for path in ("/api/v1/shows/gala/outbox", "/api/v1/shows/gala/payments/differences"):
            assert (await ann.get(path)).status_code == 403
        (waits,) = (await operator.get("/api/v1/shows/gala/outbox")).json()["items"]
        assert (waits["entry_id"], waits["kind"], waits["why"]) == (entry, "capture", "no")
        for nothing in ("0", "x", "9" * 30, "1%2F2"):
            assert (await operator.post(f"/api/v1/shows/gala/outbox/{nothing}/retry")).status_code == 404
        assert (await operator.post(f"/api/v1/shows/gala/outbox/{entry}/retry")).status_code == 202
        assert (await operator.get("/api/v1/shows/gala/payments/differences")).json() == {
            "items": [],
            "next_cursor": None,
        }


async def test_a_webhook_of_another_provider_is_not_taken(shop, http):
    async with http() as anybody:
        assert (await anybody.post("/api/v1/payments/webhooks/stripe", content=b"{}")).status_code == 404
