"""Messages between workers, out of a stream that comes in pieces."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from media.core.formats import Codec, Kind
from media.core.linkwire import AllTold, Drop, Granted, OnAir, Packets, Pull, Reader, Told, Wish, written
from media.feed import Incoming, Stream

VIDEO = Stream(Kind.VIDEO, 1, Codec.VP8)
MESSAGES = [
    OnAir("demo", 5, True, {96: Codec.VP8, 111: Codec.OPUS}, "42e01f", ("q", "h"), 9),
    AllTold(),
    Pull("demo", 7),
    Granted("demo", 7),
    Told("demo", Stream(Kind.AUDIO, 0, Codec.OPUS), 1 << 31, 1.5, -3_600_000.5),
    Packets("demo", [(VIDEO, Incoming(1 << 40, 3000, True, b"\0\xff" * 600, 11))] * 3),
    Wish("demo", 1),
    Drop("demo"),
]


@given(st.lists(st.integers(1, 4000), max_size=8))
def test_whatever_the_pieces_the_messages_are_whole(sizes):
    data, reader, heard = b"".join(written(message) for message in MESSAGES), Reader(), []
    for size in sizes:
        heard += reader.read(data[:size])
        data = data[size:]
    heard += reader.read(data)
    assert heard == MESSAGES


def test_a_streams_kind_and_codec_come_back_as_what_they_are():
    ((stream, packet),) = Reader().read(written(Packets("demo", [(VIDEO, Incoming(1, 2, False, b"x", 3))])))[0].packets
    assert (type(stream), type(stream.kind), type(stream.codec)) == (Stream, Kind, Codec)
    assert packet == Incoming(1, 2, False, b"x", 3)


@pytest.mark.parametrize("data", [b"\xff\xff\xff\xff", b"\0\0\0\1\x2a", b"\0\0\0\2\x91\x63", b"\0\0\0\0"])
def test_what_none_of_us_says_is_refused(data):
    with pytest.raises(ValueError):  # noqa: PT011 - it is the one error
        Reader().read(data)
