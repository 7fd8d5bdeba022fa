import httpx2
import pytest

from live.demo.shop import SHOP, SetUpError, set_up
from schema.people import Role


class Server:
    """Answers as the interface does, for one test of the decisions: which show is run."""

    def __init__(self, states):
        self.states, self.created = dict(states), []

    def __call__(self, request):
        path = request.url.path
        if request.method == "GET":
            state = self.states.get(path.rsplit("/", 1)[-1])
            return httpx2.Response(200, json={"state": state}) if state else httpx2.Response(404, json={})
        if path == "/api/v1/shows":
            self.created.append(request.read())
        return httpx2.Response(201, json={})

    def client(self):
        return httpx2.AsyncClient(transport=httpx2.MockTransport(self), base_url="http://shop")


def test_the_opening_stock_is_that_of_the_demo_show():
    assert sum(units for goods in SHOP for units in goods.stock.values()) == 116


@pytest.mark.parametrize(
    ("states", "show", "created"),
    [
        ({}, "demo", 1),
        ({"demo": "live"}, "demo", 0),
        ({"demo": "paused"}, "demo", 0),
        ({"demo": "ended"}, "demo-2", 1),
        ({"demo": "ended", "demo-2": "scheduled"}, "demo-2", 0),
    ],
)
async def test_a_show_that_has_not_ended_goes_on_and_else_there_is_a_new_one(states, show, created):
    server = Server(states)
    async with server.client() as http:
        assert await set_up(http, 0, resume_ended=False) == show
    assert len(server.created) == created


async def test_a_refusal_is_told_in_the_servers_words():
    def refuse(_):
        return httpx2.Response(403, text="not yours")

    async with httpx2.AsyncClient(transport=httpx2.MockTransport(refuse), base_url="http://shop") as http:
        with pytest.raises(SetUpError, match="not yours"):
            await set_up(http, 0, resume_ended=False)


async def test_who_asks_for_the_last_show_gets_it_even_after_its_end():
    server = Server({"demo": "ended"})
    async with server.client() as http:
        assert await set_up(http, 0, resume_ended=True) == "demo"
    assert server.created == []


async def test_a_real_service_takes_all_of_it_and_entering_it_again_changes_nothing(client):
    client.http.headers["Authorization"] = f"Bearer {client.tokens[Role.OPERATOR]}"
    show = await set_up(client.http, 0, resume_ended=False)
    first = (await client.http.get(f"/api/v1/shows/{show}")).json()
    assert [each["available"] for each in first["bundles"]] == [12]
    assert (await client.http.get(f"/api/v1/shows/{show}/charges")).json()["home_country"] == "DE"
    assert await set_up(client.http, 0, resume_ended=False) == show
    again = (await client.http.get(f"/api/v1/shows/{show}")).json()
    assert (again["items"], again["bundles"]) == (first["items"], first["bundles"])
