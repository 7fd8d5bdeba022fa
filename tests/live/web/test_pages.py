"""Pages with a nonce of their own, files that may be kept for ever, and nothing from outside."""

import re

import httpx2
import pytest
from starlette.applications import Starlette

from live.security import STRIPE
from live.web.pages import PAGES, ROOT, digest_of, page_routes


@pytest.fixture
def root(tmp_path):
    (tmp_path / "static" / "js").mkdir(parents=True)
    (tmp_path / "static" / "images").mkdir()
    (tmp_path / "static" / "js" / "hub.js").write_text("export {}")
    (tmp_path / "static" / "images" / "pot.svg").write_text("<svg/>")
    (tmp_path / "hub.html").write_text('<script nonce="{{nonce}}" src="{{static}}/js/hub.js"></script>')
    (tmp_path / "secret.txt").write_text("secret")
    return tmp_path


@pytest.fixture
async def http(root):
    transport = httpx2.ASGITransport(app=Starlette(routes=page_routes(root)))
    async with httpx2.AsyncClient(transport=transport, base_url="http://t") as one:
        yield one


async def test_a_page_has_its_nonce_and_the_address_of_its_files(http, root):
    first, second = await http.get("/"), await http.get("/")
    nonce, address = re.search(r'nonce="([^"]+)" src="([^"]+)"', first.text).groups()
    assert f"'nonce-{nonce}'" in first.headers["content-security-policy"]
    assert nonce not in second.text
    assert address == f"/static/{digest_of(root / 'static')}/js/hub.js"
    assert first.headers["cache-control"] == "no-store"
    file = await http.get(address)
    assert (file.status_code, file.text) == (200, "export {}")
    assert "immutable" in file.headers["cache-control"]
    assert file.headers["content-type"].startswith("text/javascript")


PLAIN = (
    "default-src 'none'; script-src 'self' 'nonce-N'; style-src 'self' 'nonce-N'; img-src 'self' data: blob:; "
    "media-src 'self' blob:; font-src 'self'; connect-src 'self'; manifest-src 'self'; base-uri 'none'; "
    "form-action 'self'; frame-ancestors 'none'"
)


async def policies(**told) -> dict[str, str]:
    transport = httpx2.ASGITransport(app=Starlette(routes=page_routes(**told)))
    async with httpx2.AsyncClient(transport=transport, base_url="http://t") as one:
        answers = {path: await one.get(path.format(show="gala")) for path in PAGES}
    found = {path: answer.headers["content-security-policy"] for path, answer in answers.items()}
    return {path: re.sub(r"nonce-[\w-]+", "nonce-N", policy) for path, policy in found.items()}


async def test_with_the_test_network_no_page_lets_anybody_in():
    assert await policies() == dict.fromkeys(PAGES, PLAIN)


async def test_with_stripe_the_watch_page_alone_lets_stripe_in():
    found = await policies(payments="stripe pk_test_1", origins=STRIPE)
    paying = found.pop("/watch/{show}")
    assert set(found.values()) == {PLAIN}
    assert "script-src 'self' 'nonce-N' https://js.stripe.com https://*.js.stripe.com;" in paying
    assert "frame-src https://js.stripe.com https://*.js.stripe.com https://hooks.stripe.com;" in paying
    assert "connect-src 'self' https://api.stripe.com;" in paying
    assert "unsafe" not in paying


async def test_the_watch_page_is_told_who_moves_the_money():
    for told, text in (({}, "fake"), ({"payments": "stripe pk_test_1"}, "stripe pk_test_1")):
        transport = httpx2.ASGITransport(app=Starlette(routes=page_routes(**told)))
        async with httpx2.AsyncClient(transport=transport, base_url="http://t") as one:
            page = await one.get("/watch/gala")
        assert f'<meta name="payments" content="{text}" />' in page.text
        assert "{{" not in page.text
        assert "stripe.com" not in page.text  # its script comes only when somebody pays


async def test_images_have_a_lasting_address(http):
    image = await http.get("/images/pot.svg")
    assert (image.status_code, image.headers["cache-control"]) == (200, "public, max-age=3600")


@pytest.mark.parametrize("path", ["{0}/../secret.txt", "{0}/..%2fsecret.txt", "{0}/%2e%2e/secret.txt", "{0}/nothing"])
async def test_nothing_outside_is_served_and_a_miss_is_not_kept(http, root, path):
    answer = await http.get(path.format(f"/static/{digest_of(root / 'static')}"))
    assert answer.status_code == 404
    assert "secret" not in answer.text
    assert "cache-control" not in answer.headers


def test_the_digest_changes_with_any_byte_and_any_name(root):
    static = root / "static"
    seen = {digest_of(static)}
    (static / "js" / "hub.js").write_text("export {} ")
    seen.add(digest_of(static))
    (static / "js" / "hub.js").rename(static / "js" / "other.js")
    seen.add(digest_of(static))
    assert len(seen) == 3


async def test_the_pages_that_ship_leave_no_placeholder_and_load_what_exists(client):
    for path, name in PAGES.items():
        assert (ROOT / name).exists(), name
        page = await client.ask("GET", path.replace("{show}", "demo"))
        assert page.status_code == 200
        assert "{{" not in page.text
        for address in re.findall(r'(?:src|href)="(/static/[^"]+)"', page.text):
            assert (await client.ask("GET", address)).status_code == 200, address
