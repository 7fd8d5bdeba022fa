"""Wrong prices and exports over HTTP, in the room's own app."""

import pytest

from checkout.counts import Counts
from checkout.exports import Exports
from checkout.price_errors import PriceErrors
from checkout.truth import Truth

SHOW = "/api/v1/shows/gala"


@pytest.fixture
async def operator(shop, desk):
    truth = Truth(shop.pg, Counts())
    shop.services |= {"exports": Exports(truth), "price_errors": PriceErrors(truth, desk)}
    await shop.item(stock=5, price=490)
    await shop.captured(await shop.buy("ann"))
    async with shop.client("operator:op") as http:
        yield http


async def test_a_wrong_price_is_listed_and_taken_back(operator):
    listed = await operator.get(f"{SHOW}/price-errors?variant=pot&amount=490&from=0")
    assert (listed.status_code, listed.json()["orders"], listed.json()["amount"]["amount"]) == (200, 1, 490)
    done = await operator.post(f"{SHOW}/price-errors/refunds", json={"variant_id": "pot", "amount": 490})
    assert (done.status_code, done.json()["left"]) == (200, 0)
    assert [one["outcome"] for one in done.json()["results"]] == ["refunded"]
    assert (await operator.get(f"{SHOW}/price-errors?variant=pot&amount=490")).json()["items"] == []


@pytest.mark.parametrize(
    "query", ["variant=pot", "variant=pot&amount=x", "variant=pot&amount=-1", "amount=1&to=%C2%B2"]
)
async def test_a_question_that_is_none_is_422(operator, query):
    assert (await operator.get(f"{SHOW}/price-errors?{query}")).status_code == 422


async def test_the_orders_come_as_a_file(operator):
    file = await operator.get(f"{SHOW}/orders.csv")
    assert file.headers["content-type"].startswith("text/csv; charset=utf-8")
    assert file.headers["content-disposition"] == 'attachment; filename="orders-gala.csv"'
    assert [line.split(",")[0] for line in file.text.splitlines()] == ["number", "1"]


async def test_all_of_it_is_the_operators(shop, operator):
    async with shop.client("host:h") as host:
        assert (await host.get(f"{SHOW}/orders.csv")).status_code == 403
        assert (await host.get(f"{SHOW}/price-errors?variant=pot&amount=1")).status_code == 403
        body = {"variant_id": "pot", "amount": 490}
        assert (await host.post(f"{SHOW}/price-errors/refunds", json=body)).status_code == 403
