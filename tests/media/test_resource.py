"""The HTTP side: who may, what is refused and how, what a session's resource does."""

import re

import pytest

from media.config import RelayConfig
from media.core.ice_servers import IceServers, rest_password

GOOD = "Bearer viewer-bob"


@pytest.fixture
async def offer(peers):
    return peers.light().offer("opus", "VP8")


@pytest.fixture
async def outgoing(peers):
    return peers.light().offer("opus", "VP8", direction="sendonly")


@pytest.mark.parametrize("path", ["/whip/demo", "/whep/demo"])
@pytest.mark.parametrize("token", [None, "nonsense"])
async def test_without_a_good_token_nothing_opens(floor, offer, path, token):
    answer = await floor.post(path, offer, token)
    assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
    assert floor.relay.totals().sessions == 0


async def test_a_viewer_may_not_publish(floor, outgoing):
    assert (await floor.post("/whip/demo", outgoing, "viewer-bob")).status_code == 403


async def test_a_show_that_does_not_exist_is_not_found(floor, offer):
    assert (await floor.post("/whep/nowhere", offer, "viewer-bob")).status_code == 404


async def test_the_body_must_be_sdp(floor, offer):
    answer = await floor.http.post("/whep/demo", content=offer, headers={"Authorization": GOOD})
    assert (answer.status_code, answer.headers["accept-post"]) == (415, "application/sdp")


async def test_a_giant_offer_is_refused_unread(floor):
    assert (await floor.post("/whep/demo", "v=0\r\n" + "a=x\r\n" * 10_000, "viewer-bob")).status_code == 413


@pytest.mark.parametrize(
    "body", ["", "hello", "v=0", "v=0\r\nm=video", b"v=0\r\n\xff\xfe", "v=0\r\nm=video x UDP 1\r\n"]
)
async def test_a_malformed_offer_is_a_bad_request(floor, body):
    answer = await floor.post("/whep/demo", body, "viewer-bob")
    assert (answer.status_code, answer.json()["code"]) == (400, "bad_request")
    assert answer.json()["detail"].startswith("SDP")
    assert floor.relay.totals().sessions == 0


async def test_an_offer_without_a_common_codec_is_not_acceptable(floor, offer):
    answer = await floor.post("/whep/demo", offer.replace("VP8", "H265").replace("opus", "ilbc"), "viewer-bob")
    assert (answer.status_code, answer.json()["code"]) == (406, "not_acceptable")
    assert "VP8, VP9 or AV1" in answer.json()["detail"]
    assert "H265" in answer.json()["detail"]


async def test_a_viewer_without_the_codec_on_air_is_told(floor, peers):
    await peers.host(codec="H264")
    answer = await floor.post("/whep/demo", peers.light().offer("opus", "VP8"), "viewer-bob")
    assert answer.status_code == 406
    assert "H264" in answer.json()["detail"]


async def test_a_session_is_a_resource_until_it_is_deleted(floor, offer):
    answer = await floor.post("/whep/demo", offer, "viewer-bob")
    assert answer.status_code == 201
    assert answer.headers["content-type"] == "application/sdp"
    path = answer.headers["location"]
    assert path.startswith("/whep/demo/")
    headers = {"Authorization": GOOD}
    assert (await floor.http.delete(path)).status_code == 401
    assert (await floor.http.delete(path, headers={"Authorization": "Bearer viewer-eve"})).status_code == 403
    assert (await floor.http.delete(path.replace("demo", "other"), headers=headers)).status_code == 404
    assert (
        await floor.http.delete(path.replace("whep", "whip"), headers={"Authorization": "Bearer host-a"})
    ).status_code == 404
    assert (await floor.http.delete(path, headers=headers)).status_code == 200
    assert (await floor.http.delete(path, headers=headers)).status_code == 404


async def test_packets_stop_when_a_session_is_deleted(floor, peers, wait_until):
    host, viewer, other = await peers.host(), await peers.viewer(), await peers.viewer(token="viewer-other")
    host.show([500], keyframe=True)
    await wait_until(lambda: viewer.seen and other.seen, "both see it")
    assert (await floor.http.delete(viewer.path, headers={"Authorization": GOOD})).status_code == 200
    had, others = len(viewer.seen), len(other.seen)
    for _ in range(20):
        host.show([500])
    await wait_until(lambda: len(other.seen) == others + 20, "the other sees on")
    assert len(viewer.seen) == had


async def test_a_trickled_candidate_is_taken_and_an_ice_restart_gets_new_credentials(floor, peers, wait_until):
    host, viewer = await peers.host(), await peers.viewer()
    headers = {"Authorization": GOOD, "Content-Type": "application/trickle-ice-sdpfrag"}
    same = f"a=ice-ufrag:{viewer.ufrag}\r\na=ice-pwd:{viewer.password}\r\nm=audio 9 UDP/TLS/RTP/SAVPF 0\r\n"
    assert (await floor.http.patch(viewer.path, content=same, headers=headers)).status_code == 204
    fresh = "a=ice-ufrag:newufrag\r\na=ice-pwd:0123456789012345678901\r\n"
    restart = await floor.http.patch(viewer.path, content=fresh, headers={**headers, "If-Match": "*"})
    assert restart.status_code == 200
    stale = await floor.http.patch(viewer.path, content=same, headers={**headers, "If-Match": '"old"'})
    assert stale.status_code == 412
    fields = dict(line[2:].split(":", 1) for line in restart.text.splitlines() if ":" in line)
    viewer.ufrag, viewer.remote_ufrag, viewer.remote_password = "newufrag", fields["ice-ufrag"], fields["ice-pwd"]
    assert restart.headers["etag"] == f'"{fields["ice-ufrag"]}"'
    viewer._answered.clear()
    viewer.send_raw(viewer.binding_request())
    await wait_until(viewer._answered.is_set, "the new credentials are answered")
    host.show([500], keyframe=True)
    await wait_until(lambda: viewer.seen, "media goes on")


@pytest.mark.parametrize("path", ["/whip/demo", "/whep/demo"])
async def test_options_say_what_may_be_posted(floor, path):
    answer = await floor.http.options(path)
    assert (answer.status_code, answer.headers["accept-post"]) == (204, "application/sdp")


TURNING = RelayConfig(
    bind_host="127.0.0.1", ice_servers=IceServers(urls=("stun:s.example.net", "turn:t.example.net"), secret="north")
)


async def test_a_session_comes_with_the_ice_servers_and_a_password_of_its_own(open_floor, new_peers):
    async with open_floor(TURNING) as floor:
        peers = new_peers(floor)
        for path, token, direction in (
            ("/whip/demo", "host-ann", "sendonly"),
            ("/whep/demo", "viewer-bob", "recvonly"),
        ):
            answer = await floor.post(path, peers.light().offer("opus", "VP8", direction=direction), token)
            links = answer.headers.get_list("link")
            assert links[0] == '<stun:s.example.net>; rel="ice-server"'
            user = re.search(r'username="(\d+:acc_[a-z-]+)"', links[1])[1]
            assert user.endswith(f":acc_{token}")
            assert f'credential="{rest_password("north", user)}"; credential-type="password"' in links[1]
        for peer in peers.all:
            await peer.close()


async def test_options_name_the_turn_password_to_whoever_may_post_and_to_nobody_else(open_floor):
    async with open_floor(TURNING) as floor:
        for path, token in (("/whip/demo", "host-ann"), ("/whep/demo", "viewer-bob")):
            unknown = await floor.http.options(path)
            assert unknown.headers.get_list("link") == ['<stun:s.example.net>; rel="ice-server"']
            known = await floor.http.options(path, headers={"Authorization": f"Bearer {token}"})
            assert (known.status_code, len(known.headers.get_list("link"))) == (204, 2)
            assert known.headers["cache-control"] == "no-store"
        refused = await floor.http.options("/whip/demo", headers={"Authorization": "Bearer viewer-bob"})
        assert (refused.status_code, "link" in refused.headers) == (403, False)


async def test_without_any_configured_no_link_is_sent(floor, offer):
    answer = await floor.post("/whep/demo", offer, "viewer-bob")
    assert (answer.status_code, "link" in answer.headers) == (201, False)
