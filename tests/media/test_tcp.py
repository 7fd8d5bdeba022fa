"""ICE over TCP: who is let in, who is held back by whom, and what a slow link costs."""

import asyncio
import contextlib
import socket
from collections import Counter

import pytest

from media import tcp as tcp_module
from media.config import RelayConfig
from media.core.demux import Kind, classify
from media.core.framing import framed
from media.core.rtp import parse_header
from media.native.loader import load
from media.port import MediaPort

HELLO = framed(b"\x16\xfe\xfd" + bytes(30))


@pytest.fixture
async def callers(floor):
    """Bare TCP connections to the floor's port."""
    opened = []

    async def call(count=1):
        new = [await asyncio.open_connection("127.0.0.1", floor.relay.tcp_port) for _ in range(count)]
        opened.extend(new)
        return new

    yield call
    for _, writer in opened:
        writer.close()


async def is_hung_up(reader):
    """True once the far end has closed."""
    with contextlib.suppress(ConnectionError):
        assert await asyncio.wait_for(reader.read(), 20) == b""
    return True


async def tcp_viewer(floor, peers, token="viewer-bob"):
    viewer = peers.light_tcp()
    viewer.seen = []
    viewer.on_media = lambda data: viewer.seen.append(data) if classify(data) is Kind.RTP else None
    answer = await floor.post("/whep/demo", viewer.offer("opus", "VP8"), token)
    await asyncio.wait_for(viewer.connect(answer.text), 20)
    return viewer


@pytest.mark.parametrize("native", [False, *([True] if load().fanout else [])])
async def test_a_host_and_a_viewer_who_have_no_udp_meet_over_tcp(open_floor, new_peers, wait_until, native):
    async with open_floor(RelayConfig(bind_host="127.0.0.1", native=native)) as floor:
        peers = new_peers(floor)
        host = peers.light_tcp_host()
        answer = await floor.post("/whip/demo", host.offer("opus", "VP8", direction="sendonly"), "host-ann")
        await host.connect(answer.text)
        viewer, other = await tcp_viewer(floor, peers), await peers.viewer(token="viewer-udp")
        host.show([1100, 1100, 700], keyframe=True)
        host.say()
        await wait_until(lambda: len(viewer.seen) >= 4 and len(other.seen) >= 4, "both have them all")
        header = parse_header(viewer.seen[0])
        assert len(viewer.dtls.receiver.unprotect(viewer.seen[0], header.size)) >= 80
        assert sorted(map(len, viewer.seen)) == sorted(len(data) for *_, data in other.seen)
        for peer in peers.all:
            await peer.close()


async def test_the_answer_offers_tcp_behind_udp_and_not_where_it_is_off(open_floor, new_peers):
    for config in (RelayConfig(bind_host="127.0.0.1"), RelayConfig(bind_host="127.0.0.1", tcp_port=None)):
        async with open_floor(config) as floor:
            viewer = new_peers(floor).light()
            answer = (await floor.post("/whep/demo", viewer.offer("VP8"), "viewer-bob")).text
            ways = [line.split() for line in answer.splitlines() if line.startswith("a=candidate")]
            if config.tcp_port is None:
                assert [way[2] for way in ways] == ["udp"]
            else:
                assert [way[2] for way in ways] == ["udp", "tcp"]
                assert int(ways[0][3]) > int(ways[1][3])
                assert ways[1][5:] == [str(floor.relay.tcp_port), "typ", "host", "tcptype", "passive"]
            await viewer.close()


async def test_it_listens_on_the_number_of_the_udp_port_or_on_another_where_that_is_taken():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = MediaPort("127.0.0.1", taken.getsockname()[1])
        await port.open_tcp(0)
        assert port.tcp.number not in (None, port.number)
        with pytest.raises(OSError, match="in use"):
            await MediaPort("127.0.0.1", 0).open_tcp(taken.getsockname()[1])
        port.close()
    port = MediaPort("127.0.0.1", 0)
    await port.open_tcp(0)
    assert port.tcp.number == port.number
    port.close()


async def test_whoever_does_not_begin_with_an_authentic_check_is_hung_up_on(floor, callers):
    for first in (HELLO, framed(b"\x80\x60" + bytes(40)), framed(bytes(20)), b"\0\0", b"\xff\xff"):
        ((reader, writer),) = await callers()
        writer.write(first)
        assert await is_hung_up(reader)
    assert floor.relay.totals().dropped["dropped_framing"] == 2


async def test_whoever_says_nothing_is_hung_up_on(floor, callers, monkeypatch):
    monkeypatch.setattr(tcp_module, "PENDING_S", 0.1)
    ((reader, writer),) = await callers()
    writer.write(b"\0")
    assert await is_hung_up(reader)


async def test_without_the_deadline_they_would_stay(floor, callers, monkeypatch):
    monkeypatch.setattr(tcp_module, "PENDING_S", 1e9)
    ((reader, _),) = await callers()
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(reader.read(), 3)


async def silent_links(floor, callers, wait_until):
    """How many of a hundred connections that say nothing are held, from one address."""
    before = floor.relay.totals().tcp_links
    await callers(100)
    heard = lambda: floor.relay._port.counts["refused_links"] + floor.relay.totals().tcp_links - before  # noqa: E731
    await wait_until(lambda: heard() >= 100, "all were looked at")
    await wait_until(lambda: floor.relay._port.tcp.pending == floor.relay.totals().tcp_links - before, "the rest left")
    return floor.relay.totals().tcp_links - before


async def test_one_address_holds_a_few_links_that_prove_nothing_and_the_newest_of_them(
    floor, callers, wait_until, monkeypatch, peers
):
    monkeypatch.setattr(tcp_module, "PENDING_S", 60)
    assert await silent_links(floor, callers, wait_until) == tcp_module.MAX_PENDING_EACH
    viewer = await tcp_viewer(floor, peers)  # from that same address
    assert viewer.is_up


async def test_without_that_bound_it_would_hold_them_all(floor, callers, wait_until, monkeypatch):
    monkeypatch.setattr(tcp_module, "PENDING_S", 60)
    monkeypatch.setattr(tcp_module, "MAX_PENDING_EACH", 1000)
    assert await silent_links(floor, callers, wait_until) == 100


async def test_all_addresses_together_hold_a_bounded_number(floor, callers, wait_until, monkeypatch):
    monkeypatch.setattr(tcp_module, "PENDING_S", 60)
    monkeypatch.setattr(tcp_module, "MAX_PENDING_EACH", 1000)
    monkeypatch.setattr(tcp_module, "MAX_PENDING", 20)
    assert await silent_links(floor, callers, wait_until) == 20


async def test_a_lost_connection_leaves_nothing_behind_and_the_session_waits_for_another(floor, peers, wait_until):
    viewer = await tcp_viewer(floor, peers)
    (session,) = floor.relay._sessions.values()
    viewer.writer.transport.abort()
    await wait_until(lambda: session.peer.address is None, "the address is gone")
    assert (floor.relay.totals().tcp_links, floor.relay.totals().validated_addresses) == (0, 0)
    assert session.peer.is_up


async def test_a_session_that_ends_takes_its_connection_along_after_its_last_words(floor, peers, wait_until):
    viewer = await tcp_viewer(floor, peers)
    (session,) = floor.relay._sessions.values()
    floor.relay.end(session)
    await wait_until(viewer.reader.at_eof, "it is hung up on")
    await wait_until(lambda: not viewer.is_up, "it was told so by DTLS")
    await wait_until(lambda: floor.relay.totals().tcp_links == 0, "nothing stays")


async def a_show_beside_a_viewer_who_does_not_read(floor, peers, wait_until):
    """The bytes held for that viewer, when another has got eight megabytes."""
    host, other = await peers.host(), await tcp_viewer(floor, peers, "viewer-other")
    slow = await tcp_viewer(floor, peers, "viewer-slow")
    slow.reading.cancel()
    slow.writer.transport.pause_reading()
    address = next(one.peer.address for one in floor.relay._sessions.values() if one.account_id == "acc_viewer-slow")
    link = address.link
    for picture in range(1, 401):
        host.show([1150] * 18, keyframe=picture == 1)
        host.say()
        await wait_until(lambda wanted=picture: len(other.seen) >= 19 * wanted, "the other one has it")
    waiting = sum(len(send.data) for send in link._waiting._sends) + link._transport.get_write_buffer_size()
    return link, waiting


async def test_a_slow_link_drops_its_old_video_and_holds_up_nobody(floor, peers, wait_until):
    link, waiting = await a_show_beside_a_viewer_who_does_not_read(floor, peers, wait_until)
    assert waiting < 1 << 20
    assert len(link._waiting) == tcp_module.WAITING
    assert floor.relay.totals().dropped["dropped_slow"] > 1000
    assert sum(send.has_audio for send in link._waiting._sends) > tcp_module.WAITING // 3


async def test_without_a_bound_it_would_be_kept(floor, peers, wait_until, monkeypatch):
    monkeypatch.setattr(tcp_module, "WAITING", 1 << 30)
    _, waiting = await a_show_beside_a_viewer_who_does_not_read(floor, peers, wait_until)
    assert waiting > 4 << 20


async def test_links_beyond_the_last_place_are_refused(floor, callers, monkeypatch):
    monkeypatch.setattr(tcp_module, "MAX_LINKS", 3)
    await callers(3)
    ((reader, _),) = await callers()
    assert await is_hung_up(reader)


async def test_a_link_that_falls_silent_is_hung_up_on(floor, peers, monkeypatch, wait_until):
    monkeypatch.setattr(tcp_module, "IDLE_S", 0.1)
    viewer = await tcp_viewer(floor, peers)
    viewer._pulse.cancel()
    await wait_until(viewer.reader.at_eof, "it is closed")


async def test_packets_over_tcp_are_handled_without_fault(floor, peers):
    """Each kind of packet, from a link that has proven itself: dropped where it is not authentic, and nothing else."""
    viewer = await tcp_viewer(floor, peers)
    before = Counter(floor.relay.totals().dropped)
    for packet in (HELLO[2:], b"\x80\x60" + bytes(40), b"\x80\xc8" + bytes(40), b"\xff" + bytes(9), bytes(20)):
        viewer.send_raw(packet)
    request = viewer.binding_request()
    viewer._answered.clear()
    viewer.send_raw(request)
    await asyncio.wait_for(viewer._answered.wait(), 10)
    after = Counter(floor.relay.totals().dropped)
    after.subtract(before)
    assert after["fault"] == 0
    assert after["dropped_forged"] == 2
    assert viewer.is_up
