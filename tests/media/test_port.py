"""What the one UDP port withstands. Each defence has a test that takes it away and sees the harm."""

import asyncio
import contextlib
import itertools
import random
import resource
import socket
from pathlib import Path
from types import SimpleNamespace

import pytest

from media import peer as peer_module
from media import port as port_module
from media.config import RelayConfig
from media.core import demux, stun
from media.core.demux import Roster
from media.dtls import Callee

SEED = 20261122
MANY = 100_000
MEGABYTE = 1 << 20


def rss_bytes():
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def client_hello():
    """A well-formed ClientHello of DTLS 1.2, from nobody."""
    body = b"\xfe\xfd" + bytes(32) + b"\0\0" + b"\0\2\xc0\x2b" + b"\1\0"
    head = b"\1" + len(body).to_bytes(3, "big") + bytes(2) + bytes(3) + len(body).to_bytes(3, "big")
    return b"\x16\xfe\xfd" + bytes(8) + len(head + body).to_bytes(2, "big") + head + body


FATAL_ALERT = b"\x15\xfe\xfd" + bytes(8) + b"\0\2" + b"\2\x28"
EARLY_DATA = b"\x17\xfe\xfd\0\1" + bytes(6) + b"\0\x20" + bytes(32)
"""A record that could be encrypted, before there are keys."""
TORN_HANDSHAKE = b"\x16\xfe\xfd" + bytes(8) + b"\0\x0c" + b"\2" + b"\0\0\x20" + bytes(8)


def junk(source):
    """One random datagram: any length, and a first byte that reaches every branch."""
    first = source.choice((0, 1, 3, 22, 25, 63, 64, 128, 144, 191, 255))
    return bytes((first,)) + source.randbytes(source.choice((0, 1, 11, 19, 30, 200, 1200)))


async def abuse(floor, count, check=b""):
    """An empty datagram, a ClientHello, every truncation of a check, then `count` random ones, from two sockets."""
    source = random.Random(SEED)
    target = ("127.0.0.1", floor.relay.udp_port)
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as two,
    ):
        crafted = [b"", client_hello(), FATAL_ALERT, *(check[:size] for size in range(len(check)))]
        for number, datagram in enumerate(crafted):
            (one, two)[number % 2].sendto(datagram, target)
        for number in range(count):
            (one, two)[number % 2].sendto(junk(source), target)
            if number % 50 == 0:
                await asyncio.sleep(0)


async def test_a_show_plays_on_under_a_hundred_thousand_random_datagrams(floor, tabs, muxer, peers, wait_until):
    await muxer("demo", "host-ann")
    tab, viewer = await tabs(), await peers.viewer(codecs=("H264",))
    await wait_until(lambda: floor.relay.shows and floor.show("demo").host_present, "the host is on air")
    await tab.play("demo", "viewer-tab")

    async def frames_reach(count):
        return await tab.frames() >= count

    await wait_until(lambda: frames_reach(25), "it plays")
    viewer.on_media = None
    await abuse(floor, 5_000, viewer.binding_request())
    before, addresses = rss_bytes(), floor.relay.totals().validated_addresses

    await abuse(floor, MANY, viewer.binding_request())
    shown = await tab.frames()
    await wait_until(lambda: frames_reach(shown + 25), "it plays on")

    totals = floor.relay.totals()
    assert rss_bytes() - before < 20 * MEGABYTE
    assert totals.validated_addresses == addresses
    assert totals.dropped.get("fault", 0) == 0
    assert totals.dropped["dropped_stranger"] > MANY // 10  # the kernel drops what the loop cannot read in time
    assert await tab.state() == "connected"


async def test_what_comes_while_it_gathers_is_taken_together_and_after_a_pause_the_first_at_once(wait_until):
    port, loop = port_module.MediaPort("127.0.0.1", 0, gather_ms=3_600_000), asyncio.get_running_loop()
    looks = []
    port.looked = lambda: looks.append(port.is_looking)
    with contextlib.closing(port), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
        stranger.connect(("127.0.0.1", port.number))

        def taken():
            return port.counts["dropped_stranger"]

        async def idle():
            for _ in range(5):
                await asyncio.sleep(0)

        stranger.send(b"?")
        await wait_until(lambda: taken() == 1, "the first is taken at once")
        for _ in range(port_module.BURST + 5):
            stranger.send(b"?")
        await idle()
        assert taken() == 1
        port._look()
        await wait_until(lambda: taken() == port_module.BURST + 6, "a full burst is followed up")
        assert port._next_look.when() > loop.time() + 60
        for _ in range(port_module.EMPTY_LOOKS - 1):
            port._look()
        assert port._next_look.when() > loop.time() + 60, "one is expected within a few looks"
        port._look()
        before = len(looks)
        stranger.send(b"?")
        await wait_until(lambda: taken() == port_module.BURST + 7, "it had found nothing, and was woken again")
        assert looks[before:] == [False], "and what it took may leave"
    assert port._next_look.cancelled()


async def test_while_somebody_is_brought_to_live_it_looks_sooner_and_then_as_before():
    port, loop = port_module.MediaPort("127.0.0.1", 0, gather_ms=3_600_000), asyncio.get_running_loop()
    behind = [True, True, False]
    port.goes_on = lambda: behind.pop(0)
    with contextlib.closing(port):
        port.go_on()
        for in_haste in (True, True, False):
            port._next_look.cancel()
            port._look()
            assert (port._next_look.when() < loop.time() + 60) is in_haste


async def test_what_a_look_and_its_sends_took_is_not_left_to_gather_besides(wait_until, monkeypatch):
    clock = itertools.count(0, 3_600)
    monkeypatch.setattr(port_module, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    port, loop = port_module.MediaPort("127.0.0.1", 0, gather_ms=3_600_000), asyncio.get_running_loop()
    with contextlib.closing(port), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
        stranger.connect(("127.0.0.1", port.number))
        stranger.send(b"?")
        await wait_until(lambda: port.counts["dropped_stranger"] == 1, "it is taken, for an hour")
        assert port._next_look.when() < loop.time() + 60


async def test_a_port_that_sleeps_can_be_told_to_look_on_and_sleeps_again(wait_until):
    port, asked = port_module.MediaPort("127.0.0.1", 0), []
    port.goes_on = lambda: asked.append(None) or len(asked) < 3 * port_module.EMPTY_LOOKS
    with contextlib.closing(port), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
        assert port._is_asleep
        port.go_on()
        look = port._next_look
        port.go_on()
        assert port._next_look is look, "one look for all"
        await wait_until(lambda: port._is_asleep, "it sleeps")
        assert len(asked) == 4 * port_module.EMPTY_LOOKS - 1, "it looked on though nothing came, and then as ever"
        stranger.sendto(b"?", ("127.0.0.1", port.number))
        await wait_until(lambda: port.counts["dropped_stranger"] == 1, "a datagram wakes it")


async def test_strangers_reach_nobody(floor, peers):
    viewer = await peers.viewer()
    assert await strangers_datagrams_that_reach_a_peer(floor) == 0
    assert viewer.is_up


async def test_without_the_check_of_the_address_they_would(floor, peers, monkeypatch):
    await peers.viewer()
    monkeypatch.setattr(Roster, "at", lambda self, _: next(iter(self._by_ufrag.values())))
    assert await strangers_datagrams_that_reach_a_peer(floor) > 0


async def strangers_datagrams_that_reach_a_peer(floor):
    port, reached = floor.relay._port, []
    feed, media = peer_module.Peer.feed, port_module.MediaPort._media
    peer_module.Peer.feed = lambda _, datagram: reached.append(datagram)
    port_module.MediaPort._media = lambda _, _peer, _kind, datagram: reached.append(datagram)
    try:
        source = random.Random(SEED)
        for datagram in (client_hello(), *(junk(source) for _ in range(500))):
            port.datagram(datagram, ("127.0.0.9", 9))
    finally:
        peer_module.Peer.feed, port_module.MediaPort._media = feed, media
    return len(reached)


async def handshake_among_forgeries(peers):
    """A handshake while broken records keep coming, as if from the viewer's own address; True if it succeeds."""
    viewer = peers.light()
    answer = await peers.floor.post("/whep/demo", viewer.offer("VP8"), "viewer-bob")
    await viewer.check(answer.text)
    port = peers.floor.relay._port
    for datagram in (FATAL_ALERT, TORN_HANDSHAKE, b"\x16\xfe\xfd"):
        port.datagram(datagram, viewer.address)
    try:
        async with asyncio.timeout(8):
            return await viewer.shake_hands()
    except TimeoutError:
        return False


async def test_broken_records_do_not_end_a_handshake(floor, peers):
    assert await handshake_among_forgeries(peers)


async def test_without_the_sieve_and_the_second_try_they_would(floor, peers, monkeypatch):
    monkeypatch.setattr(port_module, "is_sound_dtls", lambda _: True)
    monkeypatch.setattr(peer_module, "HANDSHAKE_TRIES", 1)
    assert not await handshake_among_forgeries(peers)


async def datagrams_heard_of_a_handshake(floor, peers, monkeypatch):
    """How many of a thousand, in one turn of the loop, reach OpenSSL."""
    viewer, heard = peers.light(), []
    answer = await floor.post("/whep/demo", viewer.offer("VP8"), "viewer-bob")
    await viewer.check(answer.text)
    take = Callee.take
    monkeypatch.setattr(Callee, "take", lambda self, datagram: heard.append(datagram) or take(self, datagram))
    for _ in range(1000):
        floor.relay._port.datagram(EARLY_DATA, viewer.address)
    return len(heard)


async def test_a_flood_towards_a_handshake_is_heard_in_a_bounded_way(floor, peers, monkeypatch):
    heard = await datagrams_heard_of_a_handshake(floor, peers, monkeypatch)
    dropped = floor.relay.totals().dropped["dropped_full"]
    assert heard + dropped == 1000
    assert dropped > 1000 - 2 * peer_module.DTLS_BURST  # the clock goes on meanwhile


async def test_without_its_quota_it_would_not_be(floor, peers, monkeypatch):
    monkeypatch.setattr(peer_module, "DTLS_BURST", 1 << 20)
    assert await datagrams_heard_of_a_handshake(floor, peers, monkeypatch) == 1000


async def test_a_check_that_names_another_peer_at_its_far_end_validates_nothing(floor, peers):
    viewer = await peers.viewer()
    before = floor.relay.totals().validated_addresses
    viewer.ufrag = "somebodyelse"
    floor.relay._port.datagram(viewer.binding_request(), ("127.0.0.9", 9))
    assert floor.relay.totals().validated_addresses == before
    assert floor.relay.totals().dropped["dropped_stun"] == 1


async def check_with_a_wrong_password(floor, peers):
    """How many addresses a stranger's check validates, who knows the user name but not the password."""
    viewer = await peers.viewer()
    before = floor.relay.totals().validated_addresses
    viewer.remote_password = "0" * 32
    floor.relay._port.datagram(viewer.binding_request(), ("127.0.0.9", 9))
    return floor.relay.totals().validated_addresses - before


async def test_a_check_that_is_not_authentic_validates_nothing(floor, peers):
    assert await check_with_a_wrong_password(floor, peers) == 0


async def test_without_message_integrity_it_would(floor, peers, monkeypatch):
    monkeypatch.setattr(stun, "is_authentic", lambda *_: True)
    assert await check_with_a_wrong_password(floor, peers) == 1


async def addresses_after_checks_from_forty(floor, peers):
    viewer = await peers.viewer()
    for number in range(40):
        floor.relay._port.datagram(viewer.binding_request(), (f"127.0.1.{number}", 9))
    return floor.relay.totals().validated_addresses


async def test_a_peer_cannot_validate_addresses_without_end(floor, peers):
    assert await addresses_after_checks_from_forty(floor, peers) == 8


async def test_without_the_cap_it_could(floor, peers, monkeypatch):
    monkeypatch.setattr(demux, "MAX_ADDRESSES", 1 << 30)
    assert await addresses_after_checks_from_forty(floor, peers) == 41


WILDCARD = RelayConfig(bind_host="0.0.0.0", addresses=("127.0.0.3",))


async def test_a_port_bound_to_every_address_answers_from_the_one_that_was_asked(open_floor, new_peers, wait_until):
    async with open_floor(WILDCARD) as floor:
        peers = new_peers(floor)
        host, viewer = await peers.host(), await peers.viewer()
        host.show([1100, 1090, 1100], keyframe=True)
        host.say()
        await wait_until(lambda: len(viewer.seen) == 4, "runs and single packets arrive")
        for peer in peers.all:
            await peer.close()


async def test_without_asking_the_kernel_it_would_answer_from_another(open_floor, new_peers, monkeypatch):
    monkeypatch.setattr(port_module.MediaPort, "_ask_for_own_address", lambda *_: None)
    async with open_floor(WILDCARD) as floor:
        viewer = new_peers(floor).light()
        answer = await floor.post("/whep/demo", viewer.offer("VP8"), "viewer-bob")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(viewer.check(answer.text), 1)
        await viewer.close()


async def claim(floor, peers):
    """Whose the first viewer's address is, after a second one sent a check of its own with that address forged."""
    first, second = await peers.viewer(token="viewer-one"), await peers.viewer(token="viewer-two")
    port = floor.relay._port
    held = port.roster.at(first.address)
    for _ in range(10):
        port.datagram(second.binding_request(), first.address)
    return first, second, held


async def test_nobody_takes_an_address_by_forging_it(floor, peers):
    first, _, held = await claim(floor, peers)
    assert floor.relay._port.roster.at(first.address) is held
    assert len(floor.relay._port._claims) == 1


async def test_without_asking_there_it_would_be_taken(floor, peers, monkeypatch):
    port_class = port_module.MediaPort
    monkeypatch.setattr(port_class, "_claim", lambda self, source, peer, _: self.roster.validate(source, peer))
    first, _, held = await claim(floor, peers)
    assert floor.relay._port.roster.at(first.address) is not held


async def test_a_port_that_is_given_out_again_goes_to_whoever_answers_there(floor, peers, wait_until):
    first, second, held = await claim(floor, peers)
    first._pulse.cancel()  # its own next check would claim the address back
    port = floor.relay._port
    first.stun = lambda data: answered(second, first, data)
    port.datagram(second.binding_request(), first.address)
    for _, probe in list(port._claims[first.address]._probes.items()):
        answered(second, first, probe_request(second, probe))
    await wait_until(lambda: port.roster.at(first.address) is not held, "the second one has it")
    assert not port._claims


def probe_request(peer, probe):
    return stun.request(probe.transaction, f"{peer.ufrag}:{peer.remote_ufrag}", bytes(8), peer.password.encode())


def answered(peer, at, data):
    """An answer of `peer`, from the socket of `at`."""
    asked = stun.parse_check(data)
    if asked is not None:
        at.send_raw(stun.success(asked, at.remote, peer.password.encode()))
