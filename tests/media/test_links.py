"""Two relays with a link between them: one has the host, both have viewers, and real packets arrive at all of them."""

import asyncio
import contextlib
import shutil
import tempfile
import time
from pathlib import Path

import pytest
from netem.link import Conditions
from netem.udp import UdpRelay, through

from media.clock import now_ms
from media.config import LinkConfig, RelayConfig
from media.core import rtcp
from media.core.reception import ntp
from media.core.rtp import parse_header

SIZES = [1180, 1174, 1100]
BIND = RelayConfig(bind_host="127.0.0.1", tcp_port=None)


def video(peer):
    return [header for header, _, _ in peer.seen if header.payload_type == 96]


def pictures(peer):
    """K for each packet that begins a keyframe, d for each that begins another picture."""
    payloads = [payload for header, payload, _ in peer.seen if header.payload_type == 96]
    return ["K" if payload[1] == 0 else "d" for payload in payloads if payload[0] == 0x10]


def numbers(peer):
    first = video(peer)[0].sequence
    return [header.sequence - first & 0xFFFF for header in video(peer)]


def requests(host):
    return [
        part for compound in host.compounds for part in rtcp.parse(compound) if isinstance(part, rtcp.KeyframeRequest)
    ]


class Pair:
    """Two workers and their peers."""

    def __init__(self, open_floor, new_peers, stack, wait_until, folder):
        self._open_floor, self._new_peers, self._stack = open_floor, new_peers, stack
        self._until, self._folder = wait_until, folder
        self.floors, self.peers = {}, {}

    async def start(self, worker):
        link = LinkConfig(worker=worker, others=(1 - worker,), folder=self._folder, linger_ms=100)
        floor = await self._stack.enter_async_context(self._open_floor(BIND, link))
        self.floors[worker], self.peers[worker] = floor, self._new_peers(floor)
        return floor

    async def show(self, host, worker, count, *, keyframe=False):
        """Pictures that the worker with the host has taken in."""
        floor = self.floors[worker]
        before = floor.show("demo").packets_in if "demo" in floor.relay.shows else 0
        for number in range(count):
            host.show(SIZES, keyframe=keyframe and number == 0)
            host.say()
        await self._until(lambda: floor.show("demo").packets_in >= before + count * 4, "they have come in")

    def packets_in(self, worker):
        return self.floors[worker].show("demo").packets_in

    def stats(self, worker):
        return self.floors[worker].links.stats()


@pytest.fixture
async def pair(open_floor, new_peers, wait_until):
    folder = Path(tempfile.mkdtemp(prefix="link-"))
    async with contextlib.AsyncExitStack() as stack:
        made = Pair(open_floor, new_peers, stack, wait_until, folder)
        await asyncio.gather(made.start(0), made.start(1))
        await wait_until(lambda: made.stats(0).siblings == made.stats(1).siblings == 1, "they hear each other")
        yield made
        for peers in made.peers.values():
            for peer in peers.all:
                await peer.close()
    shutil.rmtree(folder)


@pytest.fixture
async def host(pair):
    """At worker 0, with one keyframe 60 pictures back; it answers no PLI."""
    host = await pair.peers[0].host()
    await pair.show(host, 0, 1, keyframe=True)
    for _ in range(6):
        await pair.show(host, 0, 10)
    return host


async def test_a_newcomer_at_the_other_worker_gets_the_picture_at_once_from_a_host_that_answers_nothing(
    pair, host, wait_until
):
    viewer = await pair.peers[1].viewer()
    await wait_until(lambda: len(video(viewer)) == 61 * 3, "the whole group arrives")
    assert pictures(viewer) == ["K"] + ["d"] * 60
    assert numbers(viewer) == list(range(61 * 3))
    assert pair.floors[1].show("demo").shown_at_once == 1
    assert pair.floors[1].links.host_present("demo")


async def test_however_many_watch_there_a_packet_crosses_once(pair, host, wait_until):
    viewers = [await pair.peers[1].viewer(token=f"viewer-{number}") for number in range(5)]
    group = pair.stats(1).packets_pulled
    assert group == 61 * 3
    for _ in range(10):
        await pair.show(host, 0, 3)
    await wait_until(lambda: pair.packets_in(1) == group + 120, "all have come over")
    assert (pair.stats(0).packets_given, pair.stats(1).packets_pulled) == (group + 120, group + 120)
    await wait_until(lambda: all(len(video(viewer)) >= 91 * 3 for viewer in viewers), "all see all of it")
    for viewer in viewers:
        assert numbers(viewer) == list(range(len(video(viewer))))
    assert pair.floors[1].listener.heard == []  # who has the host tells


async def test_sound_and_picture_keep_step_by_the_hosts_clock(pair, host, wait_until):
    """What the two workers tell their viewers of one moment is the same, to the millisecond and a half."""
    for number, ssrc in ((111, host.audio_ssrc), (96, host.video_ssrc)):
        stamp = host.timestamp[number] & 0xFFFFFFFF
        host.send_rtcp(rtcp.sender_report(rtcp.SenderReport(ssrc, ntp(1_000_000 + number), stamp, 9, 999), "host"))
    here = pair.floors[0].relay.shows["demo"]
    await wait_until(lambda: len(pair.floors[0].links._outlets["demo"]._clocks) == 2, "the host has told its clock")
    await pair.peers[1].viewer()
    await wait_until(lambda: pair.stats(1).packets_pulled == 61 * 3, "the group has come over")
    await pair.show(host, 0, 1)
    await wait_until(lambda: pair.stats(1).packets_pulled == 62 * 3 + 1, "and what follows it")
    there = pair.floors[1].relay.shows["demo"]
    now = here._media_ms
    for track, other, clock_hz in (
        (here.layers[0].track, there.layers[0].track, 90),
        (here.sound, there.sound, 48),
    ):
        ages = [(one.timestamp_at(now) - one._splice._timestamp) / clock_hz for one in (track, other)]
        assert abs(ages[0] - ages[1]) < 1.5


HOST_AHEAD_MS = 3_600_000


async def tell_clock(pair, host, wait_until, host_ms):
    """The host's report: its newest picture was captured at `host_ms` of its own clock."""
    stamp = host.timestamp[96] & 0xFFFFFFFF
    host.send_rtcp(rtcp.sender_report(rtcp.SenderReport(host.video_ssrc, ntp(host_ms), stamp, 9, 999), "host"))
    feed = pair.floors[0].relay.shows["demo"].feed
    await wait_until(lambda: feed.wall_ms(0.0) is not None, "the host has told its clock")


@pytest.mark.parametrize("is_watched_before", [True, False], ids=["as it is told", "with the group of pictures"])
async def test_a_moment_of_the_host_is_the_same_at_every_worker(pair, host, wait_until, is_watched_before):
    host_ms = now_ms() + HOST_AHEAD_MS
    if is_watched_before:
        await pair.peers[1].viewer()
    await tell_clock(pair, host, wait_until, host_ms)
    if not is_watched_before:
        await pair.peers[1].viewer()
    await wait_until(
        lambda: pair.stats(1).shows_pulled and pair.floors[1].relay.shows["demo"].feed.wall_ms(0.0), "it is told"
    )
    group = pair.stats(1).packets_pulled
    await pair.show(host, 0, 3)
    await wait_until(lambda: pair.stats(1).packets_pulled >= group + 9, "and what follows comes over")
    here, there = pair.floors[0].relay, pair.floors[1].relay
    for moment in (None, host_ms + 100, host_ms - 400):
        assert there.capture_ms("demo", moment) == pytest.approx(here.capture_ms("demo", moment), abs=1)
    newest = there.capture_ms("demo")
    assert there.capture_ms("demo", host_ms - 400) == pytest.approx(newest - 500, abs=2)
    # Without the host's clock every moment would be the newest picture.
    there.shows["demo"].feed._host_ms = None
    assert there.capture_ms("demo", host_ms - 400) == newest


async def test_a_moment_of_the_host_is_forgotten_with_it(pair, host, wait_until):
    host_ms = now_ms() + HOST_AHEAD_MS
    await pair.peers[1].viewer()
    await tell_clock(pair, host, wait_until, host_ms)
    relay = pair.floors[1].relay
    await wait_until(lambda: relay.shows["demo"].feed.wall_ms(0.0), "it is told")
    await pair.peers[1].host()  # another one, of another clock, and here
    await wait_until(lambda: pair.stats(1).shows_pulled == 0, "it has taken over")
    assert relay.shows["demo"].feed.wall_ms(host_ms) is None


async def test_a_viewers_wish_for_a_keyframe_goes_up_to_the_host(pair, host, wait_until):
    viewer = await pair.peers[1].viewer()
    await wait_until(lambda: len(video(viewer)) == 61 * 3, "it sees")
    before = len(requests(host))
    ssrc = video(viewer)[0].ssrc
    for _ in range(3):  # the first may be answered out of the group of pictures
        viewer.send_rtcp(rtcp.pli(1, ssrc))
    await wait_until(lambda: len(requests(host)) > before, "the host is asked")


async def test_a_host_that_lands_elsewhere_takes_over_and_nobody_notices_but_in_the_picture(pair, host, wait_until):
    here, there = await pair.peers[0].viewer(), await pair.peers[1].viewer(token="viewer-eve")
    await wait_until(lambda: len(video(here)) == len(video(there)) == 61 * 3, "both see")
    moved = await pair.peers[1].host()
    await wait_until(lambda: "demo" not in pair.floors[0].links._outlets, "the one before is let go")
    await pair.show(moved, 1, 1, keyframe=True)
    for _ in range(5):
        await pair.show(moved, 1, 5)
    for viewer in (here, there):
        await wait_until(lambda viewer=viewer: len(video(viewer)) == 87 * 3, "it goes on")
        assert numbers(viewer) == list(range(87 * 3))  # one session, one sequence
        assert pictures(viewer)[61] == "K"
    gone = await pair.floors[0].http.patch(host.path, content=b"", headers={"Authorization": "Bearer host-ann"})
    assert gone.status_code == 404
    assert pair.floors[0].listener.heard == [("demo", True)]  # and never that it was gone
    assert pair.floors[0].links.host_present("demo")
    assert 26 * 3 <= pair.stats(0).packets_pulled <= 26 * 4  # of the sound, what came since it pulls


async def test_the_worker_with_the_host_ends_and_the_viewers_of_the_other_stay_for_the_next_host(
    open_floor, new_peers, wait_until
):
    folder = Path(tempfile.mkdtemp(prefix="link-"))
    async with contextlib.AsyncExitStack() as stack:
        pair = Pair(open_floor, new_peers, stack, wait_until, folder)
        await pair.start(1)
        async with contextlib.AsyncExitStack() as doomed:
            pair._stack = doomed
            await pair.start(0)
            await wait_until(lambda: pair.stats(1).siblings == 1, "they hear each other")
            host = await pair.peers[0].host()
            await pair.show(host, 0, 1, keyframe=True)
            viewer = await pair.peers[1].viewer()
            await wait_until(lambda: len(video(viewer)) == 3, "it sees")
            links = pair.floors[0].links  # what a kill does: no farewell goes over the link
            links._server.close()
            for link in list(links._callees):
                link.close()
            await host.close(farewell=False)
        pair._stack = stack
        await wait_until(lambda: pair.floors[1].listener.heard == [("demo", False)], "the viewers are told")
        assert not pair.floors[1].links.host_present("demo")
        again = await pair.peers[1].host()
        await pair.show(again, 1, 5, keyframe=True)
        await wait_until(lambda: len(video(viewer)) == 18, "the same session goes on")
        assert numbers(viewer) == list(range(18))
        assert pair.floors[1].listener.heard == [("demo", False), ("demo", True)]
        await pair.start(0)  # its successor hears at once what is on air
        assert pair.floors[0].links.host_present("demo")
        newcomer = await pair.peers[0].viewer(token="viewer-eve")
        await wait_until(lambda: len(video(newcomer)) == 15, "and shows it")
        for peers in pair.peers.values():
            for peer in peers.all:
                await peer.close()
    shutil.rmtree(folder)


async def test_who_cannot_take_what_is_on_air_elsewhere_is_told_so(pair, host):
    offer = pair.peers[1].light().offer("opus", "H264")
    answer = await pair.floors[1].post("/whep/demo", offer, "viewer-bob")
    assert answer.status_code == 406


async def test_a_show_that_nobody_watches_there_any_more_is_not_sent_there_any_more(pair, host, wait_until):
    viewer = await pair.peers[1].viewer()
    assert pair.stats(1).shows_pulled == 1
    await pair.floors[1].http.delete(viewer.path, headers={"Authorization": "Bearer viewer-bob"})
    await wait_until(lambda: pair.stats(1).shows_pulled == 0, "it is let go")
    await wait_until(lambda: not pair.floors[0].links._outlets["demo"].pullers, "the other hears it")
    given = pair.stats(0).packets_given
    await pair.show(host, 0, 5)
    assert pair.stats(0).packets_given == given
    assert pair.floors[1].listener.heard == []
    again = await pair.peers[1].viewer()
    await wait_until(lambda: len(video(again)) == 66 * 3, "and it is pulled again")
    assert numbers(again) == list(range(66 * 3))


async def test_what_was_under_way_for_an_earlier_wish_is_not_taken_for_the_answer(pair, host, wait_until):
    """Else its packets would come twice: once late, and once in the group of pictures."""
    links = pair.floors[1].links
    viewer = await pair.peers[1].viewer()
    await wait_until(lambda: len(video(viewer)) == 61 * 3, "it sees")
    first = links._pulled["demo"]
    host.show(SIZES)
    show = first.show
    show.left(first)
    links._settle("demo")  # pulled again, before what is on its way has come
    assert links._pulled["demo"] is not first
    await pair.show(host, 0, 3)
    await wait_until(lambda: pair.stats(1).packets_pulled >= 61 * 3 + 64 * 3, "the group and more has come")
    await wait_until(lambda: pictures(viewer).count("K") == 2, "it goes on")
    assert numbers(viewer) == list(range(len(video(viewer))))


async def test_what_none_of_us_says_ends_the_link_and_nothing_else(pair, host, wait_until):
    reader, writer = await asyncio.open_unix_connection(str(pair.floors[0].links.config.path(0)))
    writer.write(b"\xff\xff\xff\xff")
    async with asyncio.timeout(30):
        with contextlib.suppress(ConnectionError):
            while await reader.read(65536):
                pass
    writer.close()
    viewer = await pair.peers[1].viewer()
    await wait_until(lambda: len(video(viewer)) == 61 * 3, "the others go on")


class Watching:
    """A viewer at a worker behind a network of its own; it reports what it lost twice a second, and its REMB."""

    def __init__(self, peer, relay):
        self.peer, self.relay = peer, relay
        self.peer.seen = []
        self._reported_s, self._before = 0.0, (0, 0)

    def note(self, data):
        header = parse_header(data)
        if header is not None and header.payload_type == 96:
            self.peer.seen.append((header, self.peer.dtls.receiver.unprotect(data, header.size), data))

    def report(self, remb_bps=0):
        if time.monotonic() - self._reported_s < 0.5 or not self.peer.seen:
            return
        self._reported_s = time.monotonic()
        first, highest = video(self.peer)[0].sequence, max(header.sequence for header in video(self.peer))
        now, before = (highest - first + 1, len(self.peer.seen)), self._before
        self._before, expected = now, now[0] - before[0]
        lost = max(0, expected - now[1] + before[1]) * 256 // max(1, expected)
        ssrc = video(self.peer)[0].ssrc
        compound = rtcp.receiver_report(1, [rtcp.ReportBlock(ssrc, min(255, lost), 0, highest, 0, 0, 0)])
        self.peer.send_rtcp(compound + (rtcp.remb(1, remb_bps, [ssrc]) if remb_bps else b""))

    def newest(self, rid, count=20):
        """True if the newest packets are all of this layer, by their sizes."""
        sizes = [len(payload) for _, payload, _ in self.peer.seen[-count:]]
        return len(sizes) == count and all((size < 600) == (rid == "a") for size in sizes)


PICTURE_SIZES = {"a": [300, 200], "b": [1100, 1000]}


@contextlib.asynccontextmanager
async def watching(pair, worker, down):
    floor, peer = pair.floors[worker], pair.peers[worker].light()
    async with UdpRelay(("127.0.0.1", floor.relay.udp_port), seed=7) as relay:
        viewer = Watching(peer, relay)
        peer.on_media = viewer.note
        answer = await floor.post("/whep/demo", peer.offer("opus", "VP8"), f"viewer-{down.rate_bps}")
        await peer.connect(through(answer.text, relay.port))
        relay.set(down=down)
        yield viewer
        await peer.close()


async def test_at_another_worker_a_narrow_viewer_gets_the_low_layer_while_its_neighbour_gets_the_high_one(
    pair, layered, wait_until, monkeypatch
):
    monkeypatch.setattr(layered, "SIZES", PICTURE_SIZES)
    host = pair.peers[0].light_host()
    answer = await pair.floors[0].post("/whip/demo", layered.offer_of(host), "host-ann")
    await host.connect(answer.text)
    layers = layered.Layers(host)
    layers.show("a", "b", key=layered.RIDS)
    await wait_until(lambda: pair.floors[1].links.host_present("demo"), "it is on air")
    async with (
        watching(pair, 1, Conditions(rate_bps=300_000)) as narrow,
        watching(pair, 1, Conditions()) as free,
    ):
        # Both are told to go up; only the link says that one of them must not stay there.
        rembs = {narrow: 5_000_000, free: 5_000_000}

        def on_air(condition):
            def passes():
                layers.show("a", "b", key=layers.asked())
                for viewer, remb_bps in rembs.items():
                    viewer.report(remb_bps)
                return condition()

            return passes

        await wait_until(on_air(lambda: free.newest("b")), "the free one goes up")
        await wait_until(on_air(lambda: narrow.newest("a") and narrow.relay.counts()["down_overflowed"]), "down")
        rembs[narrow] = 0
        lost, seen = narrow.relay.counts()["down_overflowed"], len(narrow.peer.seen)
        await wait_until(on_air(lambda: len(narrow.peer.seen) >= seen + 100), "it plays on")
        assert narrow.newest("a", 100)
        assert narrow.relay.counts()["down_overflowed"] == lost
        assert free.newest("b", 100)
        show = pair.floors[1].relay.shows["demo"]
        assert sorted(len(layer.viewers) for layer in show.layers) == [1, 1]
        assert show.feed is pair.floors[1].links._pulled["demo"]  # over the link, both of them
