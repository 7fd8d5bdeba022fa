"""Payloads by hand, byte for byte, and any bytes at all. Real encoders' pictures: tests/media/test_decoder.py."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from media.core.depacketize import Unreadable, picture

FRAME = b"\x10frame"


@pytest.mark.parametrize(
    "descriptor",
    [
        b"\x10",  # S alone
        b"\x90\x80\x05",  # a picture id of 7 bits
        b"\x90\x80\x85\x01",  # of 15
        b"\x90\xc0\x85\x01\x07",  # and TL0PICIDX
        b"\x90\xe0\x85\x01\x07\x20",  # and TID
        b"\x90\x10\x20",  # KEYIDX alone
    ],
    ids=lambda value: value.hex(),
)
def test_vp8_loses_its_descriptor(descriptor):
    assert picture("VP8", [descriptor + FRAME, b"\x00rest"]) == FRAME + b"rest"


@pytest.mark.parametrize(
    "descriptor",
    [
        b"\x0c",  # B and E
        b"\x8c\x05",  # a picture id of 7 bits
        b"\x8c\x85\x01",  # of 15
        b"\xac\x85\x01\x00\x07",  # layers, without flexible mode: TL0PICIDX
        b"\xbc\x85\x01\x00",  # layers in flexible mode
        b"\xdc\x85\x01\x03\x02",  # two references
        b"\x8e\x85\x01\x18\x05\x00\x02\xd0\x01\x04\x03",  # SS: one layer of 1280 x 720, one group, one reference
        b"\x0e\x20",  # SS: two layers and nothing of them
    ],
    ids=lambda value: value.hex(),
)
def test_vp9_loses_its_descriptor(descriptor):
    assert picture("VP9", [descriptor + FRAME, b"\x04rest"]) == FRAME + b"rest"


def test_h264_units_get_start_codes():
    stap = b"\x18" + b"\x00\x02\x67\x42" + b"\x00\x01\x68"
    fragments = [b"\x7c\x85AB", b"\x7c\x05CD", b"\x7c\x45EF"]
    assert picture("H264", [stap, *fragments, b"\x06sei"]) == (
        b"\0\0\0\1\x67\x42\0\0\0\1\x68\0\0\0\1\x65ABCDEF\0\0\0\1\x06sei"
    )


def test_av1_units_are_joined_and_sized():
    sequence, first, rest = b"\x08seq", b"\x30fra", b"me"
    # N and W=2: a whole unit with its length, then one that goes on (Y); Z and W=1: the rest of it.
    assert picture("AV1", [b"\x68\x04" + sequence + first, b"\x90" + rest]) == (b"\x12\x00\x0a\x03seq\x32\x05frame")


def test_av1_units_all_with_lengths_and_extensions():
    delimiter, extended, sized = b"\x10", b"\x34\x20abc", b"\x32\x01z"
    units = b"".join(bytes((len(unit),)) + unit for unit in (delimiter, extended, sized))
    assert picture("AV1", [b"\x08" + units]) == b"\x12\x00\x36\x20\x03abc\x32\x01z"


def test_a_length_of_av1_may_take_two_bytes():
    unit = b"\x30" + bytes(199)
    assert picture("AV1", [b"\x08\xc8\x01" + unit]) == b"\x12\x00\x32\xc7\x01" + bytes(199)


@pytest.mark.parametrize("codec", ["H265", ""])
def test_another_codec_is_unreadable(codec):
    with pytest.raises(Unreadable):
        picture(codec, [b"x"])


@pytest.mark.parametrize("codec", ["VP8", "VP9", "H264", "AV1"])
def test_an_empty_payload_is_unreadable(codec):
    with pytest.raises(Unreadable):
        picture(codec, [b""])


def test_half_a_header_is_unreadable():
    with pytest.raises(Unreadable):
        picture("AV1", [b"\x10\x34"])


@given(st.sampled_from(["VP8", "VP9", "H264", "AV1"]), st.lists(st.binary(max_size=60), max_size=6))
def test_any_bytes_come_out_about_as_long_or_are_unreadable(codec, payloads):
    try:
        made = picture(codec, payloads)
    except Unreadable:
        return
    # Start codes: a unit of no bytes in a STAP-A takes two and becomes four. Sizes of OBUs: one byte here.
    assert len(made) <= 2 + 3 * sum(map(len, payloads)) + 4 * len(payloads)
