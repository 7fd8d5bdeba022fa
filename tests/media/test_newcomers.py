"""Newcomers at a host with long pauses between keyframes: every packet they get is looked at."""

import struct
import time

import pytest

from media.config import RelayConfig
from media.core import rtcp
from media.core.catchup import STEP_PACKETS, CatchUp
from media.core.formats import Codec, Kind
from media.core.history import Packet
from media.core.reel import Reel
from media.relay import Relay

SIZES = [1180, 1174, 1100]


def video(peer):
    return [header for header, _, _ in peer.seen if header.payload_type == 96]


def kinds(peer):
    """K for each packet that begins a keyframe, d for each that begins another picture."""
    payloads = [payload for header, payload, _ in peer.seen if header.payload_type == 96]
    return ["K" if payload[1] == 0 else "d" for payload in payloads if payload[0] == 0x10]


def numbers(peer):
    first = video(peer)[0].sequence
    return [header.sequence - first & 0xFFFF for header in video(peer)]


def heard(host, kind):
    return [part for compound in host.compounds for part in rtcp.parse(compound) if isinstance(part, kind)]


async def shown(floor, host, count, wait_until, *, keyframe=False, ticks=3000):
    """Pictures that the relay has taken in and sent on."""
    before = floor.show("demo").packets_in if floor.relay.shows else 0
    for number in range(count):
        host.show(SIZES, keyframe=keyframe and number == 0, ticks=ticks)
        host.say()
    await wait_until(lambda: floor.show("demo").packets_in >= before + count * 4, "they have come in")
    await wait_until(lambda: not floor.relay.shows["demo"].layers[0].pending, "they are flushed")


@pytest.fixture
async def host(peers, floor, wait_until):
    """A host whose only keyframe lies 60 pictures back; it answers no PLI."""
    host = await peers.host()
    await shown(floor, host, 1, wait_until, keyframe=True)
    await shown(floor, host, 60, wait_until)
    return host


async def go_live(floor, host, viewer, wait_until):
    """Show pictures in real time until the fan-out has the viewer."""
    subscriber = next(s for s in floor.relay.shows["demo"].subscribers if s.lines[1].ssrc in viewer.ssrcs)

    def live():
        if not subscriber.lines[1].has_begun:
            host.show(SIZES, ticks=1800)
            host.say()
        return subscriber.lines[1].has_begun

    await wait_until(live, "the fan-out takes over")
    return subscriber


async def test_a_newcomer_gets_the_whole_group_of_pictures_without_asking_the_host(host, peers, floor, wait_until):
    viewer = await peers.viewer()
    await wait_until(lambda: len(video(viewer)) == 61 * 3, "all of it arrives")
    assert kinds(viewer) == ["K"] + ["d"] * 60
    assert numbers(viewer) == list(range(61 * 3))
    assert floor.show("demo").shown_at_once == 1
    assert floor.show("demo").plis_up == 0
    assert heard(host, rtcp.KeyframeRequest) == []


async def test_without_the_cache_the_picture_waits_for_the_next_keyframe(open_floor, new_peers, wait_until):
    async with open_floor(RelayConfig(bind_host="127.0.0.1", gop_packets=0)) as floor:
        peers = new_peers(floor)
        host = await peers.host()
        await shown(floor, host, 1, wait_until, keyframe=True)
        await shown(floor, host, 60, wait_until)
        viewer = await peers.viewer()
        await shown(floor, host, 30, wait_until)
        await shown(floor, host, 1, wait_until, keyframe=True)
        await wait_until(lambda: len(video(viewer)) == 3, "it begins")
        assert kinds(viewer) == ["K"]
        assert floor.show("demo").shown_at_once == 0
        assert floor.show("demo").plis_up == 1


async def test_what_the_host_sends_meanwhile_follows_in_order_and_then_the_fan_out_goes_on(
    host, peers, floor, wait_until
):
    viewer = await peers.viewer()
    await go_live(floor, host, viewer, wait_until)
    had = len(video(viewer))
    await shown(floor, host, 20, wait_until, ticks=1800)
    await wait_until(lambda: len(video(viewer)) >= had + 60, "live pictures arrive")
    assert numbers(viewer) == list(range(len(video(viewer))))
    stamps = [header.timestamp - video(viewer)[0].timestamp & 0xFFFFFFFF for header in video(viewer)]
    assert stamps == sorted(stamps)
    assert len(set(stamps)) * 3 == len(stamps)
    assert stamps[-1] - stamps[-4] == 1800


async def test_the_cached_pictures_are_pressed_together_and_end_at_the_hosts_time(host, peers, floor, wait_until):
    first, viewer = await peers.viewer(), await peers.viewer(token="viewer-eve")
    for one in (first, viewer):
        await go_live(floor, host, one, wait_until)
    track = floor.relay.shows["demo"].layers[0].track
    for one in (first, viewer):
        await shown(floor, host, 1, wait_until)
        shift = next(
            s.lines[1].timestamp_shift for s in floor.relay.shows["demo"].subscribers if s.lines[1].ssrc in one.ssrcs
        )
        await wait_until(lambda one=one: len(video(one)) > 183, "it has gone live")
        span = video(one)[182].timestamp - video(one)[0].timestamp & 0xFFFFFFFF
        assert span < 0.2 * 90_000 < 60 * 3000
        newest = track.history.get(track.highest).timestamp + shift & 0xFFFFFFFF
        await wait_until(lambda one=one, newest=newest: video(one)[-1].timestamp == newest, "live with the host's time")


async def test_watchers_keep_their_numbers_and_timestamps_while_others_join(host, peers, floor, wait_until):
    watcher = await peers.viewer()
    await go_live(floor, host, watcher, wait_until)
    for number in range(5):
        await peers.viewer(token=f"viewer-{number}")
        await shown(floor, host, 5, wait_until)
    total = len(video(watcher))
    assert numbers(watcher) == list(range(total))
    await wait_until(lambda: floor.show("demo").shown_at_once == 6, "all were shown the picture at once")


async def test_a_nack_for_a_cached_packet_is_answered_with_the_bits_it_had(host, peers, floor, wait_until):
    viewer = await peers.viewer()
    await wait_until(lambda: len(video(viewer)) == 61 * 3, "all of it arrives")
    header, _, datagram = [item for item in viewer.seen if item[0].payload_type == 96][40]

    def copies():
        return [item[2] for item in viewer.seen if item[0].payload_type == 96 and item[0].sequence == header.sequence]

    viewer.send_rtcp(rtcp.nack(1, header.ssrc, [header.sequence]))
    await wait_until(lambda: len(copies()) == 2, "it is sent again, before live")
    await go_live(floor, host, viewer, wait_until)
    other = [item for item in viewer.seen if item[0].payload_type == 96][50]
    viewer.send_rtcp(rtcp.nack(1, other[0].ssrc, [other[0].sequence]))
    await wait_until(lambda: floor.show("demo").resent == 2, "it is sent again, when live")
    await wait_until(lambda: [i[2] for i in viewer.seen if i[0] == other[0]] == [other[2]] * 2, "the same bits")
    assert copies() == [datagram, datagram]


async def test_a_cached_packet_is_never_answered_out_of_the_fan_outs_history(host, peers, floor, wait_until):
    """Its timestamp there is the host's: other bits under one nonce."""
    viewer = await peers.viewer()
    subscriber = await go_live(floor, host, viewer, wait_until)
    floor.relay.shows["demo"].layers[0].newcomers.forget(subscriber)
    header = video(viewer)[40]
    viewer.send_rtcp(rtcp.nack(1, header.ssrc, [header.sequence]))
    await wait_until(lambda: floor.show("demo").nacked_down == 1, "the NACK is read")
    assert (
        floor.relay.shows["demo"].layers[0].track.history.get(floor.relay.shows["demo"].layers[0].track.highest)
        is not None
    )
    assert floor.show("demo").resent == 0


async def test_a_packet_the_host_sends_late_reaches_who_got_the_rest_of_its_picture(peers, floor, wait_until):
    host = await peers.host()
    await shown(floor, host, 1, wait_until, keyframe=True)
    host.show(SIZES, skip=1)
    lost, stamp = host.index[96] - 2, host.timestamp[96] & 0xFFFFFFFF
    await shown(floor, host, 30, wait_until)
    viewer = await peers.viewer()
    await go_live(floor, host, viewer, wait_until)
    assert 4 not in numbers(viewer)
    resend(host, lost, stamp)
    await wait_until(lambda: 4 in numbers(viewer), "it arrives")
    by_number = dict(zip(numbers(viewer), video(viewer), strict=True))
    assert by_number[4].timestamp == by_number[3].timestamp == by_number[5].timestamp
    assert floor.show("demo").plis_up >= 1, "a group with a hole is no whole one: the host is asked as well"


def resend(host, index, timestamp):
    """The host's packet, under its number again."""
    header = struct.pack("!BBHII", 0x80, 96, index & 0xFFFF, timestamp, host.video_ssrc)
    host.send_rtp(header, bytes(1174), index)


async def test_the_next_hosts_viewers_do_not_see_the_last_ones_pictures(host, peers, floor, wait_until):
    successor = await peers.host()
    await wait_until(lambda: floor.show("demo").publishers == 2, "the newer is on air")
    assert len(floor.relay.shows["demo"].layers[0].newcomers.reel) == 0
    viewer = await peers.viewer()
    await shown(floor, successor, 2, wait_until, keyframe=True)
    await wait_until(lambda: len(video(viewer)) == 6, "the new picture")
    assert kinds(viewer) == ["K", "d"]


async def test_a_group_over_the_bound_is_not_kept_and_the_host_is_asked(open_floor, new_peers, wait_until):
    async with open_floor(RelayConfig(bind_host="127.0.0.1", gop_packets=100)) as floor:
        peers = new_peers(floor)
        host = await peers.host()
        await shown(floor, host, 1, wait_until, keyframe=True)
        await shown(floor, host, 60, wait_until)
        viewer = await peers.viewer()
        await wait_until(lambda: heard(host, rtcp.KeyframeRequest), "a PLI goes up")
        assert video(viewer) == []


async def test_newcomers_get_a_bounded_step_and_are_forgotten_when_they_leave(host, peers, floor, wait_until):
    viewer = await peers.viewer()
    newcomers = floor.relay.shows["demo"].layers[0].newcomers
    subscriber = next(iter(newcomers._ahead))
    assert newcomers.step(subscriber, 1 << 60) <= STEP_PACKETS
    await viewer.close()
    await wait_until(lambda: not newcomers._ahead, "it is forgotten")
    assert newcomers.waiting() == []


async def overtaken(host, peers, floor, wait_until, monkeypatch):
    """A viewer that had to wait for others, while the host began its next group of pictures; it is live."""
    with monkeypatch.context() as patch:
        patch.setattr(floor.relay._port, "goes_on", lambda: True)  # rounds that others use up
        viewer, until = await peers.viewer(), time.monotonic() + 0.4
        await shown(floor, host, 1, wait_until, keyframe=True)

        def goes_on():  # in real time, as the relay sees the host's clock
            host.show(SIZES, ticks=1800)
            host.say()
            return time.monotonic() > until

        await wait_until(goes_on, "the pictures that came at once lie behind")
    await go_live(floor, host, viewer, wait_until)
    had = len(video(viewer))
    await shown(floor, host, 5, wait_until)
    await wait_until(lambda: len(video(viewer)) >= had + 15, "live pictures arrive")
    return viewer


async def test_who_is_far_behind_when_a_keyframe_comes_goes_on_with_that_one(
    host, peers, floor, wait_until, monkeypatch
):
    viewer = await overtaken(host, peers, floor, wait_until, monkeypatch)
    second = kinds(viewer).index("K", 1)
    assert second < 61 - 64 // 3, "of the old pictures only those that had left"
    assert numbers(viewer) == list(range(len(video(viewer)))), "without a gap"
    stamps = [header.timestamp - video(viewer)[0].timestamp & 0xFFFFFFFF for header in video(viewer)]
    assert stamps == sorted(stamps)

    for at in (3 * second - 1, 3 * second + 1):  # the last of the old pictures, one of the new
        header, _, datagram = [item for item in viewer.seen if item[0].payload_type == 96][at]
        viewer.send_rtcp(rtcp.nack(1, header.ssrc, [header.sequence]))
        await wait_until(
            lambda header=header, datagram=datagram: [i[2] for i in viewer.seen if i[0] == header] == [datagram] * 2,
            "it is sent again, the same bits",
        )


async def test_without_the_jump_all_the_old_pictures_come_first(host, peers, floor, wait_until, monkeypatch):
    monkeypatch.setattr("media.newcomers.SKIPPED_PACKETS", 1 << 30)
    viewer = await overtaken(host, peers, floor, wait_until, monkeypatch)
    assert kinds(viewer).index("K", 1) == 61


class Joiner:
    """A newcomer as the relay's rounds see it: a real way to live, and nobody at its end."""

    def __init__(self, reel, now):
        self.catch_up = CatchUp(reel, reel.packets[-1].timestamp, now)
        self.stepped_ms = 0


class Rung:
    """A layer whose newcomers are joiners."""

    def __init__(self):
        self.newcomers = self

    def step(self, joiner, now):
        joiner.stepped_ms = now
        late, begin, end = joiner.catch_up.step(now)
        return len(late) + end - begin


async def herd(monkeypatch, joiners):
    """How many of them are live within ten seconds of a picture of nine packets each 40 ms."""
    now = 0
    monkeypatch.setattr("media.relay.ROUND_PACKETS", 64)
    monkeypatch.setattr("media.relay.now_ms", lambda: now)
    reel = Reel(1 << 20)

    def came(n):
        reel.put(Packet(Kind.VIDEO, Codec.VP8, n, n // 9 * 3600, n % 9 == 8, b"x", begins_keyframe=n == 0))

    for number in range(450):
        came(number)
    crowd = {Joiner(reel, number): Rung() for number in range(joiners)}
    relay, highest = Relay.__new__(Relay), 449
    for now in range(joiners, 10_000, 5):
        behind = {one: rung for one, rung in crowd.items() if not one.catch_up.is_done}
        if now % 40 < 5:
            for number in range(highest + 1, highest + 10):
                came(number)
            highest += 9
        await relay._round(behind)
    return sum(one.catch_up.is_done for one in crowd)


async def test_a_herd_that_needs_more_than_a_round_has_is_brought_to_live_one_after_the_other(monkeypatch):
    assert await herd(monkeypatch, 100) == 100


async def test_in_turn_hardly_any_of_the_herd_would_ever_be_live(monkeypatch):
    monkeypatch.setattr("media.relay._joined_ms", lambda joiner: joiner.stepped_ms)
    assert await herd(monkeypatch, 100) < 10
