"""A publisher's sources, by a clock of our own."""

import pytest

from media import publisher as publisher_module
from media.core import keyframe, rtcp
from media.core.extensions import ABS_CAPTURE_TIME, RID
from media.core.formats import Codec, Kind
from media.core.reception import ntp
from media.core.rtcp import KeyframeRequest, SenderReport, parse
from media.core.rtp import Header
from media.core.srtp import Window
from media.feed import Stream
from media.publisher import CHALLENGE_PACKETS, SOURCE_SILENCE_MS, Publisher
from media.repairs import Repairs


class Stage:
    """Writes down what comes in."""

    def __init__(self):
        self.taken, self.begun, self.said, self.packets = [], [], [], []

    def begin(self, stream):
        self.begun.append(stream)

    def told(self, stream, timestamp, wall_ms):
        self.said.append(wall_ms)

    def ingest(self, stream, packet):
        self.packets.append(packet)
        self.taken.append((stream.layer, packet.sequence & 0xFFFF))


class Peer:
    """Writes down the feedback."""

    listener, seen_ms = None, 0

    def __init__(self):
        self.compounds = []

    def send_rtcp(self, compound):
        self.compounds.append(compound)


@pytest.fixture
def publisher():
    return Publisher(Stage(), Peer(), {96: Codec.VP8, 111: Codec.OPUS}, h264_profile="", max_bitrate_bps=1)


def video(publisher, ssrc, sequence, now_ms):
    publisher.rtp(Header(96, False, sequence, 0, ssrc, False, 12), b"\x10\x01", now_ms)


def test_another_source_takes_over_only_when_the_first_has_been_silent(publisher):
    stage = publisher._stage
    video(publisher, 1, 10, 1000)
    video(publisher, 2, 500, 1000 + SOURCE_SILENCE_MS - 1)
    assert (stage.taken, stage.begun) == ([(0, 10)], [])
    video(publisher, 2, 501, 1000 + SOURCE_SILENCE_MS)
    video(publisher, 1, 11, 1000 + SOURCE_SILENCE_MS + 1)
    assert (stage.taken, stage.begun) == ([(0, 10), (0, 500), (0, 501)], [Stream(Kind.VIDEO, 0, Codec.VP8)])


def restart(publisher, packets):
    """An encoder begins anew, with a keyframe, under another SSRC; what comes of it, with its times."""
    video(publisher, 1, 10, 1000)
    for number in range(packets):
        video(publisher, 2, 500 + number, 1020 + number)
    return [(sequence, packet.now_ms) for (_, sequence), packet in taken_since_the_first(publisher)]


def taken_since_the_first(publisher):
    return list(zip(publisher._stage.taken, publisher._stage.packets, strict=True))[1:]


def test_an_encoder_that_begins_anew_loses_nothing_of_its_first_keyframe(publisher):
    assert restart(publisher, SOURCE_SILENCE_MS) == [(500 + n, 1020 + n) for n in range(SOURCE_SILENCE_MS)]


def test_without_what_is_kept_it_would(publisher, monkeypatch):
    monkeypatch.setattr(publisher_module, "CHALLENGE_PACKETS", 0)
    assert restart(publisher, SOURCE_SILENCE_MS)[0] == (500 + SOURCE_SILENCE_MS - 20, 1000 + SOURCE_SILENCE_MS)


def test_nothing_is_kept_of_another_source_while_the_first_goes_on(publisher):
    for number in range(100):
        video(publisher, 1, number, 1000 + 20 * number)
        video(publisher, 2, 500 + number, 1001 + 20 * number)
    assert publisher._stage.taken == [(0, number) for number in range(100)]
    assert sum(len(one.packets) for one in publisher._challengers.values()) == 1


def test_of_what_waits_to_take_over_only_so_much_is_kept(publisher):
    video(publisher, 1, 10, 1000)
    for number in range(2 * CHALLENGE_PACKETS):
        video(publisher, 2, number, 1001)
    assert [len(one.packets) for one in publisher._challengers.values()] == [CHALLENGE_PACKETS]


def test_without_the_silence_two_sources_would_take_turns(publisher, monkeypatch):
    monkeypatch.setattr(publisher_module, "SOURCE_SILENCE_MS", 0)
    for number in range(4):
        video(publisher, 1 + number % 2, number, 1000)
    assert [number for _, number in publisher._stage.taken] == [0, 1, 2, 3]


def requests_for_a_keyframe(publisher):
    """How many go up in a second in which somebody wants one every 20 ms."""
    video(publisher, 1, 10, 0)
    for now_ms in range(0, 1000, 20):
        publisher.want_keyframe(0)
        publisher.react(now_ms)
    parts = [part for compound in publisher.peer.compounds for part in parse(compound)]
    return sum(isinstance(part, KeyframeRequest) for part in parts)


def test_one_request_for_a_keyframe_goes_up_a_second(publisher):
    assert requests_for_a_keyframe(publisher) == 1


def test_without_the_interval_each_wish_would(publisher, monkeypatch):
    monkeypatch.setattr(keyframe, "INTERVAL_MS", 0)
    assert requests_for_a_keyframe(publisher) == 50


def layered():
    codecs = {96: Codec.VP8, 111: Codec.OPUS}
    return Publisher(
        Stage(), Peer(), codecs, h264_profile="", max_bitrate_bps=1_600_000, rids=("q", "h"), extensions={RID: 10}
    )


def with_rid(publisher, ssrc, sequence, rid, payload_type=96, now_ms=1000):
    name = rid.encode()
    block = b"\xbe\xde\x00\x01" + bytes((10 << 4 | len(name) - 1,)) + name + bytes(2) if rid else b""
    publisher.rtp(Header(payload_type, False, sequence, 0, ssrc, False, 12, block), b"\x10\x01", now_ms)


def test_an_ssrc_is_bound_to_the_layer_it_names_and_stays_so_without_the_name():
    publisher = layered()
    with_rid(publisher, 7, 100, "h")
    with_rid(publisher, 9, 200, "q")
    with_rid(publisher, 7, 101, "")
    with_rid(publisher, 5, 300, "")
    with_rid(publisher, 6, 300, "z")
    assert publisher._stage.taken == [(1, 100), (0, 200), (1, 101)]


def test_a_layer_whose_encoder_restarted_is_bound_again_after_a_silence():
    publisher = layered()
    with_rid(publisher, 7, 100, "h")
    with_rid(publisher, 8, 1, "h", now_ms=1000 + SOURCE_SILENCE_MS - 1)
    with_rid(publisher, 8, 2, "h", now_ms=1000 + SOURCE_SILENCE_MS)
    assert publisher._stage.taken == [(1, 100), (1, 1), (1, 2)]


def test_a_layer_that_restarted_need_not_name_itself_in_every_packet():
    publisher = layered()
    with_rid(publisher, 7, 100, "h")
    with_rid(publisher, 8, 1, "h", now_ms=1001)
    with_rid(publisher, 8, 2, "", now_ms=1002)
    with_rid(publisher, 8, 3, "", now_ms=1001 + SOURCE_SILENCE_MS)
    assert publisher._stage.taken == [(1, 100), (1, 1), (1, 2), (1, 3)]


def test_each_layer_is_asked_for_its_keyframe_once_a_second():
    publisher = layered()
    with_rid(publisher, 7, 100, "h")
    with_rid(publisher, 9, 200, "q")
    for now_ms in range(0, 1000, 20):
        publisher.want_keyframe(0)
        publisher.want_keyframe(1)
        publisher.react(now_ms)
    parts = [part for compound in publisher.peer.compounds for part in parse(compound)]
    assert sorted(part.ssrc for part in parts if isinstance(part, KeyframeRequest)) == [7, 9]


def test_the_room_for_all_layers_lets_the_highest_have_its_bitrate():
    assert layered().room_bps == 1_600_000 + 400_000


def told(publisher, host_ms, timestamp, now_ms):
    """The host's sender report: what its clock and its picture stood at."""
    publisher.rtcp(rtcp.sender_report(rtcp.SenderReport(1, ntp(host_ms), timestamp, 1, 1), "host"), now_ms)


def test_a_moment_of_the_hosts_clock_is_one_of_ours_from_its_first_report_on(publisher):
    an_hour = 3_600_000
    assert publisher.wall_ms(an_hour + 5000) is None
    video(publisher, 1, 10, 2000)
    told(publisher, an_hour + 5000, 0, 2000)
    told(publisher, an_hour + 6000, 90_000, 3100)  # held up by the network: the clocks are no further apart for it
    assert publisher.wall_ms(an_hour + 7000) == pytest.approx(4000, abs=0.1)
    assert [round(at_ms) for at_ms in publisher._stage.said] == [2000, 3000]


CODECS = {96: Codec.VP8, 111: Codec.OPUS}
CAPTURE = 12


@pytest.fixture
def repairing():
    repairs = Repairs({97: 96}, sources={}, rids=(), extension=0)
    return Publisher(
        Stage(),
        Peer(),
        CODECS,
        h264_profile="",
        max_bitrate_bps=1,
        extensions={ABS_CAPTURE_TIME: CAPTURE},
        repairs=repairs,
    )


def again(publisher, sequence, now_ms=1000):
    """The packet `sequence`, as a retransmission."""
    publisher.rtp(Header(97, False, 7, 0, 9, False, 12), sequence.to_bytes(2, "big") + b"\x10\x01", now_ms)


def lose_and_repair(publisher):
    video(publisher, 1, 10, 1000)
    video(publisher, 1, 12, 1000)
    again(publisher, 11)
    again(publisher, 11)
    again(publisher, 10)  # a browser's probe
    video(publisher, 1, 11, 1000)  # the original was only late
    return [sequence for _, sequence in publisher._stage.taken]


def test_what_was_lost_and_comes_again_is_taken_once(repairing):
    assert lose_and_repair(repairing) == [10, 12, 11]
    assert repairing.repaired == 1
    repairing.react(5000)
    assert repairing.nacks == 0


def test_without_the_window_one_number_would_have_several_packets(repairing, monkeypatch):
    monkeypatch.setattr(Window, "is_new", lambda *_: True)
    assert lose_and_repair(repairing) == [10, 12, 11, 11, 10, 11]


def test_a_retransmission_of_what_nobody_sends_is_nothing(repairing):
    again(repairing, 10)
    assert repairing._stage.taken == []


def captured(publisher, capture_ms, now_ms):
    block = b"\xbe\xde\0\3" + bytes((CAPTURE << 4 | 7,)) + ntp(capture_ms).to_bytes(8, "big") + bytes(3)
    publisher.rtp(Header(96, False, now_ms, 0, 1, False, 28, block), b"\x10\x01", now_ms)
    return publisher._stage.packets[-1].captured_ms


def test_the_hosts_capture_time_is_told_on_our_clock(repairing):
    host_ms = 1_700_000_000_000
    assert captured(repairing, host_ms, 1000) is None  # its clock is not known yet
    repairing._told(SenderReport(1, ntp(host_ms), 0, 0, 0), 2000)
    assert captured(repairing, host_ms + 400, 2500) == 2400
    assert captured(repairing, 0, 2600) is None  # no clock of this host's
