import pytest
from hypothesis import given
from hypothesis import strategies as st

from media.core.framing import BUFFER, MAX_PACKET, Deframer, FramingError, framed


def fed(deframer, stream, step):
    """What comes out of a stream that arrives in pieces of at most `step` bytes."""
    packets = []
    while stream:
        count = min(step, len(stream), len(deframer.room))
        deframer.room[:count] = stream[:count]
        packets += deframer.took(count)
        stream = stream[count:]
    return packets


@given(st.lists(st.binary(min_size=1, max_size=400), max_size=40), st.integers(1, 5000))
def test_packets_come_out_whole_however_the_stream_is_cut(packets, step):
    stream = b"".join(framed(packet) for packet in packets)
    assert fed(Deframer(), stream, step) == packets


def test_a_run_becomes_one_frame_for_each_of_its_packets():
    assert framed(b"aabbc", 2) == b"\0\2aa\0\2bb\0\1c"
    assert framed(memoryview(b"aabb"), 2) == b"\0\2aa\0\2bb"
    assert framed(b"aabb") == b"\0\4aabb"


@pytest.mark.parametrize("size", [0, MAX_PACKET + 1, 0xFFFF])
def test_a_length_that_no_packet_has_ends_the_stream(size):
    with pytest.raises(FramingError):
        fed(Deframer(), framed(b"first") + size.to_bytes(2, "big") + bytes(10), 100)


def test_there_is_always_room_and_never_more_than_the_buffer():
    deframer = Deframer()
    assert len(deframer.room) == BUFFER
    stream = b"".join(framed(bytes(MAX_PACKET)) for _ in range(20))
    while stream:
        room = deframer.room
        assert 0 < len(room) <= BUFFER
        room[:] = (stream + bytes(len(room)))[: len(room)] if len(stream) < len(room) else stream[: len(room)]
        took = min(len(room), len(stream))
        deframer.took(took)
        stream = stream[took:]
