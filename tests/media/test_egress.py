"""The hot path, pure and native, against real sockets: one that is full, and one that knows no offload."""

import contextlib
import errno
import socket

import pytest

from media.core.extensions import ABS_CAPTURE_TIME, PLAYOUT_DELAY, template
from media.core.formats import Codec, Kind
from media.core.history import Packet
from media.core.press import Press
from media.core.reception import ntp
from media.core.reel import Reel
from media.core.rewrite import Line, Repair
from media.core.rtp import extension, parse_header, strip_padding
from media.core.runs import plan
from media.core.srtp import GcmReceiver, GcmSender
from media.dtls import CmReceiver, CmSender
from media.egress import _NO_GSO, Egress
from media.native import egress_for
from media.native.loader import load
from media.port import MediaPort

KEY, SALT = bytes(16), bytes(12)
SO_NO_CHECK = 11  # asm-generic/socket.h: without checksums the kernel refuses to cut a datagram apart
TWINS = [False, *([True] if load().fanout else [])]


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

    def __init__(self, real, error):
        self.real, self.error = real, error

    def sendmsg(self, parts, control, *args):
        if control:
            raise self.error
        return self.real.sendmsg(parts, control, *args)

    def __getattr__(self, name):
        return getattr(self.real, name)


@pytest.fixture
async def port():
    port = MediaPort("127.0.0.1", 0)
    yield port
    port.close()


@pytest.fixture(params=TWINS, ids=lambda native: "native" if native else "pure")
def egress(request, port):
    return egress_for(port, native=request.param)


class Narrow:
    """In place of the port's socket: one of the kernel's that keeps datagrams whole, and is full until read from."""

    def __init__(self, port):
        here, self.there = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.there.settimeout(5)
        # A connected one disregards the addresses that it is given; Python is told that they are of IPv4.
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM, fileno=here.detach())
        self.socket.setblocking(False)
        self.fillers, self.port, self.real = 0, port, port.socket
        with contextlib.suppress(BlockingIOError):
            while True:
                self.socket.send(bytes(528))
                self.fillers += 1
        port.socket = self.socket

    def read_fillers(self, count=None):
        for _ in range(self.fillers if count is None else count):
            assert self.there.recv(2048) == bytes(528)
            self.fillers -= 1

    def close(self):
        self.port.when_writable(None)
        self.port.socket = self.real
        self.socket.close()
        self.there.close()


@pytest.fixture
def narrow(port):
    narrow = Narrow(port)
    yield narrow
    narrow.close()


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


def test_a_run_goes_out_as_one_message_and_arrives_as_its_packets(egress, inbox, target):
    egress.send([target], plan([*video(500, 498, 500), SOUND]))
    datagrams, receiver = received(inbox, 4), GcmReceiver(KEY, SALT)
    assert (egress.sends, egress.packets) == (1, 4)
    assert [len(datagram) for datagram in datagrams] == [528, 528, 528, 88]
    assert [datagram[1] & 127 for datagram in datagrams] == [96, 96, 96, 111]
    assert receiver.unprotect(datagrams[1], 12) == bytes((2,)) * 498 + b"\0\2"
    assert [int.from_bytes(d[2:4], "big") for d in datagrams] == [20, 21, 22, 10]


def test_nothing_before_a_lines_beginning_is_sent(egress, target):
    egress.send([target], plan(video(500, 500, first=990)))
    assert (egress.packets, egress.sends) == (0, 0)


def test_a_target_that_is_closed_or_has_no_address_is_passed_over(egress, target):
    target.peer.is_closed = True
    egress.send([target], plan(video(500)))
    target.peer.is_closed, target.peer.address = False, None
    egress.send([target], plan(video(500)))
    assert egress.packets == 0


def test_a_path_without_offload_gets_its_packets_one_by_one_and_is_remembered(egress, port, inbox, target):
    port.socket.setsockopt(socket.SOL_SOCKET, SO_NO_CHECK, 1)
    egress.send([target], plan(video(500, 500, 300)))
    assert [len(datagram) for datagram in received(inbox, 3)] == [528, 528, 328]
    assert (egress.gso_refused, target.peer.uses_gso) == (1, False)
    sends = egress.sends
    egress.send([target], plan(video(500, 500, first=1003)))
    assert [int.from_bytes(d[2:4], "big") for d in received(inbox, 2)] == [23, 24]
    assert (egress.gso_refused, egress.sends - sends, egress.packets) == (1, 2, 5)


@pytest.mark.parametrize("number", sorted(_NO_GSO), ids=errno.errorcode.get)
def test_each_error_that_speaks_of_offload_is_taken_so(port, inbox, target, number):
    egress = Egress(port)
    real, port.socket = port.socket, Faulty(port.socket, OSError(number, "no offload"))
    egress.send([target], plan(video(500, 500, 300)))
    port.socket = real
    assert [len(datagram) for datagram in received(inbox, 3)] == [528, 528, 328]
    assert (egress.gso_refused, target.peer.uses_gso) == (1, False)


def test_any_other_error_is_counted_and_the_rest_goes_on(egress, port, inbox, target):
    nowhere = Target(("255.255.255.255", 9), GcmSender(KEY, SALT))  # a broadcast that was not asked for
    egress.send([nowhere, target], plan(video(500, 500)))
    assert port.counts["send_failed"] == 1
    assert [len(datagram) for datagram in received(inbox, 2)] == [528, 528]
    assert (egress.packets, egress.sends, egress.gso_refused) == (4, 2, 0)


async def test_a_full_buffer_waits_and_nothing_is_lost_while_the_backlog_holds(egress, narrow, target, wait_until):
    target.peer.uses_gso = False  # so that each datagram is seen
    egress.send([target], plan(video(500, 500)))
    egress.send([target], plan(video(500, 500, first=1002)))
    assert (egress.dropped_packets, egress.packets, len(egress._backlog)) == (0, 4, 4)
    narrow.read_fillers()
    await wait_until(lambda: not len(egress._backlog), "they leave when there is room")
    assert [int.from_bytes(d[2:4], "big") for d in received(narrow.there, 4)] == [20, 21, 22, 23]
    egress.send([target], plan(video(500, first=1004)))
    assert [int.from_bytes(d[2:4], "big") for d in received(narrow.there, 1)] == [24]


@pytest.mark.parametrize("room", [3, 13])
async def test_a_buffer_that_fills_up_within_a_run_gets_each_packet_once_and_in_order(
    egress, narrow, target, wait_until, room
):
    target.peer.uses_gso = False
    narrow.read_fillers(room)
    egress.send([target, target], plan(video(*[500] * 20)))  # two runs each
    assert 0 < len(egress._backlog) < 40
    narrow.read_fillers()
    await wait_until(lambda: not len(egress._backlog), "they leave when there is room")
    assert [int.from_bytes(d[2:4], "big") for d in received(narrow.there, 40)] == [*range(20, 40)] * 2
    assert egress.packets == target.lines[1].packets == 40
    assert egress.octets == 40 * 528


async def test_a_run_that_waits_for_room_is_not_handed_to_a_path_without_offload_as_one(
    egress, narrow, target, wait_until
):
    egress.send([target], plan(video(500, 500)))
    assert len(egress._backlog) == 1  # whole, in one message
    target.peer.uses_gso = False
    egress.send([target], plan(video(500, 500, first=1002)))
    assert len(egress._backlog) == 3
    narrow.read_fillers()
    await wait_until(lambda: not len(egress._backlog), "they leave when there is room")
    assert [len(datagram) for datagram in received(narrow.there, 3)] == [1056, 528, 528]


async def test_a_full_backlog_drops_the_oldest_picture_and_keeps_the_sound(egress, narrow, target):
    egress.send([target], plan([SOUND]))
    for number in range(600):
        egress.send([target], plan(video(100, first=1000 + number)))
    assert egress.dropped_packets == 601 - 512
    assert egress._backlog.head().has_audio


def test_the_fallback_cipher_takes_the_same_way(egress, inbox):
    target = Target(inbox.getsockname(), CmSender(KEY, bytes(14)))
    egress.send([target], plan(video(500, 500)))
    receiver = CmReceiver(KEY, bytes(14))
    assert [receiver.unprotect(datagram, 12) for datagram in received(inbox, 2)] == [b"\1" * 500, b"\2" * 500]


def test_a_resend_is_the_same_bits(egress, inbox, target):
    runs = plan(video(500, 490, 500))
    egress.send([target], runs)
    first = received(inbox, 3)
    egress.resend(target, [runs[0].packets[1]])
    assert received(inbox, 1) == [first[1]]


CAPTURE = ntp(1_700_000_000_123)
BOTH = {ABS_CAPTURE_TIME: 12, PLAYOUT_DELAY: 6}


def timed(*sizes, first=1000):
    """Video whose first packet says when it was captured."""
    head, *rest = video(*sizes, first=first)
    return [head._replace(capture=CAPTURE), *rest]


def test_each_target_reads_the_capture_time_and_the_playout_delay_by_its_own_numbers(egress, inbox, target):
    target.lines[1].extensions = template(BOTH, least_ms=0, most_ms=1000)
    egress.send([target], plan(timed(500, 498, 500)))
    datagrams, receiver = received(inbox, 3), GcmReceiver(KEY, SALT)
    assert [len(datagram) for datagram in datagrams] == [
        548,
        548,
        528,
    ]  # the others are padded, and it is still one message
    assert egress.sends == 1
    headers = [parse_header(datagram) for datagram in datagrams]
    assert [header.size for header in headers] == [32, 12, 12]
    assert [header.padded for header in headers] == [False, True, False]
    assert extension(headers[0].extensions, 12) == CAPTURE.to_bytes(8, "big")
    assert extension(headers[0].extensions, 6) == bytes((0, 0, 100))
    bodies = [receiver.unprotect(d, header.size) for d, header in zip(datagrams, headers, strict=True)]
    assert bodies[0] == b"\1" * 500
    assert strip_padding(bodies[1]) == b"\2" * 498


@pytest.mark.parametrize("number", range(1, 15))
def test_what_a_target_did_not_negotiate_is_padding_of_the_same_length(egress, inbox, target, number):
    egress.send([target], plan(timed(500)))
    (datagram,) = received(inbox, 1)
    header = parse_header(datagram)
    assert (len(datagram), header.size) == (548, 32)
    assert extension(header.extensions, number) is None
    assert GcmReceiver(KEY, SALT).unprotect(datagram, header.size) == b"\1" * 500


def test_the_fallback_cipher_carries_extensions_too(egress, inbox):
    target = Target(inbox.getsockname(), CmSender(KEY, bytes(14)))
    target.lines[1].extensions = template(BOTH, least_ms=0, most_ms=1000)
    egress.send([target], plan(timed(500)))
    (datagram,) = received(inbox, 1)
    assert extension(parse_header(datagram).extensions, 12) == CAPTURE.to_bytes(8, "big")
    assert CmReceiver(KEY, bytes(14)).unprotect(datagram, 32) == b"\1" * 500


@pytest.fixture
def repairing(target):
    """The target, with a stream of its own for retransmissions."""
    target.lines[1].repair = Repair(3, {Codec.VP8: 97}, 7)
    return target


def test_a_retransmission_goes_in_a_stream_of_its_own_with_the_originals_number_in_front(egress, inbox, repairing):
    packets = [packet for run in plan(timed(500, 490, 500)) for packet in run.packets]
    repairing.lines[1].repair.extensions = template(BOTH, least_ms=0, most_ms=1000)
    egress.send([repairing], plan(packets))
    originals, receiver = received(inbox, 3), GcmReceiver(KEY, SALT)
    egress.resend(repairing, [packets[0], packets[1]])
    egress.resend(repairing, [packets[1], SOUND])
    again = received(inbox, 4)
    headers = [parse_header(datagram) for datagram in again]
    assert [(h.ssrc, h.payload_type, h.sequence) for h in headers] == [
        (3, 97, 7),
        (3, 97, 8),
        (1, 111, 10),  # what has no such stream goes as it went
        (3, 97, 9),
    ]
    assert extension(headers[0].extensions, 12) == CAPTURE.to_bytes(8, "big")
    bodies = [receiver.unprotect(d, header.size) for d, header in zip(again, headers, strict=True)]
    assert [int.from_bytes(body[:2], "big") for body in bodies if body[0] == 0] == [20, 21, 21]
    assert bodies[1][2:] == receiver.unprotect(originals[1], 12)
    assert bodies[3] == bodies[1]
    assert headers[1].padded


def test_a_codec_without_a_retransmission_format_goes_as_the_same_bits(egress, inbox, repairing):
    repairing.lines[1].repair.payload_types = {Codec.H264: 97}
    egress.send([repairing], plan(video(500)))
    first = received(inbox, 1)
    egress.resend(repairing, video(500))
    assert received(inbox, 1) == first


def hurry(egress, target, packets):
    reel = Reel(100)
    for number, each in enumerate(packets):
        reel.put(each._replace(begins_keyframe=number == 0))
    egress.hurry(target, reel, 0, len(packets))


def test_a_newcomers_packets_go_in_one_message_with_the_times_of_its_press(egress, inbox, target):
    target.lines[1].extensions = template(BOTH, least_ms=0, most_ms=1000)
    target.lines[1].press = Press(90_000, 9_000, 90_000)
    shift = target.lines[1].timestamp_shift
    pictures = [one._replace(timestamp=n * 45_000) for n, one in enumerate(video(500, 500, 500, 500))]
    pictures[0] = pictures[0]._replace(payload=b"k" * 480, capture=CAPTURE)
    hurry(egress, target, pictures)
    headers = [parse_header(datagram) for datagram in received(inbox, 4)]
    assert (egress.sends, egress.packets, target.lines[1].packets) == (1, 4, 4)
    assert [header.timestamp - shift & 0xFFFFFFFF for header in headers] == [81_000, 85_500, 90_000, 135_000]
    captured = int.from_bytes(extension(headers[0].extensions, 12), "big")
    assert captured == CAPTURE + (81_000 << 32) // 90_000


async def test_a_newcomers_packets_wait_for_room_each_once_and_in_order(egress, narrow, target, wait_until):
    target.peer.uses_gso = False
    narrow.read_fillers(3)
    hurry(egress, target, video(*[500] * 20))
    hurry(egress, target, video(*[500] * 20, first=1020))
    assert 0 < len(egress._backlog) < 40
    narrow.read_fillers()
    await wait_until(lambda: not len(egress._backlog), "they leave when there is room")
    assert [int.from_bytes(d[2:4], "big") for d in received(narrow.there, 40)] == [*range(20, 60)]
    assert egress.packets == target.lines[1].packets == 40


def test_the_fallback_cipher_hurries_newcomers_too(egress, inbox):
    target = Target(inbox.getsockname(), CmSender(KEY, bytes(14)))
    target.lines[1].press = Press(90_000, 9_000, 90_000)
    hurry(egress, target, video(500, 500))
    headers = [parse_header(datagram) for datagram in received(inbox, 2)]
    assert [h.timestamp - target.lines[1].timestamp_shift & 0xFFFFFFFF for h in headers] == [81_000, 81_000]


def test_each_target_gets_its_own_and_one_that_moved_is_followed(egress, inbox, target):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", 0))
        other.settimeout(5)
        second = Target(other.getsockname(), GcmSender(bytes(range(16)), SALT))
        egress.send([target, second], plan(video(500)))
        assert GcmReceiver(KEY, SALT).unprotect(inbox.recv(2048), 12) == b"\1" * 500
        assert GcmReceiver(bytes(range(16)), SALT).unprotect(other.recv(2048), 12) == b"\1" * 500
        target.peer.address = other.getsockname()
        egress.send([target], plan(video(400, first=1001)))
        assert len(other.recv(2048)) == 428
    assert [line.packets for line in (*target.lines, *second.lines)] == [0, 2, 0, 1]


def test_what_changes_between_two_flushes_is_followed(egress, inbox, target):
    """The native twin keeps what it has read of a line and a peer; each of these must reach it."""
    line = target.lines[1]

    def next_one(sequence, key=KEY):
        egress.send([target], plan(timed(500, first=sequence)))
        (datagram,) = received(inbox, 1)
        header = parse_header(datagram)
        assert GcmReceiver(key, SALT).unprotect(datagram, header.size) == b"\1" * 500
        return header

    before = next_one(1000)
    assert (before.ssrc, before.payload_type, before.sequence) == (2, 96, 20)
    line.enter(1001, 300, 77)
    after = next_one(1001)
    assert (after.sequence, after.timestamp - before.timestamp & 0xFFFFFFFF) == (300, 77)
    line.payload_types = {Codec.VP8: 100}
    assert next_one(1002).payload_type == 100
    line.extensions = template(BOTH, least_ms=0, most_ms=1000)
    assert extension(next_one(1003).extensions, 6) == bytes((0, 0, 100))
    target.lines = (target.lines[0], line.ahead(1004))
    target.lines[1].ssrc = 9
    assert next_one(1004).ssrc == 9
    target.peer.sender = GcmSender(bytes(range(16)), SALT)
    assert next_one(1005, bytes(range(16))).ssrc == 9
    assert (line.packets, target.lines[1].packets) == (4, 2)


def test_what_must_not_be_sent_any_more_is_not_though_it_was_a_flush_ago(egress, inbox, target):
    egress.send([target], plan(video(500)))
    received(inbox, 1)
    line = target.lines[1]
    types, line.payload_types = line.payload_types, {Codec.H264: 96}
    egress.send([target], plan(video(500, first=1001)))
    line.payload_types = types
    line.leave()
    egress.send([target], plan(video(500, first=1002)))
    line.go_on(1003)
    target.peer.is_closed = True
    egress.send([target], plan(video(500, first=1003)))
    target.peer.is_closed = False
    egress.send([target], plan(video(400, first=1004)))
    assert [len(datagram) for datagram in received(inbox, 1)] == [428]
    assert (egress.packets, line.packets, line.octets) == (2, 2, 900)


def test_one_peer_with_two_lines_in_one_call_counts_by_each(egress, inbox, target):
    other = Target(None, None)
    other.peer, other.lines = target.peer, (None, target.lines[1].ahead(1000))
    other.lines[1].ssrc = 5
    egress.send([target, other, target], plan(video(500, 500)))
    assert [parse_header(datagram).ssrc for datagram in received(inbox, 6)] == [2, 2, 5, 5, 2, 2]
    assert [(line.packets, line.octets) for line in (target.lines[1], other.lines[1])] == [(4, 2000), (2, 1000)]
