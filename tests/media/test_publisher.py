"""A publisher's sources, by a clock of our own."""

import pytest

from media import publisher as publisher_module
from media.core import keyframe, rtcp
from media.core.formats import Codec, Kind
from media.core.reception import ntp
from media.core.rtcp import KeyframeRequest, parse
from media.core.rtp import Header
from media.feed import Stream
from media.publisher import SOURCE_SILENCE_MS, Publisher


class Stage:
    """Writes down what comes in."""

    def __init__(self):
        self.taken, self.begun, self.said = [], [], []

    def begin(self, stream):
        self.begun.append(stream)

    def told(self, stream, timestamp, wall_ms):
        self.said.append(wall_ms)

    def ingest(self, stream, packet):
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
    assert (stage.taken, stage.begun) == ([(0, 10), (0, 501)], [Stream(Kind.VIDEO, 0, Codec.VP8)])


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
