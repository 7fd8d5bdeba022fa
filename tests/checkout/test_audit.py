"""Whatever the staff change is written down first, and an edited log is found out."""

import asyncio

import asyncpg
import pytest

from checkout.audit import Audit
from checkout.counts import Counts
from checkout.truth import Truth
from schema.errors import NotFound, Unavailable
from schema.hold import HoldRequest


@pytest.fixture
def audit(shop):
    """The log, in place of none in the room's own app."""
    shop.audit = Audit(Truth(shop.pg, Counts()))
    return shop.audit


async def restock_by_refund(shop, desk):
    await shop.item(stock=5, price=1000)
    order = await shop.buy("ann")
    await shop.captured(order)
    return order


async def test_an_act_has_two_entries_and_a_refused_one_says_why(shop, desk, audit):
    order = await restock_by_refund(shop, desk)
    async with shop.client("operator:op") as operator:
        path = f"/api/v1/orders/{order.order_id}/refund"
        assert (await operator.post(path, json={"amount": 400})).status_code == 200
        assert (await operator.post(path, json={"amount": 4000})).status_code == 409
        log = (await operator.get("/api/v1/shows/gala/audit")).json()
        first = (await operator.get("/api/v1/shows/gala/audit?limit=3")).json()
        rest = (await operator.get(f"/api/v1/shows/gala/audit?cursor={first['next_cursor']}")).json()
    refused, asked_too_much, done, asked = log["items"]
    assert [entry["seq"] for entry in log["items"]] == [4, 3, 2, 1]
    assert [entry["phase"] for entry in log["items"]] == ["refused", "asked", "done", "asked"]
    assert asked["act_id"] == done["act_id"] != refused["act_id"] == asked_too_much["act_id"]
    assert (asked["account_id"], asked["role"], asked["action"]) == ("op", "operator", "refundOrder")
    assert asked["object"] == f"orders/{order.order_id}/refund"
    assert asked["after"] == {"amount": 400, "lines": None}
    assert done["before"] == {"amount": 0, "currency": "EUR"}
    assert done["after"]["amount"]["amount"] == 400
    assert refused["after"]["code"] == "conflict"
    assert [*first["items"], *rest["items"]] == log["items"]
    report = await shop.verify()
    assert (report.problems, report.audited) == ([], 4)


async def test_what_viewers_do_and_what_is_only_read_is_not_written_down(shop, desk, audit):
    await shop.item(stock=5)
    async with shop.client("viewer:ann") as ann, shop.client("operator:op") as operator:
        await ann.post("/api/v1/shows/gala/holds", json={"variant_id": "pot"}, headers={"idempotency-key": "k"})
        await operator.get("/api/v1/shows/gala/holds")
        assert (await ann.get("/api/v1/shows/gala/audit")).status_code == 403
    assert (await shop.verify()).audited == 0


async def test_what_the_staff_do_to_what_is_a_buyers_is_written_down(shop, audit):
    """What its owner may do too: whoever's order or hold it was, the log says who ended it."""
    desk = await shop.open(pace=shop.idle)
    await shop.item(stock=1)
    order_id, line = await shop.sold_without_capture("ann"), HoldRequest(variant_id="pot")
    place = await desk.waitlist.join(shop.viewer("bob"), shop.show_id, line)
    await shop.item("pan", stock=2)
    hold, mine = await shop.tap("ann", variant="pan"), await shop.tap("bob", variant="pan")
    async with shop.client("viewer:bob") as bob, shop.client("operator:op") as operator:
        assert (await bob.delete(f"/api/v1/holds/{mine.hold_id}")).status_code == 204
        assert (await operator.delete(f"/api/v1/waitlist/{place.entry_id}")).status_code == 204
        assert (await operator.delete(f"/api/v1/holds/{hold.hold_id}")).status_code == 204
        for _ in range(2):
            assert (await operator.post(f"/api/v1/orders/{order_id}/cancel")).status_code == 200
        log = (await operator.get("/api/v1/shows/gala/audit")).json()["items"]
    done = [entry for entry in reversed(log) if entry["phase"] == "done"]
    assert [entry["action"] for entry in done] == ["leaveWaitlist", "releaseHold", "cancelOrder", "cancelOrder"]
    assert {entry["account_id"] for entry in log} == {"op"}
    assert [(entry["before"]["state"], entry["after"]["state"]) for entry in done[2:]] == [
        ("paid", "cancelled"),
        ("cancelled", "cancelled"),
    ]
    assert done[2]["object"] == f"orders/{order_id}/cancel"


async def test_nothing_is_done_that_cannot_be_written_down(shop, desk, audit, monkeypatch):
    order = await restock_by_refund(shop, desk)

    async def away(*_, **__):
        raise Unavailable("away")

    monkeypatch.setattr(audit, "_append", away)
    async with shop.client("operator:op") as operator:
        assert (await operator.post(f"/api/v1/orders/{order.order_id}/refund")).status_code == 503
    assert (await desk.get_order(shop.operator, order.order_id)).refunded.amount == 0


async def test_entries_written_at_once_are_one_chain(shop, desk, audit):
    await asyncio.gather(*(audit.write("nap", f"thing {n}", shop.operator, {"n": n}) for n in range(30)))
    page = await audit.page(None, limit=100)
    assert [entry.seq for entry in page.items] == list(range(30, 0, -1))
    assert {entry.after["n"] for entry in page.items} == set(range(30))
    assert (await shop.verify()).problems == []


async def test_the_log_takes_no_update_and_no_delete(shop, desk, audit):
    await audit.write("nap", "thing", shop.operator, None)
    for statement in ("UPDATE audit SET name = 'x'", "DELETE FROM audit", "TRUNCATE audit"):
        with pytest.raises(asyncpg.RaiseError, match="append-only"):
            await shop.pg.execute(statement)


FORGED = {
    "who": "UPDATE audit SET account_id = 'somebody else' WHERE seq = 2",
    "what": "UPDATE audit SET after = '{}' WHERE seq = 2",
    "when": "UPDATE audit SET at_ms = at_ms + 1 WHERE seq = 2",
    "an entry gone": "DELETE FROM audit WHERE seq = 2",
    "the last entry gone": "DELETE FROM audit WHERE seq = 3",
    "all gone": "DELETE FROM audit",
}


@pytest.mark.parametrize("what", FORGED)
async def test_an_edit_by_one_who_passes_every_trigger_fails_the_verifier(shop, desk, audit, what):
    for n in range(3):
        await audit.write("nap", f"thing {n}", shop.operator, {"n": n})
    assert (await shop.verify()).ok
    async with shop.pg.acquire() as connection:
        await connection.execute("SET session_replication_role = replica")
        assert (await connection.execute(FORGED[what])).split()[-1] != "0"
        await connection.execute("RESET session_replication_role")
    report = await shop.verify()
    assert not report.ok
    assert any("audit" in problem for problem in report.problems)


async def test_an_act_that_fails_in_the_middle_leaves_its_first_entry(shop, desk, audit, monkeypatch):
    order = await restock_by_refund(shop, desk)

    async def killed(*_):
        raise RuntimeError("killed")

    monkeypatch.setattr(desk, "refund", killed)
    async with shop.client("operator:op") as operator:
        with pytest.raises(RuntimeError):
            await operator.post(f"/api/v1/orders/{order.order_id}/refund")
    (entry,) = (await audit.page(shop.show_id)).items
    assert (entry.phase, entry.action) == ("asked", "refundOrder")


async def test_a_missing_order_is_no_reason_not_to_write_it_down(shop, desk, audit):
    async with shop.client("operator:op") as operator:
        assert (await operator.post("/api/v1/orders/ord_none/refund")).status_code == 404
    refused, _ = (await audit.page(None)).items
    assert (refused.show_id, refused.after["code"]) == (None, NotFound.code)
