"""Who may read the numbers, and what a show without video answers. Numbers of real peers: tests/media/test_stats.py."""

import pytest

from live.auth import issue_token
from schema.people import Role

PATH = "/api/v1/shows/demo/media"


async def test_a_show_without_video_answers_with_zeros(shop):
    answer = await shop.ask("GET", PATH, role=Role.HOST)
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    numbers = answer.json()
    assert numbers["show_id"] == "demo"
    assert (numbers["host"]["present"], numbers["host"]["layers"], numbers["history"]) == (False, [], [])
    assert numbers["viewers"]["sessions"] == 0
    assert numbers["viewers"]["loss"] == {"count": 0, "p50": None, "p95": None}
    page = await shop.ask("GET", f"{PATH}/sessions", role=Role.OPERATOR)
    assert page.json() == {"items": [], "next_cursor": None}


@pytest.mark.parametrize(
    ("path", "role", "status"),
    [
        (PATH, None, 401),
        (PATH, Role.VIEWER, 403),
        (PATH, Role.HOST, 200),
        (f"{PATH}/sessions", None, 401),
        (f"{PATH}/sessions", Role.HOST, 403),
        (f"{PATH}/sessions", Role.OPERATOR, 200),
        ("/api/v1/shows/nowhere/media", Role.OPERATOR, 404),
        ("/api/v1/shows/nowhere/media/sessions", Role.OPERATOR, 404),
        (f"{PATH}/sessions?order=best", Role.OPERATOR, 422),
        (f"{PATH}/sessions?limit=0", Role.OPERATOR, 422),
        (f"{PATH}/sessions?cursor=junk", Role.OPERATOR, 422),
    ],
)
async def test_hosts_read_the_show_and_operators_the_sessions(shop, path, role, status):
    assert (await shop.ask("GET", path, role=role)).status_code == status


async def test_a_token_for_another_show_reads_nothing(shop, settings):
    token = issue_token(settings, "other", Role.OPERATOR, "Olga", 1)
    answer = await shop.http.get(PATH, headers={"Authorization": f"Bearer {token}"})
    assert answer.status_code == 403
