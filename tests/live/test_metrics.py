"""The numbers, after something has happened."""

import asyncio
import importlib.util
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from media.clock import now_ms
from media.core import rtcp, sdp
from media.core.reception import ntp
from media.dtls import Certificate
from schema.ids import AccountId, ShowId
from schema.people import Role
from schema.wire import Watched

SHOW = "/api/v1/shows/demo"
DEADLINE_S = 30
_spec = importlib.util.spec_from_file_location("light", Path(__file__).parents[2] / "benchmarks" / "light_peer.py")
light = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(light)


async def numbers(client):
    text = (await client.ask("GET", "/metrics")).text
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    return {(sample.name, *sorted(sample.labels.items())): sample.value for sample in samples}


async def test_a_hold_is_counted_and_every_room_tells(shop):
    before = await numbers(shop)
    assert before["showfloor_checkout_holds_total",] == 0
    held = await shop.ask("POST", f"{SHOW}/holds", {"variant_id": "red"}, Role.VIEWER, idempotency_key="h")
    assert held.status_code == 201
    await shop.ask("POST", f"{SHOW}/guests")
    after = await numbers(shop)
    assert after["showfloor_checkout_holds_total",] == 1
    assert after["showfloor_checkout_taps_total",] == 1
    assert after["showfloor_viewers", ("show", "demo")] == 0
    assert after["showfloor_media_sessions",] == 0
    assert after["process_resident_memory_bytes",] > 0


async def test_it_is_prometheus_text(client):
    answer = await client.ask("GET", "/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=")


async def test_a_shows_media_is_counted_by_show_and_its_viewers_only_as_spreads(shop):
    reports = shop.services["statistics"].reports
    for number in range(300):
        said = Watched(watched_ms=10_000, frozen_ms=10 * number, age_ms=200, session=f"sub_{number}")
        reports.heard(AccountId(f"viewer{number}"), ShowId("demo"), said, 1_000)
    read = await numbers(shop)
    assert read["showfloor_media_viewer_frozen_ratio_count", ("show", "demo")] == 300
    assert read["showfloor_media_viewer_frozen_ratio_bucket", ("le", "0.1"), ("show", "demo")] == 101
    assert read["showfloor_media_viewer_frame_age_seconds_sum", ("show", "demo")] == pytest.approx(60)
    assert len([key for key in read if "viewer" in str(key[1:])]) == 0  # nobody by name
    assert len([key for key in read if key[0].startswith("showfloor_media_")]) < 60


async def until(condition):
    async with asyncio.timeout(DEADLINE_S):
        while not await condition():
            await asyncio.sleep(0.02)


@pytest.fixture
async def on_air(shop):
    """A host and a viewer of the show, by real WebRTC."""
    relay, certificate = shop.services["relay"], Certificate.generateCertificate()
    host, viewer = light.LightHost(certificate), light.LightPeer(certificate)
    for peer, act, direction in ((host, relay.publish, "sendonly"), (viewer, relay.subscribe, "recvonly")):
        offer = sdp.parse_offer(peer.offer("opus", "VP8", direction=direction).encode())
        async with asyncio.timeout(DEADLINE_S):
            await peer.connect(act(ShowId("demo"), AccountId(direction), offer).answer)
    yield host, viewer
    for peer in (host, viewer):
        await peer.close()


LOST = 2


async def test_what_a_show_sends_and_asks_and_how_its_host_fares_are_numbers_by_show(shop, on_air):
    host, viewer = on_air
    of_show, of_layer = ("show", "demo"), (("layer", "0"), ("show", "demo"))

    async def told():
        host.show([900] * 5, keyframe=True, skip=LOST)
        report = rtcp.SenderReport(host.video_ssrc, ntp(now_ms() - 400), host.timestamp[96] & 0xFFFFFFFF, 1, 1)
        host.send_rtcp(rtcp.sender_report(report, "host"))
        viewer.send_rtcp(rtcp.pli(1, 1))
        read = await numbers(shop)
        return read if ("showfloor_media_host_loss_ratio", of_show) in read else None

    await until(told)
    read = await told()
    assert read["showfloor_media_host_loss_ratio", of_show] == pytest.approx(1 / 5, abs=0.1)
    assert 0 <= read["showfloor_media_host_frame_age_seconds", of_show] < 60
    assert read["showfloor_media_layer_viewers", *of_layer] == 1
    assert read["showfloor_media_layer_bitrate_bps", *of_layer] > 0
    assert read["showfloor_media_show_octets_out_total", of_show] >= 900
    assert read["showfloor_media_show_plis_down_total", of_show] >= 1
    assert read["showfloor_media_show_nacked_up_total", of_show] >= 1


async def test_of_a_show_without_a_host_nothing_is_said_of_one(shop):
    shop.services["relay"].subscribe(
        ShowId("demo"),
        AccountId("bob"),
        sdp.parse_offer(light.LightPeer(Certificate.generateCertificate()).offer("VP8").encode()),
    )
    read = await numbers(shop)
    assert read["showfloor_media_host_present", ("show", "demo")] == 0
    assert [
        name
        for name, *_ in read
        if name in ("showfloor_media_host_loss_ratio", "showfloor_media_host_frame_age_seconds")
    ] == []
