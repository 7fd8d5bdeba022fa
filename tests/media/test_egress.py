"""The hot path, against a real socket; a full buffer and a path without offload are injected."""

import errno
import socket

import pytest

from media.core.formats import Codec, Kind
from media.core.history import Packet
from media.core.rewrite import Line
from media.core.runs import plan
from media.core.srtp import GcmReceiver, GcmSender
from media.dtls import CmReceiver, CmSender
from media.egress import Egress
from media.port import MediaPort

KEY, SALT = bytes(16), bytes(12)


class Route:
    def __init__(self, address, sender):
        self.address, self.sender, self.is_closed, self.uses_gso = address, sender, False, True


class Target:
    def __init__(self, address, sender):
        self.peer = Route(address, sender)
        self.lines = (Line(1, {Codec.OPUS: 111}, 10, 0), Line(2, {Codec.VP8: 96}, 20, 0))
        for line in self.lines:
            line.begin(1000)


class Faulty:
    """The port's socket, with an error in front."""

    def __init__(self, real, error, only_sendmsg=False):
        self.real, self.error, self.only_sendmsg = real, error, only_sendmsg

    def sendmsg(self, *args):
        if self.error:
            raise self.error
        return self.real.sendmsg(*args)

    def sendto(self, *args):
        if self.error and not self.only_sendmsg:
            raise self.error
        return self.real.sendto(*args)

    def __getattr__(self, name):
        return getattr(self.real, name)


@pytest.fixture
async def port():
    port = MediaPort("127.0.0.1", 0)
    yield port
    port.close()


@pytest.fixture
def inbox():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as inbox:
        inbox.bind(("127.0.0.1", 0))
        inbox.settimeout(5)
        yield inbox


@pytest.fixture
def target(inbox):
    return Target(inbox.getsockname(), GcmSender(KEY, SALT))


def video(*sizes, first=1000):
    return [
        Packet(Kind.VIDEO, Codec.VP8, first + n, 0, n == len(sizes) - 1, bytes((n + 1,)) * size)
        for n, size in enumerate(sizes)
    ]


SOUND = Packet(Kind.AUDIO, Codec.OPUS, 1000, 0, False, b"s" * 60)


def received(inbox, count):
    return [inbox.recv(2048) for _ in range(count)]


def test_a_run_goes_out_as_one_message_and_arrives_as_its_packets(port, inbox, target):
    egress = Egress(port)
    egress.send([target], plan([*video(500, 498, 500), SOUND]))
    datagrams, receiver = received(inbox, 4), GcmReceiver(KEY, SALT)
    assert (egress.sends, egress.packets) == (1, 4)
    assert [len(datagram) for datagram in datagrams] == [528, 528, 528, 88]
    assert [datagram[1] & 127 for datagram in datagrams] == [96, 96, 96, 111]
    assert receiver.unprotect(datagrams[1], 12) == bytes((2,)) * 498 + b"\0\2"
    assert [int.from_bytes(d[2:4], "big") for d in datagrams] == [20, 21, 22, 10]


def test_nothing_before_a_lines_beginning_is_sent(port, target):
    egress = Egress(port)
    egress.send([target], plan(video(500, 500, first=990)))
    assert (egress.packets, egress.sends) == (0, 0)


def test_a_target_that_is_closed_or_has_no_address_is_passed_over(port, target):
    egress = Egress(port)
    target.peer.is_closed = True
    egress.send([target], plan(video(500)))
    target.peer.is_closed, target.peer.address = False, None
    egress.send([target], plan(video(500)))
    assert egress.packets == 0


@pytest.mark.parametrize("number", [errno.EIO, errno.EINVAL])
def test_a_path_without_offload_gets_its_packets_one_by_one_and_is_remembered(port, inbox, target, number):
    egress = Egress(port)
    port.socket = Faulty(port.socket, OSError(number, "no offload"), only_sendmsg=True)
    egress.send([target], plan(video(500, 500, 300)))
    assert [len(datagram) for datagram in received(inbox, 3)] == [528, 528, 328]
    assert (egress.gso_refused, target.peer.uses_gso) == (1, False)
    port.socket.error = AssertionError("not tried again")
    egress.send([target], plan(video(500, 500, first=1003)))
    assert len(received(inbox, 2)) == 2


async def test_a_full_buffer_waits_and_nothing_is_lost_while_the_backlog_holds(port, inbox, target, wait_until):
    egress = Egress(port)
    port.socket = Faulty(port.socket, BlockingIOError())
    egress.send([target], plan(video(500, 500)))
    egress.send([target], plan(video(500, 500, first=1002)))
    assert egress.dropped_packets == 0
    port.socket.error = None
    inbox.setblocking(False)
    got = []

    def arrived():
        try:
            while True:
                got.append(inbox.recv(2048))
        except BlockingIOError:
            return len(got) == 4

    await wait_until(arrived, "they leave when there is room")
    assert [int.from_bytes(d[2:4], "big") for d in got] == [20, 21, 22, 23]


async def test_a_full_backlog_drops_the_oldest_picture_and_keeps_the_sound(port, target):
    egress = Egress(port)
    port.socket = Faulty(port.socket, BlockingIOError())
    egress.send([target], plan([SOUND]))
    for number in range(600):
        egress.send([target], plan(video(100, first=1000 + number)))
    assert egress.dropped_packets == 601 - 512
    assert egress._backlog.head().has_audio


def test_the_fallback_cipher_takes_the_same_way(port, inbox):
    egress, target = Egress(port), Target(inbox.getsockname(), CmSender(KEY, bytes(14)))
    egress.send([target], plan(video(500, 500)))
    receiver = CmReceiver(KEY, bytes(14))
    assert [receiver.unprotect(datagram, 12) for datagram in received(inbox, 2)] == [b"\1" * 500, b"\2" * 500]


def test_a_resend_is_the_same_bits(port, inbox, target):
    egress, runs = Egress(port), plan(video(500, 490, 500))
    egress.send([target], runs)
    first = received(inbox, 3)
    egress.resend(target, [runs[0].packets[1]])
    assert received(inbox, 1) == [first[1]]
