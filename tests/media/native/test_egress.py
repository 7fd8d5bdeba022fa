"""The native egress against its reference: the same inputs, the same bytes on the wire."""

import errno
import gc
import socket
import sys
import tracemalloc
import weakref
from array import array

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from media.core.audience import Audience, Row
from media.core.extensions import TO_SUBSCRIBER, template
from media.core.formats import Codec, Kind
from media.core.history import Packet
from media.core.press import Press
from media.core.rewrite import Line
from media.core.runs import Run, plan
from media.core.srtp import GcmReceiver, GcmSender
from media.egress import _NO_GSO
from media.native import egress_for
from media.native.loader import load
from media.port import MediaPort

# Empty on a machine without the extension: an empty loop is no skipped test, and the differential test then holds
# the reference against itself.
FANOUTS = [found.fanout for found in (load(),) if found.fanout]


class Route:
    def __init__(self, address, key, uses_gso):
        self.address, self.sender, self.is_closed, self.uses_gso = address, GcmSender(key, bytes(12)), False, uses_gso


class Target:
    def __init__(self, address, lines, key=bytes(16), uses_gso=True):
        self.peer, self.lines = Route(address, key, uses_gso), lines


@pytest.fixture(scope="module")
async def port():
    port = MediaPort("127.0.0.1", 0)
    yield port
    port.close()


@pytest.fixture(scope="module")
def inbox():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as inbox:
        inbox.bind(("127.0.0.1", 0))
        inbox.setblocking(False)
        yield inbox


def waiting(inbox):
    found = []
    try:
        while True:
            found.append(inbox.recv(4096))
    except BlockingIOError:
        return found


VIDEO_CODECS = st.sampled_from([Codec.VP8, Codec.H264])
WRAPS = st.sampled_from([0, 1, 0x7FFF, 0xFFFA, 0xFFFF, 0x1_0000, 0x1_FFFB, 1 << 31, (1 << 32) - 3])


@st.composite
def packets(draw, first):
    found, sequences = [], [first, first]
    for _ in range(draw(st.integers(1, 14))):
        kind = draw(st.sampled_from(Kind))
        codec = draw(VIDEO_CODECS) if kind is Kind.VIDEO else Codec.OPUS
        payload = draw(st.binary(min_size=1, max_size=6)) * draw(st.sampled_from([1, 11, 40, 180, 200]))
        timestamp = draw(st.integers(0, 0xFFFFFFFF))
        capture = draw(st.sampled_from([0, 0, 0, 1, (1 << 64) - 1, 0x0123456789ABCDEF]))
        packet = Packet(kind, codec, sequences[kind], timestamp, draw(st.booleans()), payload, draw(st.booleans()))
        found.append(packet._replace(capture=capture))
        sequences[kind] += draw(st.integers(1, 3))
    return found


@st.composite
def line(draw, codecs, first):
    if draw(st.integers(0, 9)) == 0:
        return None
    types = {codec: draw(st.integers(0, 127)) for codec in codecs if draw(st.integers(0, 5))}
    numbers = draw(st.integers(0, (1 << 32) - 1)), draw(st.integers(0, (1 << 15) - 1)), draw(st.integers(0, 1 << 32))
    begins = None if draw(st.integers(0, 9)) == 0 else first + draw(st.sampled_from([-70_000, -1, 0, 0, 0, 2]))
    return types, numbers, begins, draw(st.dictionaries(st.sampled_from(TO_SUBSCRIBER), st.integers(1, 14)))


@st.composite
def cases(draw):
    first = draw(WRAPS)
    targets = [
        (draw(line([Codec.OPUS], first)), draw(line([Codec.VP8, Codec.H264], first)), draw(st.booleans()))
        for _ in range(draw(st.integers(1, 3)))
    ]
    return draw(packets(first)), targets, draw(st.binary(min_size=16, max_size=16))


def build(description):
    if description is None:
        return None
    types, (ssrc, start, timestamp_shift), begins, numbers = description
    made = Line(ssrc, dict(types), start, timestamp_shift)
    made.extensions = template(numbers, least_ms=10, most_ms=500)
    if begins is not None:
        made.begin(begins)
    return made


class Strip:
    """A reel of just these."""

    def __init__(self, packets):
        self.packets, self.twin = packets, None


@st.composite
def presses(draw):
    pressed = draw(st.integers(0, 60_000))
    live, span = draw(st.integers(0, 0xFFFFFFFF)), draw(st.integers(max(1, pressed), 2**32 - 1))
    return draw(st.sampled_from([None, Press(live, pressed, span)]))


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(case=cases(), press=presses(), cut=st.tuples(st.integers(0, 9), st.integers(0, 9)))
def test_a_newcomers_packets_leave_in_the_same_messages_with_the_same_bytes_in_both(port, inbox, case, press, cut):
    found, described, key = case
    pictures, seen = [packet for packet in found if packet.kind is Kind.VIDEO], []
    stretch = min(cut[0], len(pictures)), max(min(cut[0], len(pictures)), len(pictures) - cut[1])
    for native in (False, None):
        egress, strip = egress_for(port, native=native), Strip(pictures)
        targets = [Target(inbox.getsockname(), (build(a), build(v)), key, gso) for a, v, gso in described]
        for target in targets:
            if target.lines[1]:
                target.lines[1].press = press
            egress.hurry(target, strip, *stretch)
        counts = egress.packets, egress.octets, egress.sends, egress.gso_refused, egress.dropped_packets
        lines = [(one.packets, one.octets) for target in targets for one in target.lines if one]
        seen.append((waiting(inbox), counts, lines))
    assert seen[0] == seen[1]
    assert len(seen[0][0]) == seen[0][1][0]


def test_a_reel_follows_what_is_added_and_knows_its_places(port, inbox):
    line = Line(7, {Codec.VP8: 96}, 0, 0)
    line.begin(0)
    target = Target(inbox.getsockname(), (None, line))
    packets = [Packet(Kind.VIDEO, Codec.VP8, n, 0, True, b"x") for n in range(300)]
    for fanout in FANOUTS:
        reel, fd = fanout.Reel(), port.socket.fileno()
        for so_many in (0, 1, 2, 300):
            reel.follow(packets[:so_many])
        fanout.hurry(fd, -1, -1, target, reel, 297, 300)
        assert [int.from_bytes(datagram[2:4], "big") for datagram in waiting(inbox)] == [297, 298, 299]
        for begin, end in ((-1, 1), (2, 1), (0, 301), (300, 301)):
            with pytest.raises(IndexError):
                fanout.hurry(fd, -1, -1, target, reel, begin, end)
        with pytest.raises((TypeError, SystemError)):
            reel.follow((packets[0],))
        with pytest.raises(TypeError):
            reel.follow([*packets, (1, 2)])
        with pytest.raises(TypeError):
            fanout.hurry(fd, -1, -1, target, packets, 0, 1)
    assert waiting(inbox) == []


def test_what_a_reel_refuses_leaves_nothing_in_it(port, inbox):
    line = Line(7, {Codec.VP8: 96}, 0, 0)
    line.begin(0)
    target, good = Target(inbox.getsockname(), (None, line)), Packet(Kind.VIDEO, Codec.VP8, 0, 0, True, b"x")
    for fanout in FANOUTS:
        reel = fanout.Reel()
        for number in range(20):  # more than there are tracks
            with pytest.raises(TypeError):
                reel.follow([good._replace(codec=f"codec {number}", payload=None)])
        reel.follow([good])
        fanout.hurry(port.socket.fileno(), -1, -1, target, reel, 0, 1)
        assert len(waiting(inbox)) == 1


@pytest.mark.parametrize("press", [(1, 2), (1, 0, 0), (1, 3, 2), (1, -1, 2), "abc", 7])
def test_a_press_that_makes_no_sense_is_refused(port, inbox, press):
    video = Line(7, {Codec.VP8: 96}, 0, 0)
    video.begin(0)
    video.press = press
    target, one = Target(inbox.getsockname(), (None, video)), Packet(Kind.VIDEO, Codec.VP8, 0, 0, True, b"x")
    for fanout in FANOUTS:
        reel = fanout.Reel()
        reel.follow([one])
        with pytest.raises((TypeError, ValueError)):
            fanout.hurry(port.socket.fileno(), -1, -1, target, reel, 0, 1)
    assert waiting(inbox) == []


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(case=cases())
def test_both_put_the_same_bytes_on_the_wire_and_count_alike(port, inbox, case):
    found, described, key = case
    runs, seen = plan(found), []
    for native in (False, None):
        egress = egress_for(port, native=native)
        targets = [Target(inbox.getsockname(), (build(a), build(v)), key, gso) for a, v, gso in described]
        egress.send(targets, runs)
        counts = egress.packets, egress.octets, egress.sends, egress.gso_refused, egress.dropped_packets
        lines = [(one.packets, one.octets) for target in targets for one in target.lines if one]
        seen.append((waiting(inbox), counts, lines))
    assert seen[0] == seen[1]
    assert len(seen[0][0]) == seen[0][1][0]


def test_a_wrap_of_the_sequence_moves_the_cycle_and_the_receiver_follows(port, inbox):
    found = [Packet(Kind.VIDEO, Codec.VP8, 50_000 + n, n, False, b"x" * 100) for n in range(0, 70_000, 7_000)]
    video = Line(7, {Codec.VP8: 96}, 32_000, 5)
    video.begin(50_000)
    egress, receiver = egress_for(port), GcmReceiver(bytes(16), bytes(12))
    egress.send([Target(inbox.getsockname(), (None, video))], plan(found))
    datagrams = waiting(inbox)
    numbers = [int.from_bytes(datagram[2:4], "big") for datagram in datagrams]
    assert numbers == [32_000 + n & 0xFFFF for n in range(0, 70_000, 7_000)]
    assert [receiver.unprotect(datagram, 12) for datagram in datagrams] == [b"x" * 100] * 10


async def test_an_answer_leaves_from_the_address_that_was_asked():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as inbox:
        inbox.bind(("127.0.0.1", 0))
        inbox.settimeout(5)
        port = MediaPort("0.0.0.0", 0)
        try:
            own = bytes(4) + socket.inet_aton("127.0.0.7") + bytes(4)
            video = Line(7, {Codec.VP8: 96}, 0, 0)
            video.begin(0)
            target = Target((*inbox.getsockname(), own), (None, video))
            found = [Packet(Kind.VIDEO, Codec.VP8, n, n, False, b"x" * 100) for n in range(3)]
            egress_for(port).send([target], plan(found))
            assert [inbox.recvfrom(2048)[1] for _ in range(3)] == [("127.0.0.7", port.number)] * 3
        finally:
            port.close()


async def test_it_sends_over_ipv6():
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as inbox:
        inbox.bind(("::1", 0))
        inbox.settimeout(5)
        port = MediaPort("::", 0)
        try:
            video = Line(7, {Codec.VP8: 96}, 0, 0)
            video.begin(0)
            own = socket.inet_pton(socket.AF_INET6, "::1") + bytes(4)
            target = Target((*inbox.getsockname()[:2], own), (None, video))
            found = [Packet(Kind.VIDEO, Codec.VP8, n, n, False, b"x" * 100) for n in range(3)]
            egress = egress_for(port)
            egress.send([target], plan(found))
            assert [len(inbox.recv(2048)) for _ in range(3)] == [128] * 3
            assert (egress.sends, egress.gso_refused) == (1, 0)
        finally:
            port.close()


def test_it_leaves_to_the_reference_what_the_reference_leaves_to_the_slow_way():
    for fanout in FANOUTS:
        assert {number for number in errno.errorcode if fanout.knows_no_gso(number)} == _NO_GSO


def test_what_is_no_run_is_refused_and_nothing_is_sent(port, inbox):
    video = Line(7, {Codec.VP8: 96}, 0, 0)
    video.begin(0)
    target = Target(inbox.getsockname(), (None, video))

    def packet(payload=b"x", sequence=0, codec=Codec.VP8):
        return Packet(Kind.VIDEO, codec, sequence, 0, False, payload)

    bad = [
        (TypeError, [Run((packet("text"),), 1)]),
        (TypeError, [Run((packet(sequence="1"),), 1)]),
        (TypeError, [Run(((1, 2),), 1)]),
        (TypeError, [Run([packet()], 1)]),
        (ValueError, [Run((packet(bytes(65536)),), 1)]),
        (ValueError, [Run((packet(bytes(9000)),) * 8, 9000)]),
        (ValueError, [Run((packet(),), 1 << 40)]),
        (ValueError, [Run(tuple(packet(codec=str(n)) for n in range(17)), 1)]),
        (OverflowError, [Run((packet(sequence=1 << 70),), 1)]),
        (OverflowError, [Run((packet()._replace(capture=1 << 64),), 1)]),
        (OverflowError, [Run((packet()._replace(capture=-1),), 1)]),
        (TypeError, [Run((packet()[:8],), 1)]),
        (AttributeError, [object()]),
        (TypeError, 5),
    ]
    for fanout in FANOUTS:
        for error, runs in bad:
            with pytest.raises(error):
                fanout.fan(port.socket.fileno(), -1, -1, [target], runs)
        with pytest.raises(AttributeError):
            fanout.fan(port.socket.fileno(), -1, -1, [target, object()], [Run((packet(),), 1)])
        for error, block in [(ValueError, b"short"), (TypeError, "text")]:
            odd = Line(7, {Codec.VP8: 96}, 0, 0)
            odd.begin(0)
            odd.extensions = block
            run = Run((packet()._replace(capture=1),), 21)
            with pytest.raises(error):
                fanout.fan(port.socket.fileno(), -1, -1, [Target(inbox.getsockname(), (None, odd))], [run])
        for error, numbers in [(TypeError, None), (BufferError, bytes(48)), (ValueError, array("q", bytes(40)))]:
            odd = Line(7, {Codec.VP8: 96}, 0, 0)
            odd.numbers = numbers
            with pytest.raises(error):
                fanout.fan(
                    port.socket.fileno(), -1, -1, [Target(inbox.getsockname(), (None, odd))], [Run((packet(),), 1)]
                )
    assert waiting(inbox) == []
    assert video.packets == 0


def test_a_lines_numbers_stay_where_they_are_while_they_are_at_hand(port, inbox):
    video = Line(7, {Codec.VP8: 96}, 0, 0)
    video.begin(0)
    target = Target(inbox.getsockname(), (None, video))
    for fanout in FANOUTS:
        fanout.fan(
            port.socket.fileno(), -1, -1, [target], [Run((Packet(Kind.VIDEO, Codec.VP8, 0, 0, False, b"x"),), 1)]
        )
        with pytest.raises(BufferError):
            video.numbers.append(0)
        target.peer.sender.twin = None
        video.numbers.append(0)
        assert len(waiting(inbox)) == 1
        del video.numbers[6:]


def test_nothing_is_held_after_a_send(port, inbox):
    egress, video = egress_for(port), Line(7, {Codec.VP8: 96}, 0, 0)
    video.begin(0)
    target = Target(inbox.getsockname(), (None, video))
    payload, codecs = b"x" * 1000, video.payload_types
    run = Run((Packet(Kind.VIDEO, Codec.VP8, 0, 0, False, payload, capture=1),), 1020)
    egress.send([target], [run])  # makes the cipher
    before = [sys.getrefcount(thing) for thing in (payload, codecs, run, run.packets, target, video, target.lines)]
    tracemalloc.start()
    try:
        for _ in range(200):
            egress.send([target], [run])
            waiting(inbox)
        gc.collect()
        grown = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    after = [sys.getrefcount(thing) for thing in (payload, codecs, run, run.packets, target, video, target.lines)]
    assert after == before
    assert grown < 20_000


class Counted(Route):
    """A route as a peer is: who keeps a copy of it can tell when it has changed."""

    def __init__(self, *given):
        object.__setattr__(self, "changes", array("q", (0,)))
        super().__init__(*given)

    def __setattr__(self, name, value):
        object.__setattr__(self, name, value)
        self.changes[0] += 1


CHANGES = st.sampled_from(["", "", "closed", "nowhere", "elsewhere", "keys", "no keys", "segments", "extensions"])


def change(target, how, ends):
    peer = target.peer
    if how == "closed":
        peer.is_closed = not peer.is_closed
    elif how == "nowhere":
        peer.address = None
    elif how == "elsewhere":
        peer.address = ends[0] if peer.address == ends[1] else ends[1]
    elif how == "keys":
        peer.sender = GcmSender(bytes(range(16)), bytes(12))
    elif how == "no keys":
        peer.sender = None
    elif how == "segments":
        peer.uses_gso = not peer.uses_gso
    elif how == "extensions":
        for line in target.lines:
            if line:
                line.extensions = template(dict.fromkeys(TO_SUBSCRIBER, 3), least_ms=20, most_ms=600)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    case=cases(),
    flushes=st.lists(st.lists(st.tuples(st.integers(0, 2), CHANGES), max_size=2), min_size=1, max_size=4),
    counts=st.booleans(),
)
def test_a_row_gets_the_same_bytes_in_both_whatever_has_changed_since(port, inbox, case, flushes, counts):
    found, described, key = case
    runs, seen = plan(found), []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", 0))
        other.setblocking(False)
        ends = inbox.getsockname(), other.getsockname()
        for native in (False, None):
            egress, left = egress_for(port, native=native), []
            row = Row(Target(ends[0], (build(a), build(v)), key, gso) for a, v, gso in described)
            for target in row:
                if counts:
                    target.peer = Counted(target.peer.address, key, target.peer.uses_gso)
            for changes in flushes:
                for at, how in changes:
                    change(row[at % len(row)], how, ends)
                egress.send(row, runs)
                left.append((waiting(inbox), waiting(other)))
            lines = [(one.packets, one.octets) for target in row for one in target.lines if one]
            seen.append((left, egress.packets, egress.octets, egress.sends, egress.gso_refused, lines))
    assert seen[0] == seen[1]


def row_of(inbox, count=3, route=Counted):
    made = []
    for number in range(count):
        video = Line(number, {Codec.VP8: 96}, 0, 0)
        video.begin(0)
        target = Target(inbox.getsockname(), (None, video))
        target.peer = route(inbox.getsockname(), bytes(16), True)
        made.append(target)
    return Row(made)


PICTURE = [Run((Packet(Kind.VIDEO, Codec.VP8, 0, 0, True, b"x"),), 1)]


@pytest.mark.parametrize("route", [Counted, Route])
def test_what_is_known_of_a_row_is_kept_until_a_peer_counts_a_change(port, inbox, route):
    egress, row = egress_for(port), row_of(inbox, route=route)
    for _ in FANOUTS:
        egress.send(row, PICTURE)
        assert row.twin.kept() == (3 if route is Counted else 0), "of who counts none, nothing may be kept"
        row[1].peer.address = row[1].peer.address
        assert row.twin.kept() == (2 if route is Counted else 0)
        egress.send(row, PICTURE)
        assert row.twin.kept() == (3 if route is Counted else 0)
        assert len(waiting(inbox)) == 6


def test_without_the_count_a_row_would_be_sent_to_where_its_peers_were(port, inbox):
    egress, row = egress_for(port), row_of(inbox, 1)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", 0))
        other.setblocking(False)
        for _ in FANOUTS:
            egress.send(row, PICTURE)
            object.__setattr__(row[0].peer, "address", other.getsockname())  # past the count
            egress.send(row, PICTURE)
            assert (len(waiting(inbox)), len(waiting(other))) == (2, 0)
            row[0].peer.address = other.getsockname()
            egress.send(row, PICTURE)
            assert (len(waiting(inbox)), len(waiting(other))) == (0, 1)


def test_a_newcomers_line_is_read_each_time(port, inbox):
    egress, row = egress_for(port), row_of(inbox, 1)
    row[0].lines[1].press = Press(1000, 1, 2)
    for _ in FANOUTS:
        egress.send(row, PICTURE)
        assert row.twin.kept() == 0
        assert len(waiting(inbox)) == 1


def test_a_row_with_what_is_no_target_is_refused(port, inbox):
    good = row_of(inbox, 1)[0]
    odd = Line(7, {Codec.VP8: 96}, 0, 0)
    odd.numbers = array("q", bytes(40))
    short = Target(inbox.getsockname(), (None, odd))
    short.peer = Counted(inbox.getsockname(), bytes(16), True)
    uncountable = Target(inbox.getsockname(), good.lines)
    uncountable.peer.changes = array("q", (0, 0))
    for fanout in FANOUTS:
        for error, bad in ((AttributeError, object()), (ValueError, short), (ValueError, uncountable)):
            roll = fanout.Roll([good, bad])
            with pytest.raises(error):
                fanout.fan(port.socket.fileno(), -1, -1, roll, PICTURE)
        with pytest.raises(TypeError):
            fanout.Roll(5)
    assert waiting(inbox) == []


def test_a_row_and_what_is_known_of_it_go_together(port, inbox):
    egress, audience = egress_for(port), Audience()
    for target in row_of(inbox):
        target.audience = audience  # as a subscriber has its show
        audience.add(target)
    egress.send(audience.rows[0], PICTURE)
    assert len(waiting(inbox)) == 3
    gone = weakref.ref(audience)
    del audience, target
    gc.collect()
    assert gone() is None
