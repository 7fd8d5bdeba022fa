import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime.core.handshake import Refused, accept, parse

GOOD = {
    "Host": "shop.example",
    "Connection": "keep-alive, Upgrade",
    "Upgrade": "WebSocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}


def request(first: str = "GET /ws/a%20b?ticket=t HTTP/1.1", **changed: str | None) -> bytes:
    headers = GOOD | {name.replace("_", "-"): value for name, value in changed.items()}
    lines = [f"{name}: {value}" for name, value in headers.items() if value is not None]
    return "\r\n".join([first, *lines, "", ""]).encode()


def status(data: bytes) -> int:
    with pytest.raises(Refused) as caught:
        parse(data)
    return caught.value.status


def test_the_answer_to_the_rfcs_own_key():
    assert accept(b"dGhlIHNhbXBsZSBub25jZQ==") == b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="  # RFC 6455 section 1.3


def test_a_good_request_is_understood():
    made = parse(request(Sec_WebSocket_Protocol="a, b"))
    assert (made.path, made.raw_path, made.query) == ("/ws/a b", b"/ws/a%20b", b"ticket=t")
    assert made.subprotocols == ["a", "b"]
    assert (b"host", b"shop.example") in made.headers


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (request("POST /ws HTTP/1.1"), 405),
        (request(Upgrade="h2c"), 400),
        (request(Connection="keep-alive"), 400),
        (request(Sec_WebSocket_Version="8"), 426),
        (request(Sec_WebSocket_Version=None), 426),
        (request(Sec_WebSocket_Key=None), 400),
        (request(Sec_WebSocket_Key="c2hvcnQ="), 400),
        (request(Sec_WebSocket_Key="not base64!!"), 400),
        (request()[:-4] + b"\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n", 400),
        (request(Origin="https://evil.example"), 403),
        (request(Origin="null"), 403),
        (request()[:-2], 400),
        (request(X="x" * 70_000), 400),
    ],
)
def test_a_bad_request_is_refused(data, expected):
    assert status(data) == expected


def test_a_page_of_our_own_host_and_one_of_an_allowed_site_may_come_in():
    assert parse(request(Origin="https://shop.example"))
    assert parse(request(Origin="https://Other.example"), origins={"https://other.example"})
    assert parse(request())


@given(st.binary(max_size=300))
def test_random_bytes_are_refused(data):
    with pytest.raises(Refused):
        parse(data + b"\r\n\r\n")
