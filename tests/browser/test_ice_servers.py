"""The pages in a network that blocks every direct way: through a real coturn. And what they ask where there is none."""

import asyncio
import importlib.util
from pathlib import Path

import pytest
from playwright.async_api import expect

SHOW = "kitchen"
SECRET = "north-by-northwest"
_spec = importlib.util.spec_from_file_location("coturn", Path(__file__).parents[1] / "media" / "peers" / "coturn.py")
coturn_module = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(coturn_module)

RELAY_ALONE = """
globalThis.peers = [];
globalThis.RTCPeerConnection = class extends RTCPeerConnection {
  constructor(settings = {}) { super({ ...settings, iceTransportPolicy: "relay" }); peers.push(this); }
};
"""
UP_S = 30
FIRST_FRAME = """() => new Promise((resolve) => {
  const look = () => (window.__showfloor?.firstFrameMs ? resolve() : setTimeout(look, 50));
  look();
})"""
WAY = """async () => {
  const all = await peers.at(-1).getStats();
  const transport = [...all.values()].find(({ type }) => type === "transport");
  return all.get(all.get(transport.selectedCandidatePairId).localCandidateId);
}"""


@pytest.fixture
async def turn(tmp_path):
    folder = tmp_path / "turn"
    folder.mkdir()
    async with coturn_module.coturn(folder, secret=SECRET) as turn:
        yield turn


async def test_the_studio_and_the_watch_page_get_through_coturn(turn, open_site, open_page):
    async with open_site(ice_urls=(turn.udp, turn.tcp), turn_secret=SECRET) as site:
        studio = await open_page(f"{site.base_url}/studio/{SHOW}#token={site.host}", script=RELAY_ALONE)
        await studio.get_by_test_id("golive").click()
        await expect(studio.get_by_test_id("air")).to_have_attribute("data-status", "live")
        watch = await open_page(f"{site.base_url}/watch/{SHOW}", script=RELAY_ALONE)
        async with asyncio.timeout(UP_S):
            await watch.evaluate(FIRST_FRAME)
        for page in (studio, watch):
            assert (await page.evaluate(WAY))["candidateType"] == "relay"


async def test_where_none_is_configured_no_page_asks(site, open_page):
    asked = []
    page = await open_page("about:blank")
    page.on("request", lambda request: asked.append((request.method, request.url.partition("/whep")[1])))
    await page.goto(f"{site.base_url}/watch/{SHOW}")
    async with page.expect_response(lambda response: "/whep/" in response.url):
        await page.reload()
    assert ("POST", "/whep") in asked
    assert not [method for method, _ in asked if method == "OPTIONS"]


async def test_link_headers_are_read_as_they_are_written(bare_pages, open_page, module):
    page = await open_page(f"{bare_pages}/watch/{SHOW}")
    text = (
        '<stun:s.example.net>; rel="ice-server", <https://a.example>; rel="next", '
        '<turn:t.example.net?transport=udp>; rel="ice-server"; username="17:acc, <b>"; '
        'credential="a\\"b\\\\c;d"; credential-type="password"'
    )
    assert await module(page, "rtc.js", "return it.iceServersIn(argument)", text) == [
        {"urls": "stun:s.example.net"},
        {"urls": "turn:t.example.net?transport=udp", "username": "17:acc, <b>", "credential": 'a"b\\c;d'},
    ]
    for empty in ("", "nonsense", "<turn:t>", '<javascript:alert>; rel="ice-server"'):
        assert await module(page, "rtc.js", "return it.iceServersIn(argument)", empty) == []
