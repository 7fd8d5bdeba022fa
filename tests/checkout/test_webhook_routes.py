"""Webhook endpoints over HTTP, in the room's own app."""

import pytest

from checkout.audit import Audit
from checkout.counts import Counts
from checkout.postman import Postman
from checkout.truth import Truth
from checkout.webhooks import Webhooks

ALL = "/api/v1/webhook-endpoints"


@pytest.fixture
async def operator(shop, desk):
    async def never():
        return False

    truth = Truth(shop.pg, Counts())
    async with Postman("loopback") as postman:
        shop.services["webhooks"] = Webhooks(truth, postman, Audit(truth), leads=never)
        async with shop.client("operator:op") as http:
            yield http


async def test_an_endpoint_is_made_listed_pinged_replayed_switched_and_deleted(operator, receiver):
    made = await operator.post(ALL, json={"url": receiver.url, "types": ["order.paid"]})
    assert made.status_code == 201
    endpoint = made.json()
    assert endpoint["secret"].startswith("whsec_")
    assert endpoint["types"] == ["order.paid", "ping"]
    (listed,) = (await operator.get(ALL)).json()["items"]
    assert listed["secret"] is None
    one = f"{ALL}/{endpoint['endpoint_id']}"
    ping = await operator.post(f"{one}/ping")
    assert (ping.status_code, ping.json()["type"], ping.json()["test"]) == (202, "ping", True)
    (delivery,) = (await operator.get(f"{one}/deliveries")).json()["items"]
    assert delivery["event_id"] == ping.json()["event_id"]
    again = await operator.post(f"{one}/deliveries/{delivery['delivery_id']}/replay")
    assert (again.status_code, again.json()["event_id"]) == (202, delivery["event_id"])
    assert (await operator.put(f"{one}/enabled", json={"enabled": False})).json()["state"] == "disabled"
    assert (await operator.delete(one)).status_code == 204
    assert (await operator.get(ALL)).json()["items"] == []


async def test_it_is_the_operators_of_the_whole_shop(shop, operator):
    async with shop.client("host:h") as host:
        assert (await host.get(ALL)).status_code == 403


@pytest.mark.parametrize(
    "body", [{"url": "http://10.0.0.1/", "types": ["order.paid"]}, {"url": "http://127.0.0.1/", "types": ["nonsense"]},
             {"url": "http://127.0.0.1/", "types": []}]
)  # fmt: skip
async def test_what_cannot_be_told_is_422(operator, body):
    assert (await operator.post(ALL, json=body)).status_code == 422
