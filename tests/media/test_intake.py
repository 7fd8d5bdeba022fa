"""What a look takes: the reference and its native twin, under the same tests, at a real port."""

import contextlib
import socket
import time

import pytest

from media.core.srtp import GcmReceiver, GcmSender
from media.hearing import Hearing
from media.intake import BURST
from media.native import intake_for
from media.native.loader import load
from media.port import MediaPort

DEADLINE_S = 20
KEY, SALT = bytes(range(16)), bytes(range(12))
WAYS = [False, *([True] if load().fanout else [])]


class Listener:
    def __init__(self):
        self.heard = []

    def rtp(self, header, payload, _now_ms):
        self.heard.append((header, payload))
        if payload == b"fault":
            raise RuntimeError


class Host:
    """A peer with keys, as the port sees it."""

    def __init__(self, port):
        self.receiver = Hearing(port.receiver(GcmReceiver(KEY, SALT)))
        self.listener, self.is_closed, self.last_check = Listener(), False, None


class Scene:
    """A port that nobody wakes, a host that it knows, a stranger."""

    def __init__(self, native, bound="127.0.0.1", family=socket.AF_INET, loopback="127.0.0.1"):
        self.port = MediaPort(bound, 0, gather_ms=3_600_000)
        self.port._loop.remove_reader(self.port.socket.fileno())
        self.port.intake = intake_for(self.port, native=native)
        self.taken, take = [], self.port.take
        self.port.take = lambda datagram, source: (self.taken.append((datagram, source)), take(datagram, source))
        self.ends = [socket.socket(family, socket.SOCK_DGRAM) for _ in range(2)]
        for end in self.ends:
            end.bind((loopback, 0))
            end.connect((loopback, self.port.number))
        self.host, self.stranger = self.ends
        self.peer, self.sender = Host(self.port), GcmSender(KEY, SALT)

    def packet(self, sequence, payload=b"hello", first=0x80, second=96, ssrc=7, more=b""):
        header = bytes((first, second)) + (sequence & 0xFFFF).to_bytes(2, "big") + b"\0\0\0\5" + ssrc.to_bytes(4, "big")
        return self.sender.seal(ssrc << 48 | sequence, header + more, payload)

    def takes(self, count):
        """Looks until so many datagrams have been taken, and no more are there; how many each look took."""
        looks, until = [self.port.intake.take()], time.monotonic() + DEADLINE_S
        while sum(looks) < count and time.monotonic() < until:
            looks.append(self.port.intake.take())
        assert sum(looks) + self.port.intake.take() == count
        return looks

    def close(self):
        self.port.close()
        for end in self.ends:
            end.close()


@pytest.fixture(params=WAYS, ids=lambda native: "native" if native else "pure")
async def scene(request):
    with contextlib.closing(Scene(request.param)) as scene:
        scene.port.roster.validate(scene.host.getsockname(), scene.peer)
        yield scene


def payloads(scene):
    return [payload for _, payload in scene.peer.listener.heard]


async def test_what_came_is_taken_in_its_order_up_to_a_burst(scene):
    for number in range(3 * BURST + 3):
        scene.stranger.send(b"?%d" % number)
    assert max(scene.takes(3 * BURST + 3)) <= BURST
    assert scene.taken == [(b"?%d" % number, scene.stranger.getsockname()) for number in range(3 * BURST + 3)]
    assert scene.port.counts["dropped_stranger"] == 3 * BURST + 3


async def test_a_hosts_packets_are_heard_whole_and_once(scene):
    extensions = b"\xbe\xde\0\1\x10\x05\0\0"
    for packet in (
        scene.packet(1),
        scene.packet(2, b"", second=96 | 0x80),
        scene.packet(2, b"", second=96 | 0x80),
        scene.packet(3, b"padded\2", first=0xA0),
        scene.packet(4, b"extended", first=0x92, more=bytes(8) + extensions),
    ):
        scene.host.send(packet)
    scene.takes(5)
    (plain, empty, padded, extended) = [header for header, _ in scene.peer.listener.heard]
    assert payloads(scene) == [b"hello", b"", b"padded\2", b"extended"]
    assert tuple(plain) == (96, False, 1, 5, 7, False, 12, b"")
    assert tuple(empty) == (96, True, 2, 5, 7, False, 12, b"")
    assert tuple(padded) == (96, False, 3, 5, 7, True, 12, b"")
    assert tuple(extended) == (96, False, 4, 5, 7, False, 28, extensions)
    assert all(type(one) is type(value) for one, value in zip(plain, (96, False, 1, 5, 7, False, 12, b""), strict=True))
    assert plain.payload_type == 96
    assert scene.port.counts == {"dropped_forged": 1}


async def test_what_is_not_authentic_media_of_a_peer_with_keys_is_not_heard(scene):
    forged = scene.packet(1)[:-1] + b"x"
    scene.host.send(forged)
    scene.stranger.send(scene.packet(1))
    for odd in (b"", b"\x80", b"\x80\x60" + bytes(9), b"\xb0\x60" + bytes(10) + b"\0\0\xff\xff", bytes(2048)):
        scene.host.send(odd)
    scene.host.send(b"\x80\xc8" + bytes(30))
    scene.takes(8)
    assert payloads(scene) == []
    assert scene.port.counts["dropped_forged"] >= 2
    scene.host.send(scene.packet(1))
    scene.takes(1)
    assert payloads(scene) == [b"hello"]
    assert scene.port.counts["fault"] == 0


async def test_a_peer_is_not_heard_before_its_keys_without_a_listener_or_after_its_end(scene):
    peer = scene.peer
    peer.receiver, keys = None, peer.receiver
    scene.host.send(scene.packet(1))
    scene.takes(1)
    peer.receiver, listener, peer.listener = keys, peer.listener, None
    scene.host.send(scene.packet(2))
    scene.takes(1)
    assert scene.port.counts == {"dropped_early": 2}
    peer.listener = listener
    scene.host.send(scene.packet(3))
    scene.takes(1)
    scene.port.roster.leave(scene.host.getsockname())
    scene.host.send(scene.packet(4))
    scene.takes(1)
    assert payloads(scene) == [b"hello"]
    assert scene.port.counts["dropped_stranger"] == 1


async def test_a_listener_that_fails_silences_nobody(scene):
    for number, payload in enumerate((b"fault", b"after")):
        scene.host.send(scene.packet(number, payload))
    scene.takes(2)
    assert payloads(scene) == [b"fault", b"after"]
    assert scene.port.counts["fault"] == 1


async def test_one_replay_window_serves_both_ways_in(scene):
    """Over TCP a packet comes by `take`; what was heard by UDP is not heard again."""
    packet = scene.packet(9)
    scene.host.send(packet)
    scene.takes(1)
    scene.port.take(packet, scene.host.getsockname())
    assert payloads(scene) == [b"hello"]
    assert scene.port.counts["dropped_forged"] == 1


async def test_a_source_too_many_is_counted_once(scene):
    for ssrc in range(40):
        scene.host.send(scene.packet(1, ssrc=ssrc))
    scene.takes(40)
    assert len(payloads(scene)) == 32
    assert scene.peer.receiver.surplus == 8


@pytest.mark.parametrize("native", WAYS)
@pytest.mark.parametrize(
    ("bound", "family", "loopback"),
    [("0.0.0.0", socket.AF_INET, "127.0.0.3"), ("::", socket.AF_INET6, "::1"), ("::1", socket.AF_INET6, "::1")],
)
async def test_both_name_the_two_ends_alike(native, bound, family, loopback):
    with contextlib.closing(Scene(native, bound, family, loopback)) as scene:
        scene.stranger.send(b"?")
        scene.host.send(b"!")
        scene.stranger.send(b"?")
        scene.takes(3)
        packed = socket.inet_pton(family, loopback)
        own = {"::": packed + bytes(4), "0.0.0.0": bytes(4) + packed + bytes(4)}.get(bound)
        ends = [(*end.getsockname()[:2], *([own] if own else [])) for end in (scene.stranger, scene.host)]
        assert sorted(scene.taken) == [(b"!", ends[1]), (b"?", ends[0]), (b"?", ends[0])]
