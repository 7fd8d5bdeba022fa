import pytest
from hypothesis import given
from hypothesis import strategies as st

from media.core.formats import Codec
from media.core.resolution import resolution

VP8_KEY = bytes.fromhex("50010 09d012a".replace(" ", "")) + (1280).to_bytes(2, "little") + (720).to_bytes(2, "little")
# Baseline 1280x720 of x264, and high profile 1920x1080 with cropping.
SPS_720 = bytes.fromhex("6742c01fd9005005bb0110000003001000000303c0f1832640")
SPS_1080 = bytes.fromhex("67640028acd940780227e5c044000003000400000300f03c60c658")


@pytest.mark.parametrize(
    ("codec", "payload", "size"),
    [
        (Codec.VP8, b"\x10" + VP8_KEY, (1280, 720)),
        (Codec.VP8, b"\x90\xe0\x81\x02\x03\x00" + VP8_KEY, (1280, 720)),
        (Codec.VP8, b"\x10\x01" + VP8_KEY[1:], None),
        (Codec.VP8, b"\x10" + VP8_KEY[:9], None),
        (Codec.H264, SPS_720, (1280, 720)),
        (Codec.H264, SPS_1080, (1920, 1080)),
        (Codec.H264, b"\x18" + len(SPS_720).to_bytes(2, "big") + SPS_720, (1280, 720)),
        (Codec.H264, b"\x65\x88", None),
        (Codec.H264, SPS_720[:6], None),
        (Codec.OPUS, b"\x10" + VP8_KEY, None),
    ],
)
def test_the_size_of_a_picture(codec, payload, size):
    assert resolution(codec, payload) == size


@given(
    st.sampled_from([Codec.VP8, Codec.H264]),
    st.sampled_from([b"", b"\x67", b"\x10", b"\x18\x00\x10\x67"]),
    st.binary(max_size=80),
)
def test_any_bytes_have_a_size_or_none(codec, head, rest):
    found = resolution(codec, head + rest)
    assert found is None or all(0 < side <= 16_384 for side in found)
