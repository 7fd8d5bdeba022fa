"""One relay, light peers: every packet is looked at."""

from types import SimpleNamespace

import pytest
from aiortc import rtp as aiortc_rtp

from media import relay as relay_module
from media.clock import now_ms
from media.config import RelayConfig
from media.core import rtcp, sdp
from media.core.extensions import PLAYOUT_DELAY
from media.core.formats import Codec, Kind
from media.core.keyframe import KeyframeBudget
from media.core.nack import ResendBudget, ResendShare
from media.core.reception import NTP_EPOCH_MS, ntp
from media.core.sdp import Terms
from media.subscriber import Subscriber
from schema.errors import NotFound
from schema.ids import AccountId, ShowId

SIZES = [1180, 1174, 1100]


def video(peer):
    """What arrived of the video: (header, payload, datagram)."""
    return [item for item in peer.seen if item[0].payload_type == 96]


def sequences(peer):
    return [header.sequence for header, _, _ in video(peer)]


async def pictures(host, viewer, wait_until, count, *, keyframe=True):
    """Show `count` pictures and wait until all their packets are there."""
    had = len(video(viewer))
    for number in range(count):
        host.show(SIZES, keyframe=keyframe and number == 0)
        host.say()
    await wait_until(lambda: len(video(viewer)) >= had + count * len(SIZES), "the pictures arrive")


@pytest.fixture
async def on_air(peers, wait_until):
    """A host and a viewer who has seen the first keyframe."""
    host, viewer = await peers.host(), await peers.viewer()
    await pictures(host, viewer, wait_until, 1)
    return host, viewer


async def test_a_viewer_gets_the_payload_the_host_sent_under_its_own_header(on_air, wait_until):
    host, viewer = on_air
    await pictures(host, viewer, wait_until, 20, keyframe=False)
    got = video(viewer)
    numbers = sequences(viewer)
    assert [n - numbers[0] & 0xFFFF for n in numbers] == list(range(len(numbers)))
    assert {header.ssrc for header, _, _ in got} < viewer.ssrcs
    assert all(payload is not None for _, payload, _ in got)
    first = got[0][1]
    assert (first[:2], len(first)) == (b"\x10\x00", 1180)
    assert [header.marker for header, _, _ in got[:3]] == [False, False, True]


async def test_padding_that_equalises_a_run_is_declared(on_air):
    _, viewer = on_air
    header, payload, _ = video(viewer)[1]
    assert header.padded
    # To the length of the first, which is 1,180 and the block of extensions.
    assert (payload[-1], len(payload) - payload[-1]) == (26, 1174)


async def test_a_nack_is_answered_with_the_same_bits(on_air, floor, wait_until):
    host, viewer = on_air
    await pictures(host, viewer, wait_until, 30, keyframe=False)
    header, _, datagram = video(viewer)[40]
    viewer.send_rtcp(rtcp.nack(1, header.ssrc, [header.sequence]))

    def again():
        return [item[2] for item in viewer.seen if item[0] == header]

    await wait_until(lambda: len(again()) == 2, "it is sent again")
    assert again() == [datagram, datagram]
    assert floor.show("demo").resent == 1


def resent_for_fifty_nacks_at_once(floor, viewer):
    """All in one moment, for one packet."""
    subscriber = next(iter(floor.relay.shows["demo"].subscribers))
    header = video(viewer)[0][0]
    for _ in range(50):
        subscriber.rtcp(rtcp.nack(1, header.ssrc, [header.sequence]), 1_000_000)
    return floor.show("demo").resent


async def test_a_viewer_who_asks_again_and_again_is_answered_within_its_budget(on_air, floor):
    assert resent_for_fifty_nacks_at_once(floor, on_air[1]) == 1


async def test_without_the_budget_each_would_be_answered(on_air, floor, monkeypatch):
    for defence in (ResendBudget, ResendShare):
        monkeypatch.setattr(defence, "allows", lambda *_: True)
    assert resent_for_fifty_nacks_at_once(floor, on_air[1]) == 50


def resent_in_twelve_seconds(floor, viewer, monkeypatch, *, is_congested):
    """Of 600 requests, one each 20 ms, as far as the budget in packets goes."""
    monkeypatch.setattr(ResendShare, "allows", lambda *_: True)
    subscriber = next(iter(floor.relay.shows["demo"].subscribers))
    if is_congested:
        subscriber.bandwidth.congested_ms, subscriber.bandwidth.estimate_bps = 1_000_000, 160_000
    subscriber.consider(1_000_000)
    header = video(viewer)[0][0]
    for ms in range(0, 12_000, 20):
        subscriber.rtcp(rtcp.nack(1, header.ssrc, [header.sequence]), 1_000_000 + ms)
    return floor.show("demo").resent


async def test_of_a_narrow_way_resends_take_less(on_air, floor, monkeypatch):
    assert resent_in_twelve_seconds(floor, on_air[1], monkeypatch, is_congested=True) == pytest.approx(
        300 + 12 * 15, abs=1
    )


async def test_without_congestion_they_may_take_more(on_air, floor, monkeypatch):
    assert resent_in_twelve_seconds(floor, on_air[1], monkeypatch, is_congested=False) == 600


def wishes_heard_of_a_minute(floor, viewer, monkeypatch):
    """Of a viewer that asks for a keyframe each second."""
    show, heard = floor.relay.shows["demo"], []
    monkeypatch.setattr(show, "want_keyframe", heard.append)
    (subscriber,) = show.subscribers
    for second in range(60):
        subscriber.rtcp(rtcp.pli(1, video(viewer)[0][0].ssrc), 1_000_000 + 1000 * second)
    return len(heard)


async def test_one_viewer_does_not_have_the_host_send_keyframes_without_end(on_air, floor, monkeypatch):
    assert wishes_heard_of_a_minute(floor, on_air[1], monkeypatch) <= 3 + 60 // 3


async def test_without_its_budget_each_of_its_wishes_would_be_heard(on_air, floor, monkeypatch):
    monkeypatch.setattr(KeyframeBudget, "allows", lambda *_: True)
    assert wishes_heard_of_a_minute(floor, on_air[1], monkeypatch) == 60


@pytest.mark.parametrize("has_rtx_for", [[Codec.VP8], [Codec.VP8, Codec.H264]], ids=["one codec", "each codec"])
def test_what_may_be_sent_again_under_its_number_keeps_its_extensions(has_rtx_for):
    """Other extensions would be another tag under one nonce; so who has no RTX for each codec is not held back."""
    types = {Codec.VP8: 96, Codec.H264: 102}
    repairs = {codec: types[codec] + 1 for codec in has_rtx_for}
    terms = Terms(payload_types=types, repairs=repairs, extensions={PLAYOUT_DELAY: 6})
    subscriber = Subscriber(SimpleNamespace(), SimpleNamespace(), {Kind.VIDEO: terms})
    line, before = subscriber.video, subscriber.video.extensions
    for ms in range(5):
        subscriber.rtcp(rtcp.nack(1, line.ssrc, [7]), 1_000_000 + ms)
    assert (line.extensions == before) is (len(has_rtx_for) < len(types))


async def test_a_nack_beyond_the_history_is_not_answered(on_air, floor, wait_until):
    _, viewer = on_air
    header = video(viewer)[0][0]
    viewer.send_rtcp(rtcp.nack(1, header.ssrc, [header.sequence + 5000 & 0xFFFF]))
    await wait_until(lambda: floor.show("demo").nacked_down == 1, "the NACK is read")
    assert floor.show("demo").resent == 0


async def test_a_packet_lost_on_the_way_up_is_asked_for(on_air, wait_until):
    host, _ = on_air
    lost = host.index[96] + 1
    host.show(SIZES, skip=1)
    host.show(SIZES)

    await wait_until(lambda: heard(host, rtcp.Nack), "a NACK goes upstream")
    assert heard(host, rtcp.Nack)[0] == rtcp.Nack(host.video_ssrc, [lost & 0xFFFF])


def heard(host, kind):
    return [part for compound in host.compounds for part in rtcp.parse(compound) if isinstance(part, kind)]


def bitrates(host):
    """What the REMBs say, read by another implementation."""
    parts = [part for compound in host.compounds for part in aiortc_rtp.RtcpPacket.parse(compound)]
    return [
        aiortc_rtp.unpack_remb_fci(part.fci)[0]
        for part in parts
        if isinstance(part, aiortc_rtp.RtcpPsfbPacket) and part.fmt == aiortc_rtp.RTCP_PSFB_APP
    ]


async def test_the_host_hears_reports_and_a_bitrate(on_air, wait_until):
    host, _ = on_air
    await wait_until(lambda: bitrates(host), "a bitrate is told")
    assert bitrates(host)[0] == pytest.approx(3_000_000, rel=0.001)
    assert {part.ssrc for part in heard(host, rtcp.ReportBlock)} == {host.audio_ssrc, host.video_ssrc}


async def test_many_requests_for_a_keyframe_become_one(on_air, floor, wait_until):
    host, viewer = on_air
    before = floor.show("demo").plis_up
    for _ in range(20):
        viewer.send_rtcp(rtcp.pli(1, video(viewer)[0][0].ssrc))
    await wait_until(lambda: heard(host, rtcp.KeyframeRequest), "one goes up")
    host.show(SIZES, keyframe=True)
    await wait_until(lambda: floor.show("demo").keyframes == 2, "it is answered")
    assert floor.show("demo").plis_up == before + 1


async def test_sender_reports_come_with_the_first_packets_and_tie_sound_to_picture(on_air, wait_until):
    _, viewer = on_air
    await wait_until(lambda: {part.ssrc for part in viewer.reports} == viewer.ssrcs, "both tracks are reported")
    assert len([p for p in viewer.reports if isinstance(p, rtcp.SenderReport)]) >= 2


async def test_each_track_has_one_first_report_however_many_flushes_pass_before_the_other_begins(
    peers, floor, wait_until
):
    host = await peers.host()
    host.show(SIZES, keyframe=True)
    await wait_until(lambda: floor.show("demo").keyframes, "a picture")
    viewer = await peers.viewer()
    await wait_until(lambda: video(viewer), "the picture, without sound")
    (subscriber,) = floor.relay.shows["demo"].subscribers
    sent = []
    subscriber.peer.send_rtcp = lambda compound: sent.extend(part.ssrc for part in rtcp.parse(compound))
    assert [subscriber.report_first(now_ms()) for _ in range(5)] == [False] * 5
    assert sent == []
    host.say()
    await wait_until(lambda: subscriber.ssrcs[Kind.AUDIO] in sent, "sound, and a report of it")
    sent.clear()
    assert subscriber.report_first(now_ms())
    assert sent == []


async def test_who_has_settled_is_reported_to_every_second_time_with_both_at_once(on_air, floor):
    (subscriber,) = floor.relay.shows["demo"].subscribers
    sent, start = [], now_ms() + 60_000
    subscriber.peer.send_rtcp = lambda compound: sent.append([part.ssrc for part in rtcp.parse(compound)])
    subscriber.cadence.begin()
    for second in range(7):
        subscriber.report_again(start + second * 1000)
    sound, picture = subscriber.ssrcs[Kind.AUDIO], subscriber.ssrcs[Kind.VIDEO]
    assert sent == [[sound], [picture]] * 3 + [[picture, sound], [sound, picture]]


async def withheld(host, floor, wait_until, count):
    """Show so many pictures, and wait until the relay has them."""
    had = floor.show("demo").packets_withheld
    for number in range(count):
        host.show(SIZES, keyframe=number == 0)
        host.say()
    await wait_until(lambda: floor.show("demo").packets_withheld >= had + count * 4, "they have arrived")


async def test_of_a_cut_show_nothing_goes_to_anybody_whenever_they_came(on_air, peers, floor, wait_until):
    host, viewer = on_air
    floor.relay.cut(frozenset({ShowId("demo")}))
    had = len(viewer.seen)
    await withheld(host, floor, wait_until, 20)
    late = await peers.viewer()
    await withheld(host, floor, wait_until, 20)
    assert (len(viewer.seen) - had, late.seen) == (0, [])
    assert floor.relay.keyframes() == {"demo": ()}
    assert floor.show("demo").host_present


async def test_a_show_that_was_cut_goes_on_in_the_same_sessions_from_a_keyframe(on_air, peers, floor, wait_until):
    host, viewer = on_air
    floor.relay.cut(frozenset({ShowId("demo")}))
    await withheld(host, floor, wait_until, 20)
    late = await peers.viewer()
    had, asked = len(video(viewer)), len(heard(host, rtcp.KeyframeRequest))
    floor.relay.cut(frozenset())
    await wait_until(lambda: len(heard(host, rtcp.KeyframeRequest)) > asked, "a keyframe is asked for")
    host.show(SIZES)
    await pictures(host, viewer, wait_until, 2)
    await wait_until(lambda: len(video(late)) == 6, "and who came meanwhile sees them as well")
    assert video(viewer)[had][1][:2] == b"\x10\x00"
    numbers = sequences(viewer)
    assert [n - numbers[0] & 0xFFFF for n in numbers] == list(range(len(numbers)))


async def test_a_show_that_begins_here_while_it_is_cut_is_cut(peers, floor, wait_until):
    floor.relay.cut(frozenset({ShowId("demo"), ShowId("other")}))
    host, viewer = await peers.host(), await peers.viewer()
    await withheld(host, floor, wait_until, 5)
    assert viewer.seen == []


async def test_the_next_host_goes_on_in_the_same_session(on_air, peers, floor, wait_until):
    host, viewer = on_air
    ssrc, last = video(viewer)[-1][0].ssrc, video(viewer)[-1][0]
    await host.close(farewell=False)
    successor = await peers.host()
    await pictures(successor, viewer, wait_until, 3)
    numbers = sequences(viewer)
    assert [n - numbers[0] & 0xFFFF for n in numbers] == list(range(len(numbers)))
    assert {header.ssrc for header, _, _ in video(viewer)} == {ssrc}
    after = next(header for header, _, _ in video(viewer) if header.sequence == last.sequence + 1 & 0xFFFF)
    assert 0 < (after.timestamp - last.timestamp & 0xFFFFFFFF) < 30 * 90_000
    assert floor.show("demo").publishers == 2


async def test_a_ghost_does_not_lock_the_host_out(on_air, peers, floor, wait_until):
    ghost, viewer = on_air
    successor = await peers.host()
    await wait_until(lambda: floor.show("demo").publishers == 2, "the newer is on air")
    had = len(video(viewer))
    ghost.show(SIZES, keyframe=True)
    await pictures(successor, viewer, wait_until, 2)
    assert len(video(viewer)) == had + 6
    answer = await floor.http.delete(ghost.path, headers={"Authorization": "Bearer host-ann"})
    assert answer.status_code == 404


async def test_a_viewer_may_come_before_the_host(peers, wait_until):
    viewer = await peers.viewer(codecs=("H264", "VP8"))
    host = await peers.host()
    await pictures(host, viewer, wait_until, 2)
    assert video(viewer)[0][1][:2] == b"\x10\x00"


async def test_a_picture_begins_with_a_keyframe(peers, floor, wait_until):
    host, viewer = await peers.host(), await peers.viewer()
    host.show(SIZES)
    host.show(SIZES)
    await wait_until(lambda: floor.show("demo").packets_in == 6, "they have come in")
    await pictures(host, viewer, wait_until, 1)
    assert len(video(viewer)) == 3


async def test_a_host_with_another_codec_ends_those_who_cannot_take_it(on_air, peers, floor, wait_until):
    _, viewer = on_air
    both = await peers.viewer(token="viewer-both", codecs=("VP8", "H264"))
    await peers.host(codec="H264")
    await wait_until(lambda: floor.show("demo").publishers == 2, "the newer is on air")
    await wait_until(lambda: floor.relay.totals().sessions == 2, "the older and the viewer have gone")
    gone = await floor.http.delete(viewer.path, headers={"Authorization": "Bearer viewer-bob"})
    stays = await floor.http.delete(both.path, headers={"Authorization": "Bearer viewer-both"})
    assert (gone.status_code, stays.status_code) == (404, 200)


async def test_the_listener_hears_the_host_come_fall_silent_and_return(open_floor, new_peers, wait_until):
    async with open_floor(RelayConfig(bind_host="127.0.0.1", silence_ms=300)) as floor:
        peers = new_peers(floor)
        host = await peers.host()
        host.say()
        await wait_until(lambda: floor.listener.heard == [("demo", True)], "present")
        await wait_until(lambda: floor.listener.heard[1:] == [("demo", False)], "silent")
        host.say()
        await wait_until(lambda: floor.listener.heard[2:] == [("demo", True)], "back")
        answer = await floor.http.delete(host.path, headers={"Authorization": "Bearer host-ann"})
        assert answer.status_code == 200
        assert floor.listener.heard[3:] == [("demo", False)]


async def test_a_peer_that_stops_asking_is_dropped(open_floor, new_peers, wait_until):
    async with open_floor(RelayConfig(bind_host="127.0.0.1", consent_ms=500)) as floor:
        viewer = await new_peers(floor).viewer()
        await viewer.close(farewell=False)
        await wait_until(lambda: floor.relay.totals().sessions == 0, "it is dropped")
        assert floor.relay.totals().validated_addresses == 0


async def test_a_session_that_never_finishes_its_handshake_ends(open_floor, new_peers, wait_until):
    async with open_floor(RelayConfig(bind_host="127.0.0.1", handshake_ms=300, max_pending=2)) as floor:
        peer = new_peers(floor).light()
        posts = [await floor.post("/whep/demo", peer.offer("VP8"), "viewer-bob") for _ in range(3)]
        assert [post.status_code for post in posts] == [201, 201, 503]
        assert posts[2].headers["retry-after"] == "2"
        await wait_until(lambda: floor.relay.totals().sessions == 0, "they end")
        assert (await floor.post("/whep/demo", peer.offer("VP8"), "viewer-bob")).status_code == 201
        await peer.close()


async def posts(floor, peer, count):
    return [(await floor.post("/whep/demo", peer.offer("VP8"), "viewer-bob")).status_code for _ in range(count)]


@pytest.mark.parametrize("bound", ["max_pending", "max_sessions"])
async def test_a_crowd_at_the_door_does_not_keep_the_host_out(open_floor, new_peers, bound):
    async with open_floor(RelayConfig(bind_host="127.0.0.1", **{bound: 2})) as floor:
        peers = new_peers(floor)
        assert await posts(floor, peers.light(), 3) == [201, 201, 503]
        await peers.host()
        for peer in peers.all:
            await peer.close()


async def test_hosts_have_so_many_places_beyond_the_bounds_and_no_more(open_floor, new_peers):
    async with open_floor(RelayConfig(bind_host="127.0.0.1", max_pending=1, host_places=1)) as floor:
        peers = new_peers(floor)
        offer = peers.light_host().offer("opus", "VP8", direction="sendonly")
        assert [(await floor.post("/whip/demo", offer, "host-ann")).status_code for _ in range(3)] == [201, 201, 503]
        for peer in peers.all:
            await peer.close()


async def test_who_begins_and_never_finishes_leaves_places_to_other_addresses(open_floor, new_peers):
    async with open_floor(RelayConfig(bind_host="127.0.0.1", max_pending=4, max_pending_per_address=2)) as floor:
        peers = new_peers(floor)
        assert await posts(floor, peers.light(), 3) == [201, 201, 503]
        offer = sdp.parse_offer(peers.light().offer("VP8").encode())
        floor.relay.subscribe(ShowId("demo"), AccountId("eve"), offer, "127.0.0.9")
        for peer in peers.all:
            await peer.close()


async def hours_pass(floor, monkeypatch):
    """Two ticks of the watch, an hour apart."""
    with monkeypatch.context() as patch:
        for hours in (1, 2):
            patch.setattr(relay_module, "now_ms", lambda hours=hours: now_ms() + hours * 3_600_000)
            await floor.relay._watch()


async def test_a_show_waits_for_a_host_in_a_long_handshake(floor, peers, monkeypatch, wait_until):
    host = peers.light_host()
    answer = await floor.post("/whip/demo", host.offer("opus", "VP8", direction="sendonly"), "host-ann")
    await hours_pass(floor, monkeypatch)
    viewer = await peers.viewer()
    await host.connect(answer.text)
    await pictures(host, viewer, wait_until, 1)


async def test_a_show_that_nobody_names_is_forgotten_after_its_time(floor, peers, monkeypatch):
    await opened_and_left(floor, peers)
    await hours_pass(floor, monkeypatch)
    assert floor.relay.shows == {}


async def test_a_show_that_was_just_opened_is_not_empty_for_long(floor, peers, monkeypatch):
    show = await opened_and_left(floor, peers)
    show.quiet_since_ms -= 3_600_000
    assert await opened_and_left(floor, peers) is show
    await floor.relay._watch()
    assert floor.relay.shows == {"demo": show}


async def opened_and_left(floor, peers):
    answer = await floor.post("/whep/demo", peers.light().offer("VP8"), "viewer-bob")
    await floor.http.delete(answer.headers["location"], headers={"Authorization": "Bearer viewer-bob"})
    return floor.relay.shows["demo"]


MOST = RelayConfig().max_per_account


async def places_that_one_account_takes(floor, peers, token):
    """Watch once, then open more sessions than it may have under the same token; how many it has, and the first."""
    first = await peers.viewer(token=token)
    for _ in range(MOST + 4):
        assert (await floor.post("/whep/demo", peers.light().offer("VP8"), token)).status_code == 201
    mine = [one for one in floor.relay._sessions.values() if one.account_id == f"acc_{token}"]
    return len(mine), first


async def deleting(floor, path, token):
    """The status of a DELETE: 200 for a session that was still there, 404 for one that had ended."""
    return (await floor.http.delete(path, headers={"Authorization": f"Bearer {token}"})).status_code


async def test_one_guest_does_not_take_every_place(floor, peers):
    other = await peers.viewer(token="viewer-eve")
    places, first = await places_that_one_account_takes(floor, peers, "viewer-bob")
    assert places == MOST
    assert await deleting(floor, first.path, "viewer-bob") == 404
    assert await deleting(floor, other.path, "viewer-eve") == 200


async def test_who_is_sent_out_of_a_show_sees_nothing_more_of_it_and_others_do(floor, peers):
    gone = [await peers.viewer(token="viewer-eve") for _ in range(2)]
    other = await peers.viewer(token="viewer-bob")
    floor.relay.end_watching(ShowId("another"), AccountId("acc_viewer-eve"))
    assert floor.relay.session(gone[0].path.rpartition("/")[2], "demo", is_publisher=False)
    floor.relay.end_watching(ShowId("demo"), AccountId("acc_viewer-eve"))
    assert [await deleting(floor, one.path, "viewer-eve") for one in gone] == [404, 404]
    assert await deleting(floor, other.path, "viewer-bob") == 200


async def test_a_host_who_watches_in_many_tabs_goes_on_publishing(floor, peers):
    host = await peers.host(token="host-ann")
    places, _ = await places_that_one_account_takes(floor, peers, "host-ann")
    assert places == 1 + MOST
    assert await deleting(floor, host.path, "host-ann") == 200


async def test_without_the_cap_it_would_take_all(open_floor, new_peers):
    async with open_floor(RelayConfig(bind_host="127.0.0.1", max_per_account=2000)) as floor:
        peers = new_peers(floor)
        places, _ = await places_that_one_account_takes(floor, peers, "viewer-bob")
        assert places == 1 + MOST + 4
        for peer in peers.all:
            await peer.close()


async def test_a_join_that_is_refused_ends_nobody(open_floor, new_peers):
    async with open_floor(RelayConfig(bind_host="127.0.0.1", max_per_account=1, max_sessions=1)) as floor:
        peers = new_peers(floor)
        viewer = await peers.viewer()
        assert (await floor.post("/whep/demo", peers.light().offer("VP8"), "viewer-bob")).status_code == 503
        await floor.post("/whep/demo", peers.light().offer("H264").replace("H264", "VP9"), "viewer-bob")
        assert await deleting(floor, viewer.path, "viewer-bob") == 200
        for peer in peers.all:
            await peer.close()


async def test_stats_of_a_show_nobody_heard_of_is_not_found(floor):
    with pytest.raises(NotFound):
        floor.show("other")


async def test_a_path_without_segmentation_offload_gets_datagrams_one_by_one(on_air, floor, wait_until):
    host, viewer = on_air
    subscriber = next(iter(floor.relay.shows["demo"].subscribers))
    subscriber.peer.uses_gso = False
    before = floor.relay.totals().sends
    await pictures(host, viewer, wait_until, 5, keyframe=False)
    assert floor.relay.totals().sends - before >= 15


async def test_ipv6_is_served_from_a_wildcard(open_floor):
    async with open_floor(RelayConfig(bind_host="::", addresses=("::1", "127.0.0.1"))) as floor:
        assert floor.relay._port.socket.getsockname()[0] == "::"


HOST_AHEAD_MS = 3_600_000
"""The host's clock is an hour fast."""


async def told_by_host(host, floor, wait_until, host_ms):
    """The host's report that its newest picture was captured at `host_ms` of its clock."""
    show = floor.relay.shows["demo"]
    report = rtcp.SenderReport(host.video_ssrc, ntp(host_ms), host.timestamp[96] & 0xFFFFFFFF, 1, 1)
    host.send_rtcp(rtcp.sender_report(report, "host"))
    await wait_until(lambda: show.feed.wall_ms(host_ms) is not None, "the host's clock is known")


async def test_a_moment_of_the_host_is_where_the_sender_reports_put_its_picture_for_viewers(on_air, floor, wait_until):
    host, viewer = on_air
    host_ms = now_ms() + HOST_AHEAD_MS
    await told_by_host(host, floor, wait_until, host_ms)
    await pictures(host, viewer, wait_until, 3, keyframe=False)  # 33 ms apart: the newest is 100 ms after the report
    viewer.reports.clear()
    ssrc = video(viewer)[-1][0].ssrc

    def reports():
        return [part for part in viewer.reports if isinstance(part, rtcp.SenderReport) and part.ssrc == ssrc]

    await wait_until(reports, "the viewer is told")
    told_ms = reports()[-1].ntp * 1000 / (1 << 32) - NTP_EPOCH_MS
    as_viewer = told_ms - (reports()[-1].timestamp - video(viewer)[-1][0].timestamp & 0xFFFFFFFF) / 90
    assert floor.relay.capture_ms("demo", host_ms + 100) == pytest.approx(as_viewer, abs=2)
    assert floor.relay.capture_ms("demo") == pytest.approx(as_viewer, abs=2)
    assert floor.relay.capture_ms("demo", host_ms + 160) == pytest.approx(as_viewer + 60, abs=2)


@pytest.mark.parametrize("off_ms", [-HOST_AHEAD_MS, HOST_AHEAD_MS])
async def test_a_moment_of_another_clock_than_the_hosts_counts_as_the_newest_picture(on_air, floor, wait_until, off_ms):
    host, _ = on_air
    host_ms = now_ms() + HOST_AHEAD_MS
    await told_by_host(host, floor, wait_until, host_ms)
    newest = floor.relay.capture_ms("demo")
    assert newest is not None
    assert floor.relay.capture_ms("demo", host_ms + off_ms) == newest


async def test_a_wish_for_a_picture_is_one_request_and_there_is_none_to_show_until_the_keyframe(
    on_air, floor, wait_until
):
    host, viewer = on_air

    def asked():
        return [one for data in host.compounds for one in rtcp.parse(data) if isinstance(one, rtcp.KeyframeRequest)]

    floor.relay.shows["demo"].layers[0].newcomers.reel.clear()  # as a group that outgrew its bounds
    assert floor.relay.keyframes() == {"demo": ()}
    before = len(asked())
    floor.relay.want_picture("demo")
    floor.relay.want_picture("nowhere")
    await wait_until(lambda: len(asked()) > before, "the host is asked")
    await pictures(host, viewer, wait_until, 1)
    assert floor.relay.keyframes()["demo"][0].begins_keyframe


async def test_there_is_no_capture_time_without_a_host(on_air, floor, wait_until):
    host, _ = on_air
    assert floor.relay.capture_ms("another") is None
    assert floor.relay.capture_ms("demo") is not None
    await host.close()
    await wait_until(lambda: not floor.show("demo").host_present, "the host is gone")
    assert floor.relay.capture_ms("demo") is None


async def test_a_newcomer_who_cannot_be_sent_to_goes_and_nobody_else(on_air, floor, peers, wait_until, monkeypatch):
    show = floor.relay.shows["demo"]
    layer, (unlucky,) = show.layers[0], show.subscribers
    other = await peers.viewer()
    await wait_until(lambda: video(other), "the other one has its picture")

    def fails(_newcomer, _now):
        raise ValueError

    monkeypatch.setattr(layer.newcomers, "step", fails)
    assert floor.relay._step(unlucky, layer) == 0
    assert [one.peer.is_closed for one in show.subscribers] == [False]
