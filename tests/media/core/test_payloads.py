import pytest
from hypothesis import given
from hypothesis import strategies as st

from media.core.formats import Codec
from media.core.payloads import begins_keyframe


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
        (Codec.VP9, "0882", True),
        (Codec.VP9, "8a0582", True),  # I, and one byte of picture id
        (Codec.VP9, "8a812382", True),
        (Codec.VP9, "aa81230082", True),  # L: layer 0
        (Codec.VP9, "aa8123c082", True),  # a temporal layer
        (Codec.VP9, "aa81230382", False),  # spatial layer 1 of a keyframe, which predicts from layer 0
        (Codec.VP9, "28", False),
        (Codec.VP9, "a881", False),
        (Codec.VP9, "ca0582", False),  # P: predicted
        (Codec.VP9, "8205", False),  # not its beginning
        (Codec.VP9, "", False),
        (Codec.AV1, "180a", True),  # N
        (Codec.AV1, "980a", False),  # N, and yet it goes on from the packet before
        (Codec.AV1, "180a0b00", True),
        (Codec.AV1, "100a", True),  # a sequence header alone
        (Codec.AV1, "200a0a0b", True),  # W=2: its length, then a sequence header
        (Codec.AV1, "0080010a", True),  # a length of two bytes
        (Codec.AV1, "1030", False),  # a frame
        (Codec.AV1, "203230", False),
        (Codec.AV1, "20ffff", False),
        (Codec.AV1, "08", False),
        (Codec.AV1, "", False),
        (Codec.OPUS, "67", False),
    ],
)
def test_where_a_decoder_can_start(codec, payload, begins):
    assert begins_keyframe(codec, bytes.fromhex(payload)) is begins


@given(st.sampled_from(Codec), st.binary(max_size=60))
def test_no_bytes_raise(codec, payload):
    begins_keyframe(codec, payload)
