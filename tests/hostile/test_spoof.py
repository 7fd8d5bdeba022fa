"""A thousand packets of each kind from elsewhere, while a session plays: nothing is lost. Without the defence it is."""

import asyncio
import socket

import pytest
from hostile.campaign import light

from media import peer as peer_module
from media.config import RelayConfig
from media.core import sdp, stun
from media.core.demux import Kind, classify
from media.core.framing import framed
from media.dtls import Certificate
from media.publisher import Publisher
from media.relay import Relay
from schema.ids import AccountId, ShowId

COUNT = 1000
DEADLINE_S = 30
ELSEWHERE = "127.0.0.9"


class NoOne:
    def host_changed(self, show_id, present): ...


class Playing:
    """A host and a viewer, and every sequence number that the viewer got."""

    def __init__(self, relay):
        self.relay, self.sequences = relay, []
        certificate = Certificate.generateCertificate()
        self.host = light.LightHost(certificate)
        self.viewer = light.LightPeer(certificate, on_media=self.hear)

    def hear(self, data):
        if classify(data) is Kind.RTP and data[1] & 127 == 96:
            self.sequences.append(int.from_bytes(data[2:4], "big"))

    async def begin(self):
        for peer, act, direction in (
            (self.host, self.relay.publish, "sendonly"),
            (self.viewer, self.relay.subscribe, "recvonly"),
        ):
            offer = sdp.parse_offer(peer.offer("opus", "VP8", direction=direction).encode())
            session = act(ShowId("demo"), AccountId(direction), offer)
            await asyncio.wait_for(peer.connect(session.answer), DEADLINE_S)
            while not session.peer.is_up:
                await asyncio.sleep(0.002)
        await self.reach(1)

    async def reach(self, more):
        """Pictures until `more` packets have come."""
        wanted = len(self.sequences) + more
        async with asyncio.timeout(DEADLINE_S):
            while len(self.sequences) < wanted:
                self.host.show([600], keyframe=True)
                await asyncio.sleep(0.01)

    async def end(self):
        for peer in (self.host, self.viewer):
            await peer.close()

    def is_whole(self):
        first = self.sequences[0]
        count = len(self.sequences)
        return [(number - first) & 0xFFFF for number in self.sequences] == list(range(count))


@pytest.fixture
async def playing():
    async with Relay(RelayConfig(bind_host="127.0.0.1"), NoOne()) as relay:
        playing = Playing(relay)
        await playing.begin()
        yield playing
        await playing.end()


def hello():
    body = b"\xfe\xfd" + bytes(32) + b"\0\0" + b"\0\2\xc0\x2b" + b"\1\0"
    head = b"\1" + len(body).to_bytes(3, "big") + bytes(2) + bytes(3) + len(body).to_bytes(3, "big")
    return b"\x16\xfe\xfd" + bytes(8) + len(head + body).to_bytes(2, "big") + head + body


def unsigned(playing):
    return stun.request(b"t" * 12, f"{playing.viewer.remote_ufrag}:{playing.viewer.ufrag}", bytes(8), b"")[:-32]


def wrongly_signed(playing):
    """A check that nominates, with another's password."""
    held, playing.viewer.remote_password = playing.viewer.remote_password, "0" * 32
    made = playing.viewer.binding_request()
    playing.viewer.remote_password = held
    return made


KINDS = {
    "empty": lambda _: b"",
    "stun_unsigned": unsigned,
    "stun_wrongly_signed": wrongly_signed,
    "stun_replayed": lambda playing: playing.viewer.binding_request(),
    "rtp": lambda playing: b"\x80\x60" + bytes(6) + playing.host.video_ssrc.to_bytes(4, "big") + bytes(100),
    "rtcp_bye": lambda playing: b"\x81\xcb\0\1" + playing.host.video_ssrc.to_bytes(4, "big") + bytes(20),
    "dtls_client_hello": lambda _: hello(),
    "dtls_alert": lambda _: b"\x15\xfe\xfd" + bytes(8) + b"\0\2\2\x28",
    "dtls_close_notify_of_epoch_one": lambda _: b"\x15\xfe\xfd\0\1" + bytes(6) + b"\0\x1a" + bytes(26),
    "dtls_change_cipher_spec": lambda _: b"\x14\xfe\xfd" + bytes(8) + b"\0\1\1",
}


async def spoofed(playing, make):
    """From another address by UDP, from another connection by TCP, and with the addresses of the peers forged."""
    port = playing.relay._port
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind((ELSEWHERE, 0))
        for number in range(COUNT):
            packet = make(playing)
            other.sendto(packet, ("127.0.0.1", port.number))
            if packet and packet[:2] != b"\0\1":  # to forge an address and know a valid check is to be the peer
                for forged in (playing.viewer.address, playing.host.address):
                    port.take(packet, forged)
            if number % 20 == 0:
                await playing.reach(1)
    await over_tcp(make(playing) or b"\0", port.tcp.number)


async def over_tcp(packet, number):
    for _ in range(20):
        _, writer = await asyncio.open_connection("127.0.0.1", number, local_addr=(ELSEWHERE, 0))
        writer.write(framed(packet) * (COUNT // 20))
        writer.close()


@pytest.mark.parametrize("kind", KINDS)
async def test_a_session_loses_nothing_to_a_thousand_spoofed(playing, kind):
    sessions = dict(playing.relay._sessions)
    await spoofed(playing, KINDS[kind])
    await playing.reach(10)
    assert playing.relay._sessions == sessions
    assert playing.is_whole()
    assert playing.relay._port.counts["fault"] == 0
    assert [session.peer.address for session in sessions.values()] == [playing.host.address, playing.viewer.address]


async def is_lost_to(playing, kind):
    """True if packets stop arriving, or come with holes."""
    try:
        async with asyncio.timeout(4):
            await spoofed(playing, KINDS[kind])
            await playing.reach(10)
    except TimeoutError:
        return True
    return not playing.is_whole()


async def test_without_message_integrity_and_the_round_trip_it_would_be_lost(playing, monkeypatch):
    monkeypatch.setattr(stun, "is_authentic", lambda *_: True)
    monkeypatch.setattr(peer_module.Peer, "probe", lambda self, address, _: self._move(address))
    assert await is_lost_to(playing, "stun_wrongly_signed")


async def test_without_the_round_trip_alone_a_replay_would_take_it(playing, monkeypatch):
    monkeypatch.setattr(peer_module.Peer, "probe", lambda self, address, _: self._move(address))
    assert await is_lost_to(playing, "stun_replayed")


def forged_packets_that_count(playing, monkeypatch):
    """Of a thousand from the host's own address that nobody sealed."""
    taken = []
    monkeypatch.setattr(Publisher, "rtp", lambda *packet: taken.append(packet))
    for _ in range(COUNT):
        playing.relay._port.take(KINDS["rtp"](playing), playing.host.address)
    return len(taken)


async def test_what_nobody_sealed_is_no_packet_of_the_host(playing, monkeypatch):
    assert forged_packets_that_count(playing, monkeypatch) == 0


async def test_without_the_keys_it_would_be_one(playing, monkeypatch):
    publisher = next(session.peer for session in playing.relay._sessions.values() if session.is_publisher)
    publisher.receiver = Trusting()
    assert forged_packets_that_count(playing, monkeypatch) == COUNT


class Trusting:
    def unprotect(self, packet, header_size):
        return packet[header_size:]

    def unprotect_rtcp(self, packet):
        return packet
