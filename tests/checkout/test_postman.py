"""Posting to addresses that somebody else chose."""

import asyncio
import ipaddress
import ssl

import pytest

from checkout import postman as module
from checkout.postman import Postman, Unreachable, is_allowed

NEVER_PUBLIC = [
    "127.0.0.1", "10.1.2.3", "192.168.1.1", "172.16.0.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "224.0.0.1",
    "255.255.255.255", "::1", "::", "fe80::1", "fc00::1", "ff02::1", "::ffff:127.0.0.1", "::ffff:169.254.169.254",
    "64:ff9b::a00:1", "2002:7f00:1::", "2001:0:7f00:1::",
]  # fmt: skip


@pytest.mark.parametrize("address", NEVER_PUBLIC)
def test_no_private_address_is_public_however_it_is_written(address):
    assert not is_allowed(ipaddress.ip_address(address), "public")


@pytest.mark.parametrize("address", ["93.184.215.14", "2606:2800:21f:cb07:6820:80da:af6b:8b2c", "::ffff:93.184.215.14"])
def test_public_ones_are(address):
    assert is_allowed(ipaddress.ip_address(address), "public")


def test_loopback_and_the_rest_are_by_setting():
    loop, private = ipaddress.ip_address("127.0.0.1"), ipaddress.ip_address("10.0.0.1")
    assert (is_allowed(loop, "loopback"), is_allowed(private, "loopback")) == (True, False)
    assert (is_allowed(loop, "any"), is_allowed(private, "any")) == (True, True)
    assert not is_allowed(ipaddress.ip_address("224.0.0.1"), "any")


@pytest.mark.parametrize(
    "url",
    [
        "ftp://example.com/", "file:///etc/passwd", "gopher://example.com", "http://", "https:///x", "http://u:p@example.com/",
        "http://example.com:99999/", "http://exa mple.com/", "http://127.0.0.1/", "http://[::1]:80/", "http://2130706433/",
        "http://localhost/", "http://169.254.169.254/latest/meta-data", "no address at all",
    ],
)  # fmt: skip
async def test_what_is_no_public_web_address_is_refused(url):
    async with Postman() as postman:
        with pytest.raises(Unreachable):
            await postman.find(url)
        posted = await postman.post(url, b"{}", {})
        assert (posted.status, posted.taken) == (None, False)


async def test_the_address_that_was_checked_is_the_one_that_is_asked(receiver, monkeypatch):
    """A name that leads elsewhere the second time gains nothing: it is looked up once."""
    asked = []
    loop = asyncio.get_running_loop()
    real = loop.getaddrinfo

    async def rebinding(host, *args, **kwargs):
        asked.append(host)
        return await real("127.0.0.1" if len(asked) == 1 else "169.254.169.254", *args, **kwargs)

    monkeypatch.setattr(loop, "getaddrinfo", rebinding)
    async with Postman("loopback") as postman:
        posted = await postman.post(f"http://shop.example:{receiver.port}/hook?a=1", b"{}", {"x-mine": "1"})
    assert posted.taken
    assert asked[0] == "shop.example"
    head, body = receiver.heard[0]
    assert head["host"] == f"shop.example:{receiver.port}"
    assert (head[":path"], head["x-mine"], body) == ("/hook?a=1", "1", b"{}")


async def test_a_redirect_is_a_refusal_and_is_not_followed(receiver):
    receiver.answers = [(302, "", {"Location": f"{receiver.url}/elsewhere"})]
    async with Postman("loopback") as postman:
        assert (await postman.post(receiver.url, b"{}", {})).status == 302
    assert len(receiver.heard) == 1


async def test_of_an_answer_without_end_a_little_is_read(receiver):
    receiver.answers = [(500, "a" * 5_000_000, {})]
    async with Postman("loopback") as postman:
        posted = await postman.post(receiver.url, b"{}", {})
    assert (posted.status, posted.error) == (500, "a" * 300)


async def test_who_does_not_answer_in_time_is_left(receiver):
    receiver.silent = True
    async with Postman("loopback", timeout_s=0.2) as postman:
        posted = await postman.post(receiver.url, b"{}", {})
    assert posted.status is None
    assert "Timeout" in posted.error


async def test_nobody_there_is_no_answer():
    async with Postman("loopback") as postman:
        posted = await postman.post("http://127.0.0.1:1/", b"{}", {})
    assert posted.status is None
    assert posted.error


async def test_the_certificate_is_asked_for_the_name_and_not_the_address(receiver, monkeypatch):
    names = []

    def noted(self, *args, server_hostname=None, **kwargs):
        names.append(server_hostname)
        raise ssl.SSLError("enough")

    monkeypatch.setattr(ssl.SSLContext, "wrap_bio", noted)
    async with Postman("loopback") as postman:
        await postman.post(f"https://localhost:{receiver.port}/", b"{}", {})
    assert names == [b"localhost"]
    assert module.TIMEOUT_S < 30
