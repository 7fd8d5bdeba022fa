"""Who may what: an analyst reads and changes nothing, an admin hands out access."""

import pytest

from live.openapi import operations
from schema.people import Role

SHOW = "/api/v1/shows/demo"
READS = [
    "totals", "orders", "orders.csv", "holds", "waitlist", "media", "media/sessions", "coupons", "low-stock",
    "payments/differences", "price-errors?variant=red&amount=1",
]  # fmt: skip


@pytest.mark.parametrize("what", READS)
async def test_an_analyst_reads_statistics_and_exports(shop, what):
    answer = await shop.ask("GET", f"{SHOW}/{what}", role=Role.ANALYST)
    assert answer.status_code == 200, answer.text
    assert (await shop.ask("GET", f"{SHOW}/{what}", role=Role.VIEWER)).status_code == 403


async def test_an_analyst_cannot_pin(shop):
    refused = await shop.ask("POST", f"{SHOW}/pins", {"variant_id": "red"}, Role.ANALYST)
    assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")
    assert (await shop.ask("GET", SHOW)).json()["pins"] == []


def of_analysts(app):
    """(Those with a role that an analyst may call, those they may not.)"""
    guarded = [one for one in operations(app.routes) if one.role is not None]
    return [one for one in guarded if one.for_analysts], [one for one in guarded if not one.for_analysts]


async def test_whatever_else_needs_a_role_is_refused_to_an_analyst(shop):
    _, others = of_analysts(shop.app)
    assert len(others) > 60
    for one in others:
        path = one.path.replace("{show}", "demo").replace("{variant}", "red").replace("{", "").replace("}", "")
        answer = await shop.ask(one.method, path, {}, Role.ANALYST)
        assert (one.name, answer.status_code, answer.json()["code"]) == (one.name, 403, "forbidden")


def test_what_analysts_may_do_changes_nothing(client):
    allowed, _ = of_analysts(client.app)
    assert {one.name for one in allowed if one.method != "GET"} == {"issueTicket"}


async def test_an_analyst_may_watch(shop):
    headers = {"Authorization": f"Bearer {shop.tokens[Role.ANALYST]}", "Content-Type": "application/sdp"}
    answer = await shop.http.post("/whep/demo", content="v=0", headers=headers)
    assert answer.json()["code"] not in {"forbidden", "unauthenticated"}
    answer = await shop.http.post("/whip/demo", content="v=0", headers=headers)
    assert answer.json()["code"] == "forbidden"


async def test_an_admin_gives_access_that_is_what_it_says_and_is_written_down_without_the_token(shop):
    asked = {"role": "moderator", "name": "Mo", "show_id": "demo", "hours": 2}
    made = await shop.ask("POST", "/api/v1/tokens", asked, Role.ADMIN)
    assert (made.status_code, made.headers["cache-control"]) == (201, "no-store")
    who = shop.services["tokens"].verify(made.json()["token"])
    assert (who.role, who.name, who.show_id) == (Role.MODERATOR, "Mo", "demo")
    assert who.account_id == made.json()["account_id"]
    log = await shop.ask("GET", "/api/v1/audit", role=Role.OPERATOR)
    assert "issueStaffToken" in log.text
    assert made.json()["token"] not in log.text


@pytest.mark.parametrize("role", [one for one in Role if one is not Role.ADMIN])
async def test_nobody_else_gives_access(shop, role):
    refused = await shop.ask("POST", "/api/v1/tokens", {"role": "viewer", "name": "X"}, role)
    assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")


@pytest.mark.parametrize(
    ("more", "code"),
    [({"show_id": "nowhere"}, "not_found"), ({"hours": 745}, "invalid"), ({"role": "king"}, "invalid")],
)
async def test_access_to_nothing_is_refused(shop, more, code):
    refused = await shop.ask("POST", "/api/v1/tokens", {"role": "host", "name": "X", **more}, Role.ADMIN)
    assert refused.json()["code"] == code


async def test_an_admin_of_one_show_gives_no_access_to_others(shop):
    made = await shop.ask("POST", "/api/v1/tokens", {"role": "admin", "name": "A", "show_id": "demo"}, Role.ADMIN)
    shop.tokens[Role.ADMIN] = made.json()["token"]
    again = await shop.ask("POST", "/api/v1/tokens", {"role": "host", "name": "B"}, Role.ADMIN)
    assert (again.status_code, again.json()["code"]) == (403, "forbidden")


async def test_links_cannot_be_kept_for_analysts_who_write_nothing(shop):
    path = f"{SHOW}/chat/rules"
    before = (await shop.ask("GET", path, role=Role.OPERATOR)).json()
    refused = await shop.ask("PUT", path, before | {"links_from": "analyst"}, Role.OPERATOR)
    assert (refused.status_code, refused.json()["code"]) == (422, "invalid")
    assert (await shop.ask("GET", path, role=Role.OPERATOR)).json() == before
