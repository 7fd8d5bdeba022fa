"""Peers that have the keys and say too much, over a real relay."""

import struct

import pytest

from media.core import quota, rtcp, srtp
from media.core.quota import BURST
from media.hearing import Hearing


class Receiver:
    """Counts what it is asked to decrypt."""

    surplus = 0

    def __init__(self):
        self.asked = 0

    def unprotect(self, packet, header_size):
        return packet[header_size:]

    def unprotect_rtcp(self, packet):
        self.asked += 1
        return packet


async def flooded(floor, peers, wait_until):
    """A viewer that sends thousands of authentic reports at once: how many reach its listener."""
    await peers.host()
    viewer = peers.light()
    answer = await floor.post("/whep/demo", viewer.offer("opus", "VP8"), "viewer-bob")
    await viewer.connect(answer.text)
    session = next(one for one in floor.relay.sessions() if not one.is_publisher)
    await wait_until(lambda: session.peer.is_up, "it is up")
    heard, hears = [], session.member.rtcp
    session.member.rtcp = lambda compound, now_ms: (heard.append(now_ms), hears(compound, now_ms))
    report = rtcp.receiver_report(1, [])
    for number in range(4 * BURST):
        viewer.send_rtcp(report)
        if number % 32 == 0:
            await wait_until(lambda n=number: len(heard) + session.peer.receiver.unheard >= n, "they have come")
    await wait_until(lambda: len(heard) + session.peer.receiver.unheard == 4 * BURST, "all have come")
    return len(heard)


async def test_of_a_flood_of_authentic_reports_so_many_are_heard(floor, peers, wait_until):
    assert BURST <= await flooded(floor, peers, wait_until) < 4 * BURST
    await floor.relay._watch()
    assert len(floor.relay._loud) == 1


async def test_without_the_quota_all_are(floor, peers, wait_until, monkeypatch):
    monkeypatch.setattr(quota, "A_SECOND", 1 << 40)
    assert await flooded(floor, peers, wait_until) == 4 * BURST


async def renumbering_host(floor, peers, wait_until, sources):
    """A host whose encoder takes another SSRC again and again; its session, after the relay has looked at it."""
    host = await peers.host()
    session = next(one for one in floor.relay.sessions() if one.is_publisher)
    for ssrc in range(1, sources):
        header = struct.pack("!BBHII", 0x80, 96, 1, 0, ssrc)
        host.send_rtp(header, b"\x10\1", 1)
    host.show([500], keyframe=True)
    await wait_until(lambda: floor.show("demo").packets_in, "the last has come")
    await floor.relay._watch()
    return session


async def test_a_host_that_has_used_up_its_sources_is_ended_so_that_it_comes_anew(floor, peers, wait_until):
    session = await renumbering_host(floor, peers, wait_until, srtp.MAX_SOURCES + 1)
    assert session.peer.receiver.surplus
    assert session.peer.is_closed


async def test_a_host_with_many_sources_stays(floor, peers, wait_until):
    session = await renumbering_host(floor, peers, wait_until, srtp.MAX_SOURCES - 2)
    assert not session.peer.receiver.surplus
    assert not session.peer.is_closed


@pytest.mark.parametrize("kind", ["media", "reports"])
def test_the_peers_media_is_not_counted(kind):
    receiver = Receiver()
    hearing = Hearing(receiver)
    heard = [
        hearing.unprotect(b"123", 1) if kind == "media" else hearing.unprotect_rtcp(b"123") for _ in range(2 * BURST)
    ]
    assert (None in heard) is (kind == "reports")
    assert receiver.asked < 2 * BURST
