"""Through a real coturn, where no direct way is open: credentials as we hand them out, Chromium, our port behind it."""

import importlib.util
import time
from pathlib import Path

import pytest

from media.config import RelayConfig
from media.core.ice_servers import IceServers, rest_password

SECRET = "north-by-northwest"
_spec = importlib.util.spec_from_file_location("coturn", Path(__file__).with_name("coturn.py"))
coturn_module = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(coturn_module)

READ_LINKS = r"""async ([path, token]) => {
    const answer = await fetch(path, { method: "OPTIONS", headers: { Authorization: "Bearer " + token } });
    const links = answer.headers.get("link").matchAll(/<([^>]+)>[^<]*username="([^"]+)"; credential="([^"]+)"/g);
    const iceServers = Array.from(links, ([, urls, username, credential]) => ({ urls, username, credential }));
    settings = { iceTransportPolicy: "relay", iceServers };
    return settings.iceServers;
}"""


@pytest.fixture
async def turn(tmp_path):
    async with coturn_module.coturn(tmp_path, secret=SECRET) as turn:
        yield turn


async def frames_reach(tab, count):
    return await tab.frames() >= count


@pytest.mark.parametrize("way", ["udp", "tcp"])
async def test_chromium_that_may_only_use_a_relay_publishes_and_plays_through_coturn(
    open_floor, tabs_on, turn, wait_until, way
):
    url = getattr(turn, way)
    servers = IceServers(urls=(url,), secret=SECRET)
    async with (
        open_floor(RelayConfig(bind_host="127.0.0.1", tcp_port=None, ice_servers=servers)) as floor,
        tabs_on(floor) as open_tab,
    ):
        host, viewer = await open_tab(), await open_tab()
        assert await host.page.evaluate(READ_LINKS, ["/whip/demo", "host-ann"])
        assert await viewer.page.evaluate(READ_LINKS, ["/whep/demo", "viewer-bob"])
        await host.publish("demo", "host-ann", "VP8")
        await wait_until(lambda: floor.relay.shows and floor.show("demo").host_present, "the host is on air")
        await viewer.play("demo", "viewer-bob")
        await wait_until(lambda: frames_reach(viewer, 60), "sixty frames are presented")
        for tab in (host, viewer):
            local = (await tab.stats())["way"]["local"]
            assert (local["candidateType"], local["relayProtocol"], local["url"]) == ("relay", way, url)
        assert all(turn.is_relay(session.peer.address) for session in floor.relay._sessions.values())


GATHER = """async ([urls, username, credential]) => {
    const pc = new RTCPeerConnection({ iceTransportPolicy: "relay", iceServers: [{ urls, username, credential }] });
    pc.addTransceiver("video");
    const found = [], errors = [];
    pc.onicecandidate = ({ candidate }) => candidate?.candidate && found.push(candidate.type);
    pc.onicecandidateerror = ({ errorCode }) => errors.push(errorCode);
    const done = new Promise((resolve) => pc.addEventListener("icegatheringstatechange", () => {
        if (pc.iceGatheringState === "complete") resolve();
    }));
    await pc.setLocalDescription();
    await done;
    pc.close();
    return [found, errors];
}"""


async def test_coturn_takes_our_password_and_none_that_is_wrong_or_over(turn, tabs):
    page = (await tabs()).page
    good, over = f"{int(time.time()) + 600}:acc_viewer", f"{int(time.time()) - 5}:acc_viewer"
    assert await page.evaluate(GATHER, [turn.udp, good, rest_password(SECRET, good)]) == [["relay"], []]
    for user, password in ((good, rest_password("south", good)), (over, rest_password(SECRET, over))):
        found, errors = await page.evaluate(GATHER, [turn.udp, user, password])
        assert (found, set(errors)) == ([], {401})
