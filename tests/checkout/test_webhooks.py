"""Events committed with their facts, told until they are taken, under one id and a signature that verifies."""

import asyncio
import contextlib

import msgspec
import pytest
from standardwebhooks import Webhook
from standardwebhooks.webhooks import WebhookVerificationError

from checkout.audit import Audit
from checkout.counts import Counts
from checkout.postman import Postman
from checkout.truth import Truth
from checkout.webhooks import ENDPOINTS_MAX, Pace, Webhooks
from schema.errors import Conflict, Invalid, NotFound
from schema.webhooks import EndpointRequest, EventType

QUICK = Pace(look_s=0.02, base_ms=20, attempts=5)
ORDERS = [EventType.ORDER_PAID, EventType.ORDER_REFUNDED, EventType.ORDER_CANCELLED]


async def always() -> bool:
    return True


@pytest.fixture
def courier(shop, desk):
    """Open the service, delivering, with a pace."""

    @contextlib.asynccontextmanager
    async def opened(pace=QUICK, leads=always):
        truth = Truth(shop.pg, Counts())
        async with Postman("loopback") as postman:
            webhooks = Webhooks(truth, postman, Audit(truth), leads=leads, pace=pace)
            task = asyncio.create_task(webhooks.run())
            try:
                yield webhooks
            finally:
                task.cancel()
                await asyncio.wait({task})

    return opened


def told(receiver):
    return [msgspec.json.decode(body) for _, body in receiver.heard]


async def heard(shop, receiver, many):
    async def enough():
        return len(receiver.heard) >= many

    await shop.eventually(enough)


async def delivered(shop, webhooks, endpoint, state="delivered"):
    async def is_so():
        return {one.state for one in (await webhooks.deliveries(endpoint.endpoint_id)).items} == {state}

    await shop.eventually(is_so)
    return (await webhooks.deliveries(endpoint.endpoint_id)).items


async def test_an_order_and_its_refund_are_told_signed_and_in_full(shop, desk, courier, receiver):
    await shop.item(stock=5, price=1000)
    async with courier() as webhooks:
        endpoint = await webhooks.make(EndpointRequest(url=receiver.url, types=ORDERS))
        order = await shop.buy("ann")
        await heard(shop, receiver, 1)
        await shop.captured(order)
        await desk.refund(shop.operator, order.order_id, 400)
        await heard(shop, receiver, 2)
        await delivered(shop, webhooks, endpoint)
    paid, refunded = told(receiver)
    assert (paid["type"], paid["data"]["order_id"], paid["data"]["total"]["amount"]) == (
        "order.paid", order.order_id, 1000,
    )  # fmt: skip
    assert (refunded["type"], refunded["data"]["refund"]["amount"]["amount"]) == ("order.refunded", 400)
    assert "test" not in paid
    verifier = Webhook(endpoint.secret)
    for head, body in receiver.heard:
        assert verifier.verify(body, head)["type"] in {"order.paid", "order.refunded"}
        with pytest.raises(WebhookVerificationError):
            verifier.verify(body.replace(b"1000", b"1001") + b" ", head)


async def test_a_refusal_is_told_again_with_the_same_id_and_the_same_bytes(shop, desk, courier, receiver):
    await shop.item(stock=5)
    receiver.answers = [(500, "no", {}), (503, "", {}), (302, "", {})]
    async with courier() as webhooks:
        endpoint = await webhooks.make(EndpointRequest(url=receiver.url, types=ORDERS))
        await shop.buy("ann")
        (delivery,) = await delivered(shop, webhooks, endpoint)
    assert [delivery.attempts, delivery.status, len(receiver.heard)] == [4, 200, 4]
    assert {head["webhook-id"] for head, _ in receiver.heard} == {delivery.event_id}
    assert len({body for _, body in receiver.heard}) == 1
    for head, body in receiver.heard:
        Webhook(endpoint.secret).verify(body, head)


async def test_after_the_last_try_it_is_left_and_a_replay_goes_under_the_same_id(shop, desk, courier, receiver):
    await shop.item(stock=5)
    receiver.answers = [(500, "no", {})] * QUICK.attempts
    async with courier() as webhooks:
        endpoint = await webhooks.make(EndpointRequest(url=receiver.url, types=ORDERS))
        await shop.buy("ann")
        (failed,) = await delivered(shop, webhooks, endpoint, "failed")
        assert (failed.attempts, failed.status, failed.error) == (QUICK.attempts, 500, "no")
        await webhooks.replay(endpoint.endpoint_id, failed.delivery_id)
        (again,) = await delivered(shop, webhooks, endpoint)
        assert again.event_id == failed.event_id
        with pytest.raises(NotFound):
            await webhooks.replay(endpoint.endpoint_id, "dlv_none")
    assert receiver.heard[-1][0]["webhook-id"] == failed.event_id


async def test_an_endpoint_that_refuses_for_too_long_is_given_up_with_an_alarm(shop, desk, courier, receiver):
    await shop.item(stock=5)
    receiver.answers = [(500, "no", {})] * 3
    async with courier(Pace(look_s=0.02, base_ms=5, attempts=50, patience_ms=0)) as webhooks:
        endpoint = await webhooks.make(EndpointRequest(url=receiver.url, types=ORDERS))
        await shop.buy("ann")

        async def given_up():
            return (await webhooks.endpoints()).items[0].state == "failed"

        await shop.eventually(given_up)
        await shop.buy("bob")  # nobody is told of this one
        entries = (await webhooks._audit.page(None)).items
        assert entries[0].action == "giveUpWebhookEndpoint"
        assert webhooks.given_up == 1
        tries = len(receiver.heard)
        receiver.answers = []
        assert (await webhooks.switch(endpoint.endpoint_id, enabled=True)).failing_since_ms is None
        await delivered(shop, webhooks, endpoint)
    assert len(receiver.heard) == tries + 1


async def test_a_receiver_that_says_gone_is_told_nothing_more(shop, desk, courier, receiver):
    await shop.item(stock=5)
    receiver.answers = [(410, "", {})]
    async with courier() as webhooks:
        await webhooks.make(EndpointRequest(url=receiver.url, types=ORDERS))
        await shop.buy("ann")

        async def failed():
            return (await webhooks.endpoints()).items[0].state == "failed"

        await shop.eventually(failed)


async def test_a_fact_that_rolls_back_tells_nobody(shop, desk, courier, receiver):
    await shop.item(stock=5)
    async with courier() as webhooks:
        await webhooks.make(EndpointRequest(url=receiver.url, types=[EventType.STOCK_LOW, EventType.SHOW_LIVE]))
        async with shop.pg.acquire() as connection:
            transaction = connection.transaction()
            await transaction.start()
            await connection.execute("UPDATE shows SET state = 'paused'")
            await connection.execute("UPDATE shows SET state = 'live'")
            assert await connection.fetchval("SELECT count(*) FROM webhook_events") == 1
            await transaction.rollback()
    assert await shop.pg.fetchval("SELECT count(*) FROM webhook_events") == 0


async def test_low_and_sold_out_stock_and_the_shows_life_are_told(shop, desk, courier, receiver):
    await shop.item(stock=6, limit=6)
    async with courier() as webhooks:
        kinds = [EventType.STOCK_LOW, EventType.STOCK_SOLD_OUT, EventType.SHOW_LIVE, EventType.SHOW_ENDED]
        await webhooks.make(EndpointRequest(url=receiver.url, types=kinds))
        await shop.buy("ann")
        await shop.buy("bob", quantity=5)
        await shop.pg.execute("UPDATE shows SET state = 'ended'")
        await heard(shop, receiver, 3)
    data = {one["type"]: one["data"] for one in told(receiver)}  # each is sent by itself, in no order
    assert set(data) == {"stock.low", "stock.sold_out", "show.ended"}
    assert (data["stock.low"]["available"], data["stock.low"]["low_at"]) == (5, 5)
    assert data["stock.sold_out"] == {"show_id": "gala", "variant_id": "pot", "sold": 6}
    assert data["show.ended"]["state"] == "ended"


async def test_one_that_hangs_keeps_no_other_waiting(shop, desk, courier, receiver, receivers):
    await shop.item(stock=5)
    hanging = await receivers()
    hanging.silent = True
    async with courier() as webhooks:
        await webhooks.make(EndpointRequest(url=hanging.url, types=ORDERS))
        await webhooks.make(EndpointRequest(url=receiver.url, types=ORDERS))
        await shop.buy("ann")
        await shop.buy("bob")
        await heard(shop, receiver, 2)
    assert len(hanging.heard) >= 1


async def test_who_does_not_lead_delivers_nothing_and_the_next_leader_finds_it(shop, desk, courier, receiver):
    await shop.item(stock=5)

    async def never():
        return False

    async with courier(leads=never) as webhooks:
        await webhooks.make(EndpointRequest(url=receiver.url, types=ORDERS))
        order = await shop.buy("ann")
        assert receiver.heard == []
    async with courier():
        await heard(shop, receiver, 1)
    assert told(receiver)[0]["data"]["order_id"] == order.order_id


async def test_a_deleted_endpoint_is_told_nothing_and_its_secret_is_forgotten(shop, desk, courier, receiver):
    await shop.item(stock=5)
    async with courier() as webhooks:
        endpoint = await webhooks.make(EndpointRequest(url=receiver.url, types=ORDERS))
        await webhooks.delete(endpoint.endpoint_id)
        await webhooks.delete(endpoint.endpoint_id)
        await shop.buy("ann")
        assert (await webhooks.endpoints()).items == []
        with pytest.raises(NotFound):
            await webhooks.ping(endpoint.endpoint_id)
        with pytest.raises(NotFound):
            await webhooks.switch(endpoint.endpoint_id, enabled=True)
    assert await shop.pg.fetchval("SELECT secret FROM webhook_endpoints") == ""
    assert await shop.pg.fetchval("SELECT count(*) FROM webhook_events") == 0


async def test_an_address_inside_and_one_too_many_are_refused(shop, desk, courier, receiver):
    async with courier() as webhooks:
        with pytest.raises(Invalid, match="WEBHOOK_ADDRESSES"):
            await webhooks.make(EndpointRequest(url="http://10.0.0.1/", types=ORDERS))
        for _ in range(ENDPOINTS_MAX):
            await webhooks.make(EndpointRequest(url=receiver.url, types=ORDERS))
        with pytest.raises(Conflict):
            await webhooks.make(EndpointRequest(url=receiver.url, types=ORDERS))


async def test_what_was_told_long_ago_is_forgotten(shop, desk, courier, receiver):
    await shop.item(stock=5)
    async with courier() as webhooks:
        endpoint = await webhooks.make(EndpointRequest(url=receiver.url, types=ORDERS))
        await shop.buy("ann")
        await delivered(shop, webhooks, endpoint)
    await shop.pg.execute("UPDATE webhook_events SET created_at_ms = 0")
    async with courier():

        async def gone():
            return not await shop.pg.fetchval("SELECT count(*) FROM webhook_deliveries")

        await shop.eventually(gone)
