"""Guests and tickets, through HTTP."""

import pytest
from redis.exceptions import RedisError

from live.auth import Tokens
from live.guests import Guests
from live.limits import RULES
from live.pipeline import Pipeline
from live.tickets import Tickets
from schema.ids import ShowId
from schema.people import Role, Ticket

SHOW = "/api/v1/shows/demo"


async def test_a_guest_joins_with_an_account_a_token_and_a_ticket(shop):
    answer = await shop.ask("POST", f"{SHOW}/guests", {"name": "  Ann \u202e\x00 Bee "})
    assert answer.status_code == 201
    guest = answer.json()
    assert {"viewer_id", "viewer_token", "ticket"} <= guest.keys()
    assert guest["name"] == "Ann Bee"
    principal = shop.services["tokens"].verify(guest["viewer_token"])
    assert (principal.account_id, principal.role, principal.show_id) == (guest["viewer_id"], Role.VIEWER, "demo")
    assert await shop.services["tickets"].redeem("demo", [guest["ticket"]]) == [principal]
    assert answer.headers["cache-control"] == "no-store"


async def test_a_guest_without_a_body_gets_a_friendly_name(shop):
    answer = await shop.ask("POST", f"{SHOW}/guests")
    assert answer.status_code == 201
    assert len(answer.json()["name"].split()) == 3


async def test_nobody_joins_a_show_that_is_not_there(shop):
    assert (await shop.ask("POST", "/api/v1/shows/other/guests")).status_code == 404
    assert (await shop.ask("POST", "/api/v1/shows/other/tickets", role=Role.OPERATOR)).status_code == 404


async def test_a_bearer_gets_another_ticket_and_a_stranger_none(shop):
    guest = (await shop.ask("POST", f"{SHOW}/guests")).json()
    bearer = f"Bearer {guest['viewer_token']}"
    answer = await shop.ask("POST", f"{SHOW}/tickets", authorization=bearer)
    assert answer.status_code == 201
    assert answer.json()["ticket"] != guest["ticket"]
    assert (await shop.ask("POST", f"{SHOW}/tickets")).status_code == 401


async def test_an_account_buys_no_flood_of_tickets_and_holds_nobody_elses_back(shop):
    answers = [await shop.ask("POST", f"{SHOW}/tickets", role=Role.VIEWER) for _ in range(40)]
    assert {one.status_code for one in answers[:10]} == {201}
    refused = [one for one in answers if one.status_code == 429]
    assert refused
    assert refused[0].json()["retry_after_ms"] > 0
    assert (await shop.ask("POST", f"{SHOW}/tickets", role=Role.HOST)).status_code == 201


async def test_a_guests_token_is_for_one_show(shop):
    await shop.ask("POST", "/api/v1/shows", {"title": "T", "starts_at_ms": 1, "show_id": "two"}, Role.OPERATOR)
    guest = (await shop.ask("POST", f"{SHOW}/guests")).json()
    bearer = f"Bearer {guest['viewer_token']}"
    assert (await shop.ask("POST", "/api/v1/shows/two/tickets", authorization=bearer)).status_code == 403


async def test_a_ticket_opens_one_socket_and_only_in_its_show(shop):
    tickets: Tickets = shop.services["tickets"]
    ticket = (await shop.ask("POST", f"{SHOW}/tickets", role=Role.VIEWER)).json()["ticket"]
    assert await tickets.redeem("other", [ticket]) == [None]
    (holder,) = await tickets.redeem("demo", [ticket])
    assert holder.role is Role.VIEWER
    assert await tickets.redeem("demo", [ticket]) == [None]


async def test_with_redis_away_a_guest_still_gets_an_account(shop, monkeypatch):
    async def away(*_args, **_named):
        raise RedisError

    monkeypatch.setattr(Pipeline, "execute_command", away)
    answer = await shop.ask("POST", f"{SHOW}/guests")
    assert (answer.status_code, answer.json()["ticket"]) == (201, "")
    assert shop.services["tokens"].verify(answer.json()["viewer_token"]).show_id == "demo"
    assert (await shop.ask("POST", f"{SHOW}/tickets", role=Role.VIEWER)).status_code == 503


async def test_the_guests_of_one_address_are_bounded(shop):
    most = 20 * RULES["guest"].burst  # while they are made, some more become free
    for _ in range(most):
        answer = await shop.ask("POST", f"{SHOW}/guests")
        if answer.status_code == 429:
            break
    assert answer.status_code == 429
    assert int(answer.headers["retry-after"]) >= 1
    assert answer.json()["code"] == "rate_limited"


class Booth:
    async def issue(self, *_) -> Ticket:
        return Ticket(ticket="t", expires_at_ms=0)


@pytest.fixture
def tokens() -> Tokens:
    return Tokens("a secret of the tests, long enough for every HS algorithm there is")


async def network(tokens: Tokens, address: str, **how: bool) -> str:
    guest = await Guests(tokens, Booth(), **how).join(ShowId("demo"), "Ann", address)
    return tokens.verify(guest.viewer_token).network


async def test_guests_of_one_network_are_marked_alike_and_the_mark_does_not_say_where(tokens):
    ann, bob = [await network(tokens, "9.9.9.9") for _ in range(2)]
    assert ann == bob != await network(tokens, "9.9.9.10")
    assert "9.9.9" not in ann
    assert await network(tokens, "2620:fe::1") == await network(tokens, "2620:fe::2")
    assert await network(tokens, "::ffff:9.9.9.9") == ann
    assert ann != await network(Tokens("another secret, long enough for every HS algorithm there is"), "9.9.9.9")


@pytest.mark.parametrize(
    "address", ["127.0.0.1", "::1", "::ffff:10.0.0.7", "172.18.0.2", "192.168.1.4", "fd00::1", "", "x"]
)
async def test_an_address_inside_says_nothing_for_a_proxy_that_nobody_named_has_one(tokens, address):
    assert await network(tokens, address) == ""


async def test_under_load_an_address_says_nothing(tokens):
    assert await network(tokens, "9.9.9.9", load=True) == ""


async def test_fresh_guests_of_one_address_cannot_reserve_a_whole_item(shop, monkeypatch):
    monkeypatch.setattr(shop.http._transport, "client", ("9.9.9.9", 4711))

    async def tap() -> dict:
        guest = (await shop.ask("POST", f"{SHOW}/guests")).json()
        bearer = {"authorization": f"Bearer {guest['viewer_token']}", "idempotency_key": "k"}
        return (await shop.ask("POST", f"{SHOW}/holds", {"variant_id": "blue"}, **bearer)).json()

    answers = [await tap() for _ in range(8)]
    assert [answer.get("state", answer.get("code")) for answer in answers] == ["held"] * 4 + ["limit_reached"] * 4
    assert answers[-1]["of"] == "network"
    monkeypatch.setattr(shop.http._transport, "client", ("9.9.9.10", 4711))
    assert (await tap())["state"] == "held"
