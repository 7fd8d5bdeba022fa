"""Every refusal is a problem document, and nothing of the inside leaks."""

import asyncpg
import msgspec
import pytest
import redis.exceptions
from starlette.requests import Request
from structlog.testing import capture_logs

from live.errors import Problems, problem
from schema.errors import REGISTRY, Conflict, Invalid, RateLimited
from schema.people import Role


@pytest.mark.parametrize("code", sorted(REGISTRY))
def test_each_member_of_the_family_has_its_document(code):
    kind = REGISTRY[code]
    answer = problem(kind("what happened"))
    assert answer.status_code == kind.status
    assert answer.headers["content-type"] == "application/problem+json"
    assert msgspec.json.decode(answer.body) == {
        "type": f"/docs#problem-{code}",
        "title": kind.title,
        "status": kind.status,
        "detail": "what happened",
        "code": code,
    }


@pytest.mark.parametrize(("wait_ms", "seconds"), [(1, "1"), (1000, "1"), (1001, "2"), (0, "1")])
def test_the_time_to_wait_is_rounded_up_and_never_nought(wait_ms, seconds):
    answer = problem(RateLimited(retry_after_ms=wait_ms))
    assert answer.headers["retry-after"] == seconds
    assert msgspec.json.decode(answer.body)["retry_after_ms"] == wait_ms


def test_a_pointer_and_further_members_come_along_but_cannot_replace_the_documents_own():
    body = msgspec.json.decode(problem(Invalid("no", pointer="/title")).body)
    assert body["pointer"] == "/title"
    body = msgspec.json.decode(problem(Conflict("no", available=3, status=200, code="fine")).body)
    assert (body["available"], body["status"], body["code"]) == (3, 409, "conflict")


async def answered(error):
    """What a client gets when a handler raises `error`."""
    sent = []

    async def app(_scope, _receive, _send):
        raise error

    async def send(message):
        sent.append(message)

    await Problems(app)({"type": "http", "method": "GET", "path": "/x"}, None, send)
    return sent[0]["status"], msgspec.json.decode(sent[1]["body"])


async def test_an_unforeseen_failure_says_nothing_of_itself():
    status, body = await answered(RuntimeError("password=hunter2"))
    assert (status, body["code"]) == (500, "internal")
    assert "hunter2" not in str(body)


@pytest.mark.parametrize(
    "error",
    [
        ConnectionRefusedError(),
        TimeoutError(),
        redis.exceptions.ConnectionError("secret address"),
        redis.exceptions.TimeoutError(),
        asyncpg.ConnectionDoesNotExistError("gone"),
        asyncpg.AdminShutdownError("going"),
        asyncpg.TooManyConnectionsError("full"),
    ],
)
async def test_a_store_that_is_away_is_503_and_worth_another_try(error):
    status, body = await answered(error)
    assert (status, body["code"], body["retry_after_ms"]) == (503, "unavailable", 1000)
    assert "secret" not in str(body)


async def test_an_answer_that_has_begun_is_not_overwritten():
    async def app(_scope, _receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        raise RuntimeError("too late")

    sent = []

    async def send(message):
        sent.append(message)

    with pytest.raises(RuntimeError):
        await Problems(app)({"type": "http", "method": "GET", "path": "/x"}, None, send)
    assert [message["type"] for message in sent] == ["http.response.start"]


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [("GET", "/nothing", 404, "not_found"), ("PATCH", "/api/v1/shows", 405, "method_not_allowed")],
)
async def test_starlettes_own_refusals_have_the_same_shape(client, method, path, status, code):
    answer = await client.ask(method, path)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.headers["content-type"] == "application/problem+json"


async def test_bodies_that_cannot_be_taken_are_refused_one_way_each(client):
    async def post(content, kind="application/json"):
        headers = {"Authorization": f"Bearer {client.tokens[Role.OPERATOR]}", "Content-Type": kind}
        answer = await client.http.post("/api/v1/shows", content=content, headers=headers)
        return answer.status_code, answer.json()["code"]

    assert await post(b"{") == (400, "bad_request")
    assert await post(b"\xff\xfe") == (400, "bad_request")
    assert await post(b"{}", "text/plain") == (415, "unsupported_media_type")
    assert await post(b'{"title": 5, "starts_at_ms": 1}') == (422, "invalid")
    assert await post(b'{"title": "T", "starts_at_ms": 1, "extra": 1}') == (422, "invalid")
    assert await post(b" " * 70_000 + b"{}") == (413, "too_large")
    assert await post(b" " * 2_000_000) == (413, "too_large")
    assert await post(b"[" * 60_000) in {(400, "bad_request"), (422, "invalid")}


async def test_a_null_byte_in_a_text_is_refused_and_not_an_accident(client):
    answer = await client.ask("POST", "/api/v1/shows", {"title": "a\x00b", "starts_at_ms": 1}, Role.OPERATOR)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid")
    assert (await client.ask("GET", "/api/v1/shows/a%00b")).status_code == 422


@pytest.mark.parametrize("starts", ["1" + "0" * 30, str(2**63), "1e400", "NaN", '"1"', "-1"])
async def test_a_number_that_cannot_be_stored_is_refused(client, starts):
    headers = {"Authorization": f"Bearer {client.tokens[Role.OPERATOR]}", "Content-Type": "application/json"}
    body = f'{{"title": "T", "starts_at_ms": {starts}}}'
    answer = await client.http.post("/api/v1/shows", content=body, headers=headers)
    assert answer.status_code in {400, 422}, answer.text


async def test_half_a_surrogate_is_refused(client):
    headers = {"Authorization": f"Bearer {client.tokens[Role.OPERATOR]}", "Content-Type": "application/json"}
    body = b'{"title": "\\ud800", "starts_at_ms": 1}'
    assert (await client.http.post("/api/v1/shows", content=body, headers=headers)).status_code in {400, 422}
    assert (await client.http.get("/api/v1/shows/%ed%a0%80")).status_code in {404, 422}


async def test_a_client_that_hangs_up_in_the_middle_of_its_body_is_no_failure_of_ours():
    async def app(scope, receive, _send):
        await Request(scope, receive).body()

    async def receive():
        return {"type": "http.disconnect"}

    async def send(_):
        raise AssertionError("nobody listens")

    with capture_logs() as logs:
        await Problems(app)({"type": "http", "method": "POST", "path": "/x", "headers": []}, receive, send)
    assert [(one["event"], one["log_level"]) for one in logs] == [("client_hung_up", "debug")]
    assert "exc_info" not in logs[0]
