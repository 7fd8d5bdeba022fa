"""The document against the running server: what is routed is described, what is described is routed, and each answer
has the shape the document gives it."""

import re

import pytest
from jsonschema import Draft202012Validator
from openapi_spec_validator import validate
from starlette.routing import Mount, Route, WebSocketRoute

from live.errors import Problem
from live.openapi import operations
from schema.people import Role

SHOW = "/api/v1/shows/demo"
NOT_DESCRIBED = {
    "/", "/watch/{show}", "/studio/{show}", "/console/{show}", "/audit/{show}",
    "/openapi.json", "/asyncapi.json", "/docs",
}  # fmt: skip


@pytest.fixture
async def document(client):
    return (await client.ask("GET", "/openapi.json")).json()


async def test_the_document_is_valid_openapi(document):
    validate(document)


async def test_every_route_is_described_and_everything_described_is_routed(client, document):
    described = {(path, method.upper()) for path, methods in document["paths"].items() for method in methods}
    routed = set()
    for route in client.app.routes:
        if isinstance(route, Mount) or route.path in NOT_DESCRIBED:
            continue
        methods = {"GET"} if isinstance(route, WebSocketRoute) else route.methods - {"HEAD", "OPTIONS"}
        routed |= {(route.path, method) for method in methods}
    assert described == routed


async def test_no_two_operations_share_a_name_or_a_route(client):
    declared = list(operations(client.app.routes))
    names = [one.name for one in declared]
    assert len(set(names)) == len(names)
    places = [(one.method, re.sub(r"\{\w+\}", "{}", one.path)) for one in declared]
    assert len(set(places)) == len(places)


async def test_every_operation_with_a_role_refuses_a_stranger(client, document):
    for path, methods in document["paths"].items():
        for method, one in methods.items():
            if not one.get("security"):
                continue
            place = re.sub(r"\{\w+\}", "x", path)
            answer = await client.ask(method.upper(), place, authorization="")
            assert answer.status_code == 401, (method, path, answer.text)
            assert_as_described(document, method, path, answer)


def assert_as_described(document, method, path, answer):
    """The status is in the document (or falls under `default`), and the body is what the document says."""
    responses = document["paths"][path][method.lower()]["responses"]
    known = responses.get(str(answer.status_code)) or (responses["default"] if answer.status_code >= 400 else None)
    assert known, f"{method} {path} answered {answer.status_code}, which is not described"
    content = known.get("content")
    if not content:
        assert answer.content == b""
        return
    kind = answer.headers["content-type"].partition(";")[0]
    schema = {**content[kind]["schema"], "components": document["components"]}
    Draft202012Validator(schema).validate(answer.json())


async def test_what_the_server_answers_is_what_the_document_says(shop, document):
    async def ask(method, template, body=None, role=None, expect=200, **headers):
        path = template.replace("{show}", "demo").replace("{variant}", "red")
        answer = await shop.ask(method, path, body, role, **headers)
        assert answer.status_code == expect, answer.text
        assert_as_described(document, method, template, answer)
        return answer

    await ask("GET", "/api/v1/shows")
    await ask("GET", "/api/v1/shows/{show}")
    etag = (await shop.ask("GET", SHOW)).headers["etag"]
    await ask("GET", "/api/v1/shows/{show}", expect=304, if_none_match=etag)
    await ask("POST", "/api/v1/shows", {"title": "T", "starts_at_ms": 1}, Role.OPERATOR, 201)
    await ask("POST", "/api/v1/shows", {"title": ""}, Role.OPERATOR, 422)
    await ask("POST", "/api/v1/shows", {"title": "T"}, Role.HOST, 403)
    await ask("POST", "/api/v1/shows/{show}/guests", expect=201)
    await ask("POST", "/api/v1/shows/{show}/tickets", role=Role.VIEWER, expect=201)
    await ask("PUT", "/api/v1/shows/{show}/state", {"state": "paused"}, Role.HOST)
    await ask("PUT", "/api/v1/shows/{show}/state", {"state": "scheduled"}, Role.HOST, 409)
    await ask("PUT", "/api/v1/shows/{show}/state", {"state": "live"}, Role.HOST, 412, if_match='"x"')
    await ask("PUT", "/api/v1/shows/{show}/sales", {"open": True}, Role.OPERATOR)
    await ask("PUT", "/api/v1/shows/{show}/chat-settings", {"slow_mode_ms": 0}, Role.HOST)
    await ask("POST", "/api/v1/shows/{show}/pins", {"variant_id": "red"}, Role.HOST, 201)
    await ask("POST", "/api/v1/shows/{show}/pins", {"variant_id": "none"}, Role.HOST, 404)
    await ask("DELETE", "/api/v1/shows/{show}/pins/{variant}", role=Role.HOST, expect=204)
    await ask("PUT", "/api/v1/shows/{show}/items/{variant}/price", {"price_amount": 100}, Role.HOST)
    await ask("POST", "/api/v1/shows/{show}/items", {"variant_id": "red", "opening_stock": 1}, Role.OPERATOR, 409)
    await ask("POST", "/api/v1/shows/{show}/items/{variant}/restock", {"quantity": 1}, Role.OPERATOR)
    await ask("GET", "/api/v1/products", role=Role.OPERATOR)
    await ask("POST", "/api/v1/products", {"title": "T", "variants": [{"price_amount": 1}]}, Role.OPERATOR, 201)
    await ask("POST", "/api/v1/shows/{show}/chat", {"text": "hello"}, Role.VIEWER, 202)
    await ask("GET", "/healthz")
    await ask("GET", "/readyz")


async def test_a_purchase_is_answered_as_the_document_says(shop, document):
    held = await shop.ask("POST", f"{SHOW}/holds", {"variant_id": "red"}, Role.VIEWER, idempotency_key="h1")
    assert held.status_code == 201
    assert_as_described(document, "POST", "/api/v1/shows/{show}/holds", held)
    hold = f"/api/v1/holds/{held.json()['hold_id']}"
    paid = await shop.ask("POST", f"{hold}/pay", {"payment_method": "fake_ok"}, Role.VIEWER, idempotency_key="p1")
    assert paid.status_code == 200
    assert_as_described(document, "POST", "/api/v1/holds/{hold}/pay", paid)
    order = f"/api/v1/orders/{paid.json()['order_id']}"
    for method, template, path, role in (
        ("GET", "/api/v1/holds/{hold}", hold, Role.VIEWER),
        ("GET", "/api/v1/orders/{order}", order, Role.VIEWER),
        ("GET", "/api/v1/shows/{show}/orders", f"{SHOW}/orders", Role.OPERATOR),
        ("GET", "/api/v1/shows/{show}/holds", f"{SHOW}/holds", Role.OPERATOR),
        ("GET", "/api/v1/shows/{show}/totals", f"{SHOW}/totals", Role.OPERATOR),
        ("POST", "/api/v1/orders/{order}/refund", f"{order}/refund", Role.OPERATOR),
    ):
        answer = await shop.ask(method, path, role=role)
        assert answer.status_code == 200, answer.text
        assert_as_described(document, method, template, answer)
    unkeyed = await shop.ask("POST", f"{SHOW}/holds", {"variant_id": "red"}, Role.VIEWER)
    assert (unkeyed.status_code, unkeyed.json()["code"]) == (400, "idempotency_key_missing")
    assert_as_described(document, "POST", "/api/v1/shows/{show}/holds", unkeyed)


async def test_a_shape_that_is_not_described_would_be_noticed(shop, document):
    """The negative control of this file's own yardstick."""
    answer = await shop.ask("GET", SHOW)
    del document["components"]["schemas"]["Stock"]["properties"]["held"]
    document["components"]["schemas"]["Stock"]["additionalProperties"] = False
    with pytest.raises(Exception, match="held"):
        assert_as_described(document, "GET", "/api/v1/shows/{show}", answer)


async def test_the_problem_schema_has_every_member(document):
    assert document["components"]["schemas"]["Problem"]["properties"].keys() == set(Problem.__struct_fields__)


async def test_the_page_shows_every_operation(client, document):
    page = await client.ask("GET", "/docs")
    assert page.headers["content-type"].startswith("text/html")
    for methods in document["paths"].values():
        for one in methods.values():
            assert f'id="{one["operationId"]}"' in page.text
    assert "<script" not in page.text


async def test_routes_of_operations_are_plain_routes(client):
    assert all(isinstance(route, Route) for route in client.app.routes if hasattr(route, "operation"))
