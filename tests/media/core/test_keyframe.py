import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from media.core.formats import Codec
from media.core.keyframe import INTERVAL_MS, KeyframeRequests, begins_keyframe


@pytest.mark.parametrize(
    ("codec", "payload", "begins"),
    [
        (Codec.VP8, "1000", True),
        (Codec.VP8, "1001", False),
        (Codec.VP8, "0000", False),
        (Codec.VP8, "1100", False),
        (Codec.VP8, "90800500", True),
        (Codec.VP8, "9080810500", True),
        (Codec.VP8, "90e08105011100", True),
        (Codec.VP8, "90f08105011101", False),
        (Codec.VP8, "9080", False),
        (Codec.VP8, "90", False),
        (Codec.VP8, "10", False),
        (Codec.VP8, "", False),
        (Codec.H264, "67", True),
        (Codec.H264, "65", True),
        (Codec.H264, "41", False),
        (Codec.H264, "68", False),
        (Codec.H264, "7800026742000268ce", True),
        (Codec.H264, "78000268ce00026742", True),
        (Codec.H264, "780002419a0002419a", False),
        (Codec.H264, "78ffff41", False),
        (Codec.H264, "7c85", True),
        (Codec.H264, "7c05", False),
        (Codec.H264, "7c81", False),
        (Codec.H264, "7c", False),
        (Codec.H264, "", False),
        (Codec.OPUS, "67", False),
    ],
)
def test_where_a_decoder_can_start(codec, payload, begins):
    assert begins_keyframe(codec, bytes.fromhex(payload)) is begins


@given(st.sampled_from(Codec), st.binary(max_size=60))
def test_no_bytes_raise(codec, payload):
    begins_keyframe(codec, payload)


def test_a_request_goes_at_once_and_the_next_waits_its_second():
    requests = KeyframeRequests()
    assert not requests.due(0)
    requests.want()
    assert [requests.due(now) for now in (0, 1, 999, 1000, 1500)] == [True, False, False, True, False]


def test_a_keyframe_answers_everybody():
    requests = KeyframeRequests()
    requests.want()
    requests.due(0)
    requests.arrived()
    assert not requests.due(5000)


@given(st.lists(st.tuples(st.integers(0, 400), st.sampled_from(["want", "arrived", "tick"])), max_size=100))
def test_never_more_than_one_a_second_and_none_forgotten(steps):
    requests, now, sent, wanted = KeyframeRequests(), 0, [], False
    for passed, what in steps:
        now += passed
        if what == "want":
            requests.want()
            wanted = True
        elif what == "arrived":
            requests.arrived()
            wanted = False
        elif requests.due(now):
            assert wanted
            sent.append(now)
    assert all(b - a >= INTERVAL_MS for a, b in itertools.pairwise(sent))
    assert requests.due(now + INTERVAL_MS) is wanted
