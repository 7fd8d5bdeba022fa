import asyncio
from typing import Any

import httpx2
import msgspec
import pytest
from starlette.applications import Starlette
from starlette.requests import Request

from schema import api, errors
from schema.api import BODY_MAX_BYTES, Answer, Operation, decode, route
from schema.people import Principal, Role


class Greeting(msgspec.Struct, forbid_unknown_fields=True):
    name: str


async def greet(call):
    assert call.request.path_params["show"] == "one"
    return Answer(status=201, body=Greeting(name=call.body.name.upper()))


GREET = Operation(
    name="greet",
    method="POST",
    path="/{show}/greet",
    summary="Greet.",
    answers={201: Greeting},
    role=Role.HOST,
    body=Greeting,
    idempotent=True,
)


def client(principal, *routes):
    async def with_principal(scope, receive, send):
        await app({**scope, "principal": principal}, receive, send)

    app = Starlette(routes=[route(GREET, greet), *routes])
    transport = httpx2.ASGITransport(app=with_principal, raise_app_exceptions=True)
    return httpx2.AsyncClient(transport=transport, base_url="http://test", headers={"Idempotency-Key": "k"})


def bearer(role, show=None):
    return Principal(account_id="a", role=role, name="A", show_id=show)


async def test_a_good_call_is_decoded_handled_and_encoded():
    async with client(bearer(Role.HOST)) as http:
        answer = await http.post("/one/greet", json={"name": "ann"})
    assert (answer.status_code, answer.json()) == (201, {"name": "ANN"})


@pytest.mark.parametrize(
    ("principal", "error"),
    [
        (None, errors.Unauthenticated),
        (bearer(Role.VIEWER), errors.Forbidden),
        (bearer(Role.HOST, "two"), errors.Forbidden),
    ],
)
async def test_who_may_not_call_never_reaches_the_handler(principal, error):
    async with client(principal) as http:
        with pytest.raises(error):
            await http.post("/one/greet", json={"name": "ann"})


@pytest.mark.parametrize(
    ("body", "content_type", "error"),
    [
        (b"{", "application/json", errors.BadRequest),
        (b'{"name": "\xff"}', "application/json", errors.BadRequest),
        (b"[" * 20_000, "application/json", errors.Invalid),
        (b'{"name": 1}', "application/json", errors.Invalid),
        (b'{"name": "a", "more": 1}', "application/json", errors.Invalid),
        (b'{"name": "a"}', "text/plain", errors.UnsupportedMediaType),
        (b" " * (BODY_MAX_BYTES + 1), "application/json", errors.TooLarge),
    ],
)
async def test_a_bad_body_gets_its_own_error(body, content_type, error):
    async with client(bearer(Role.HOST)) as http:
        with pytest.raises(error):
            await http.post("/one/greet", content=body, headers={"Content-Type": content_type})


async def test_the_field_at_fault_is_pointed_at():
    async with client(bearer(Role.HOST)) as http:
        with pytest.raises(errors.Invalid) as caught:
            await http.post("/one/greet", json={"name": 1})
    assert caught.value.pointer == "/name"


async def test_an_idempotent_operation_asks_for_its_key():
    async with client(bearer(Role.HOST)) as http:
        with pytest.raises(errors.IdempotencyKeyMissing):
            await http.post("/one/greet", json={"name": "a"}, headers={"Idempotency-Key": ""})
        with pytest.raises(errors.BadRequest):
            await http.post("/one/greet", json={"name": "a"}, headers={"Idempotency-Key": "k" * 256})


async def test_a_bottomless_body_is_refused_and_breaks_nothing():
    class Loose(msgspec.Struct):
        anything: Any

    request = Request({"type": "http", "method": "POST", "headers": []}, receive_once(b'{"anything":' + b"[" * 50_000))
    with pytest.raises(errors.BadRequest, match="deeply"):
        await decode(request, Loose)


async def test_a_body_that_does_not_come_to_its_end_is_refused_in_time(monkeypatch):
    monkeypatch.setattr(api, "BODY_DEADLINE_S", 0.05)

    async def drip():
        await asyncio.sleep(0.001)
        return {"type": "http.request", "body": b" ", "more_body": True}

    with pytest.raises(errors.RequestTimeout) as refused:
        async with asyncio.timeout(10):
            await decode(Request({"type": "http", "method": "POST", "headers": []}, drip), Greeting)
    assert refused.value.headers == {"Connection": "close"}
    assert api.BODY_DEADLINE_S < 60


async def test_a_body_is_read_whole_whether_it_waits_before_any_of_its_parts_or_before_none():
    for waits in ((0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 1, 1)):
        parts = list(zip(waits, (b"a", b"b", b"c"), (True, True, False), strict=True))

        async def come(parts=parts):
            wait, body, more = parts.pop(0)
            if wait:
                async with asyncio.timeout(10):
                    came = asyncio.get_running_loop().create_future()
                    asyncio.get_running_loop().call_soon(came.set_result, None)
                    await came
            return {"type": "http.request", "body": body, "more_body": more}

        assert await api.read_body(Request({"type": "http", "method": "POST", "headers": []}, come)) == b"abc"


async def test_who_gives_up_while_a_body_is_read_is_heard():
    waiting, ended = asyncio.Event(), []

    async def never():
        try:
            waiting.set()
            await asyncio.get_running_loop().create_future()
        finally:
            ended.append(True)

    reading = asyncio.create_task(api.read_body(Request({"type": "http", "method": "POST", "headers": []}, never)))
    async with asyncio.timeout(10):
        await waiting.wait()
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
    assert ended == [True]


async def test_a_token_for_one_show_reaches_no_operation_on_all_of_them():
    called = []

    async def handler(call):
        called.append(call.request.url.path)
        return Answer(status=204)

    everywhere = Operation(name="a", method="POST", path="/things", summary="", answers={204: None}, role=Role.HOST)
    one = Operation(name="b", method="POST", path="/things/{thing}", summary="", answers={204: None}, role=Role.HOST)
    anybody = Operation(name="c", method="POST", path="/open", summary="", answers={204: None})
    for principal in (bearer(Role.OPERATOR, "two"), bearer(Role.OPERATOR)):
        async with client(principal, *(route(each, handler) for each in (everywhere, one, anybody))) as http:
            await http.post("/things/1")
            await http.post("/open")
            if principal.show_id is None:
                await http.post("/things")
            else:
                with pytest.raises(errors.Forbidden, match="one show"):
                    await http.post("/things")
    assert called == ["/things/1", "/open", "/things/1", "/open", "/things"]


def receive_once(body):
    async def receive():
        return {"type": "http.request", "body": body, "more_body": False}

    return receive
