"""What every answer says to a browser."""

import re

import pytest

SHOW = "/api/v1/shows"
FRIEND, STRANGER = "https://shop.example", "https://elsewhere.example"


@pytest.mark.parametrize("path", ["/api/v1/shows", "/nothing", "/healthz", "/openapi.json", "/docs"])
async def test_every_answer_carries_the_headers(client, path):
    headers = (await client.ask("GET", path)).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert "default-src 'none'" in headers["content-security-policy"]


async def test_a_page_may_run_its_own_scripts_and_no_others(client):
    first, second = await client.ask("GET", "/docs"), await client.ask("GET", "/docs")
    policies = [answer.headers["content-security-policy"] for answer in (first, second)]
    nonces = [re.search(r"script-src 'self' 'nonce-([\w-]{20,})'", policy)[1] for policy in policies]
    assert nonces[0] != nonces[1]
    assert nonces[0] in first.text
    assert all("unsafe" not in policy and "*" not in policy for policy in policies)


@pytest.mark.parametrize("path", [SHOW, "/whip/demo", "/whep/demo"])
async def test_a_friendly_origin_may_call_and_read_what_it_needs(client, path):
    asked = {"origin": FRIEND, "access-control-request-method": "POST",
             "access-control-request-headers": "authorization,content-type,idempotency-key"}  # fmt: skip
    answer = await client.http.options(path, headers=asked)
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == FRIEND
    assert "access-control-allow-credentials" not in answer.headers
    called = await client.http.get(SHOW, headers={"origin": FRIEND})
    assert called.headers["access-control-allow-origin"] == FRIEND
    exposed = {name.strip().lower() for name in called.headers["access-control-expose-headers"].split(",")}
    assert {"location", "link", "etag", "retry-after"} <= exposed


async def test_a_strange_origin_may_not(client):
    asked = {"origin": STRANGER, "access-control-request-method": "POST"}
    assert (await client.http.options(SHOW, headers=asked)).status_code == 400
    called = await client.http.get(SHOW, headers={"origin": STRANGER})
    assert "access-control-allow-origin" not in called.headers


async def test_refusals_can_be_read_across_origins_too(client):
    refused = await client.http.post(SHOW, headers={"origin": FRIEND}, json={})
    assert refused.status_code == 401
    assert refused.headers["access-control-allow-origin"] == FRIEND


async def test_pages_are_never_shared_across_origins(client):
    answer = await client.http.get("/docs", headers={"origin": FRIEND})
    assert "access-control-allow-origin" not in answer.headers
