import json

import httpx2
import pytest

from realtime.client_tickets import TicketOffice, TicketRefused


class Door:
    """Answers as `/guests` and `/tickets` do; `good` are the tokens that are valid now."""

    def __init__(self):
        self.good, self.asked, self.answers = {"mine"}, [], []

    def __call__(self, request):
        what = request.url.path.rpartition("/")[2]
        self.asked.append(what)
        if self.answers:
            return self.answers.pop(0)
        if what == "guests":
            token = f"guest{len(self.asked)}"
            self.good.add(token)
            return httpx2.Response(201, json={"viewer_id": "v", "viewer_token": token, "ticket": f"t{len(self.asked)}"})
        known = request.headers.get("authorization", "").removeprefix("Bearer ") in self.good
        return httpx2.Response(201, json={"ticket": f"t{len(self.asked)}"}) if known else httpx2.Response(401, json={})


@pytest.fixture
def door():
    return Door()


@pytest.fixture
async def http(door):
    async with httpx2.AsyncClient(transport=httpx2.MockTransport(door), base_url="http://shop") as client:
        yield client


async def test_a_guest_joins_once_and_then_asks_for_tickets(door, http):
    office = TicketOffice(http, "show")
    assert [await office() for _ in range(3)] == ["t1", "t2", "t3"]
    assert door.asked == ["guests", "tickets", "tickets"]


async def test_a_guest_whose_token_has_run_out_joins_again(door, http):
    office = TicketOffice(http, "show")
    await office()
    door.good.clear()
    assert await office() == "t3"
    assert door.asked == ["guests", "tickets", "guests"]


async def test_a_token_that_was_given_is_not_replaced_by_a_guests(door, http):
    office = TicketOffice(http, "show", "mine")
    assert await office() == "t1"
    door.good.clear()
    with pytest.raises(TicketRefused) as refused:
        await office()
    assert (refused.value.status, refused.value.final) == (401, True)
    assert door.asked == ["tickets", "tickets"]


@pytest.mark.parametrize(("status", "final"), [(404, True), (403, True), (429, False), (408, False), (503, False)])
async def test_a_refusal_is_final_unless_waiting_may_help(door, http, status, final):
    door.answers = [httpx2.Response(status, headers={"Retry-After": "3"}, text=json.dumps({"code": "x"}))]
    with pytest.raises(TicketRefused) as refused:
        await TicketOffice(http, "show")()
    assert (refused.value.final, refused.value.retry_after_ms) == (final, 3000)


async def test_no_answer_at_all_is_not_final(http, door):
    def broken(_request):
        raise httpx2.ConnectError("nobody there")

    async with httpx2.AsyncClient(transport=httpx2.MockTransport(broken), base_url="http://shop") as client:
        with pytest.raises(TicketRefused) as refused:
            await TicketOffice(client, "show")()
    assert (refused.value.status, refused.value.final) == (0, False)
