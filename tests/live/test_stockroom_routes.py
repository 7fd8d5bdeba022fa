"""Withdrawing, the low-stock alert and the audit log, over HTTP in the whole app."""

from schema.api import Operation
from schema.people import Role


async def test_an_operator_withdraws_and_a_host_does_not(shop):
    path = "/api/v1/shows/demo/items/blue/withdraw"
    body = {"quantity": 3, "reason": "broken in the van"}
    assert (await shop.ask("POST", path, body, Role.HOST)).status_code == 403
    taken = await shop.ask("POST", path, body, Role.OPERATOR, idempotency_key="w")
    assert (taken.status_code, taken.json()["stock"]["available"]) == (200, 5)
    again = await shop.ask("POST", path, body, Role.OPERATOR, idempotency_key="w")
    assert again.json()["stock"]["available"] == 5
    refused = await shop.ask("POST", path, {**body, "quantity": 6}, Role.OPERATOR)
    assert (refused.status_code, refused.json()["available"]) == (409, 5)
    assert (await shop.ask("POST", path, {"quantity": 1}, Role.OPERATOR)).status_code == 422


async def test_the_threshold_is_the_hosts_to_set(shop):
    set_to = await shop.ask("PUT", "/api/v1/shows/demo/items/red/low-stock", {"low_at": 11}, Role.HOST)
    assert set_to.json() == {"variant_id": "red", "low_at": 11, "low_since_ms": None, "available": 12}
    listed = (await shop.ask("GET", "/api/v1/shows/demo/low-stock", role=Role.HOST)).json()["items"]
    assert {one["variant_id"]: one["low_at"] for one in listed} == {"red": 11, "blue": 5}
    assert (await shop.ask("GET", "/api/v1/shows/demo/low-stock", role=Role.VIEWER)).status_code == 403


async def test_the_whole_apps_staff_operations_are_audited_with_before_and_after(shop):
    demo = "/api/v1/shows/demo"
    await shop.ask("PUT", f"{demo}/sales", {"open": False}, Role.OPERATOR)
    await shop.ask("PUT", f"{demo}/items/blue/price", {"price_amount": 3900}, Role.HOST)
    await shop.ask("POST", f"{demo}/items/blue/restock", {"quantity": 2}, Role.OPERATOR)
    await shop.ask("POST", f"{demo}/pins", {"variant_id": "blue"}, Role.HOST)
    log = (await shop.ask("GET", f"{demo}/audit?limit=200", role=Role.OPERATOR)).json()["items"]
    done = {entry["action"]: entry for entry in log if entry["phase"] == "done"}
    assert {"allocateItem", "setShowState", "setSales", "setPrice", "restockItem", "pinItem"} <= done.keys()
    assert (done["setSales"]["before"], done["setSales"]["after"]) == ({"open": True}, {"open": False})
    price = done["setPrice"]
    assert (price["role"], price["before"]["amount"], price["after"]["amount"]) == ("host", 4900, 3900)
    assert (done["restockItem"]["before"]["available"], done["restockItem"]["after"]["available"]) == (8, 10)
    assert (await shop.ask("GET", f"{demo}/audit", role=Role.HOST)).status_code == 403


def test_every_operation_of_the_staff_that_changes_something_is_audited(client):
    operations = [route.operation for route in client.app.routes if hasattr(route, "operation")]
    assert all(isinstance(one, Operation) for one in operations)
    staffs = {one.name for one in operations if one.role not in {None, Role.VIEWER} and one.method != "GET"}
    assert staffs == {one.name for one in operations if one.audited}
    assert "audit" in client.services
