"""A publisher's sources, by a clock of our own."""

import pytest

from media import publisher as publisher_module
from media.core import keyframe
from media.core.formats import Codec, Kind
from media.core.rtcp import KeyframeRequest, parse
from media.core.rtp import Header
from media.feed import Stream
from media.publisher import SOURCE_SILENCE_MS, Publisher


class Stage:
    """Writes down what comes in."""

    def __init__(self):
        self.taken, self.begun = [], []

    def begin(self, stream):
        self.begun.append(stream)

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
