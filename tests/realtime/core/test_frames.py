import itertools
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from websockets.exceptions import PayloadTooBig
from websockets.frames import CloseCode, Opcode
from websockets.protocol import Protocol, Side

from realtime.core.frames import (
    FRAMES_AT_ONCE_MAX,
    MESSAGE_MAX_BYTES,
    Broken,
    FrameParser,
    Incoming,
    Op,
    close_frame,
    frame,
    unmask,
)

MASK = b"\x01\x02\x03\x04"


def masked(op: int, payload: bytes = b"", *, final: bool = True, rsv: int = 0) -> bytes:
    size = len(payload)
    head = bytes([(0x80 if final else 0) | rsv | op])
    if size < 126:
        head += bytes([0x80 | size])
    elif size < 65536:
        head += bytes([0x80 | 126]) + struct.pack("!H", size)
    else:
        head += bytes([0x80 | 127]) + struct.pack("!Q", size)
    return head + MASK + unmask(MASK, payload)


def code_of(data: bytes) -> int:
    with pytest.raises(Broken) as caught:
        FrameParser().feed(data)
    return caught.value.code


def test_a_message_arrives_whole_however_it_is_cut():
    data = masked(Op.TEXT, "grüße".encode()) + masked(Op.PING, b"p") + masked(Op.BINARY, b"\x00" * 300)
    for cut in range(len(data)):
        parser = FrameParser()
        assert parser.feed(data[:cut]) + parser.feed(data[cut:]) == [
            Incoming(Op.TEXT, "grüße".encode()),
            Incoming(Op.PING, b"p"),
            Incoming(Op.BINARY, b"\x00" * 300),
        ]
        assert parser.idle


def test_fragments_are_joined_and_a_ping_may_come_between():
    parser = FrameParser()
    assert parser.feed(masked(Op.TEXT, b"a\xc3", final=False)) == []
    assert not parser.idle
    assert parser.feed(masked(Op.PING)) == [Incoming(Op.PING, b"")]
    assert parser.feed(masked(Op.CONTINUATION, b"\xa4b")) == [Incoming(Op.TEXT, "aäb".encode())]


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"\x81\x02hi", 1002),  # not masked
        (masked(Op.TEXT, b"hi", rsv=0x40), 1002),
        (masked(Op.TEXT, b"hi", rsv=0x10), 1002),
        (masked(3), 1002),  # reserved opcodes
        (masked(11), 1002),
        (masked(Op.PING, b"x" * 126), 1002),
        (masked(Op.PING, final=False), 1002),
        (masked(Op.CLOSE, final=False), 1002),
        (masked(Op.CONTINUATION, b"x"), 1002),
        (masked(Op.TEXT, b"x", final=False) + masked(Op.TEXT, b"y"), 1002),
        (masked(Op.CLOSE, b"\x03"), 1002),
        (masked(Op.CLOSE, struct.pack("!H", 999)), 1002),
        (masked(Op.CLOSE, struct.pack("!H", 1005)), 1002),
        (masked(Op.CLOSE, struct.pack("!H", 1006)), 1002),
        (masked(Op.CLOSE, struct.pack("!H", 1015)), 1002),
        (masked(Op.CLOSE, struct.pack("!H", 5000)), 1002),
        (masked(Op.CLOSE, struct.pack("!H", 1000) + b"\xff"), 1007),
        (masked(Op.TEXT, b"\xff"), 1007),
        (masked(Op.TEXT, b"\xed\xa0\x80"), 1007),  # half a surrogate pair
        (masked(Op.TEXT, b"x" * (MESSAGE_MAX_BYTES + 1)), 1009),
        (b"\x81\xff" + struct.pack("!Q", 2**40), 1009),  # refused by its header alone
        (b"\x81\xff" + struct.pack("!Q", 2**63), 1002),
        (b"\x81\xfe\x00\x05", 1002),  # five bytes in the long form
        (b"\x81\xff" + struct.pack("!Q", 300), 1002),
        (masked(Op.TEXT, b"x" * 16000, final=False) + masked(Op.CONTINUATION, b"x" * 400), 1009),
    ],
)
def test_what_the_rfc_forbids_is_refused_with_its_code(data, code):
    assert code_of(data) == code


def test_the_largest_message_is_let_through():
    assert FrameParser().feed(masked(Op.TEXT, b"x" * MESSAGE_MAX_BYTES))[0].payload == b"x" * MESSAGE_MAX_BYTES


def test_empty_fragments_for_ever_take_no_memory():
    parser = FrameParser()
    parser.feed(masked(Op.TEXT, final=False))
    for _ in range(10_000):
        parser.feed(masked(Op.CONTINUATION, final=False))
    assert parser._parts == []
    assert parser._buffer == b""


def test_thousands_of_frames_in_one_read_are_refused():
    assert FrameParser().feed(masked(Op.PONG) * FRAMES_AT_ONCE_MAX)
    assert code_of(masked(Op.PONG) * (FRAMES_AT_ONCE_MAX + 1)) == 1008


def test_nothing_is_read_after_a_close_frame():
    parser = FrameParser()
    close = masked(Op.CLOSE, struct.pack("!H", 1001) + b"bye")
    assert parser.feed(close + masked(Op.TEXT, b"late")) == [Incoming(Op.CLOSE, struct.pack("!H", 1001) + b"bye", 1001)]
    assert parser.feed(b"\x00garbage") == []


def test_a_close_frame_without_a_code_is_1005():
    assert FrameParser().feed(masked(Op.CLOSE))[0].code == 1005


@given(st.binary(max_size=70_000), st.sampled_from([Op.TEXT, Op.BINARY]))
@settings(max_examples=60, deadline=None)
def test_websockets_reads_our_frames(payload, op):
    peer = Protocol(Side.CLIENT, max_size=None)
    peer.receive_data(frame(payload, op))
    (read,) = peer.events_received()
    assert (read.opcode, read.data, read.fin) == (op, payload, True)


def test_websockets_reads_our_close_and_a_long_reason_is_cut_between_characters():
    peer = Protocol(Side.CLIENT)
    peer.receive_data(close_frame(4004, "ä" * 200))
    assert peer.close_rcvd.code == 4004
    assert peer.close_rcvd.reason == "ä" * 61


messages = st.lists(
    st.tuples(
        st.sampled_from([Opcode.TEXT, Opcode.BINARY, Opcode.PING, Opcode.PONG, Opcode.CONT, Opcode.CLOSE]),
        st.one_of(
            st.binary(max_size=200),
            st.text(max_size=60).map(str.encode),
            st.integers(990, 5010).map(lambda code: struct.pack("!H", code)),
            st.just(b"z" * (MESSAGE_MAX_BYTES + 1)),
        ),
        st.sampled_from([True, True, True, False]),
        st.sampled_from([False] * 9 + [True]),
    ),
    max_size=8,
)


@given(messages, st.lists(st.integers(0, 500), max_size=6))
@settings(max_examples=500, deadline=None)
def test_websockets_agrees_about_what_is_whole_and_what_is_broken(script, cuts):
    """The oracle: `websockets`, fed the same bytes, finds the same messages and fails with the same close code."""
    data = b"".join(
        masked(op, payload, final=final, rsv=0x40 if reserved else 0) for op, payload, final, reserved in script
    )
    theirs = Protocol(Side.SERVER, max_size=MESSAGE_MAX_BYTES)
    theirs.receive_data(data)
    expected, op, parts = [], None, b""
    for one in theirs.events_received():
        if one.opcode in {Opcode.PING, Opcode.PONG}:
            expected.append((int(one.opcode), one.data))
        elif one.opcode is Opcode.CLOSE:
            expected.append((8, one.data))
        else:
            op, parts = (op if one.opcode is Opcode.CONT else int(one.opcode)), parts + one.data
            if one.fin:
                expected.append((op, parts))
                op, parts = None, b""
    found, broken = feed_in_pieces(data, cuts)
    if broken == 1007 and theirs.parser_exc is None:
        expected = expected[: len(found)]  # websockets leaves UTF-8 to its connection, we do not
    elif str(theirs.parser_exc) == "incomplete fragmented message":
        assert broken == 0  # a close frame between two fragments: RFC 6455 section 5.4 lets control frames in
        assert found[-1][0] == Op.CLOSE
    elif theirs.parser_exc is not None:
        # One frame may be wrong in two ways (its size or its UTF-8 as well): then either code will do.
        large = any(len(payload) > MESSAGE_MAX_BYTES for _, payload, _, _ in script)
        codes = {theirs.close_sent.code, broken}
        assert broken
        assert len(codes) == 1 or CloseCode.INVALID_DATA in codes or large
    else:
        assert broken == 0
    assert found[: len(expected)] == expected[: len(found)]
    assert broken or found[: len(expected)] == expected
    assert broken != CloseCode.MESSAGE_TOO_BIG or isinstance(theirs.parser_exc, PayloadTooBig)
    assert broken in {0, CloseCode.PROTOCOL_ERROR, CloseCode.INVALID_DATA, CloseCode.MESSAGE_TOO_BIG}


def feed_in_pieces(data: bytes, cuts: list[int]) -> tuple[list[tuple[int, bytes]], int]:
    parser, found = FrameParser(), []
    edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    try:
        for start, end in itertools.pairwise(edges):
            found += [(int(one.op), one.payload) for one in parser.feed(data[start:end])]
    except Broken as broken:
        return found + [(int(one.op), one.payload) for one in broken.before], broken.code
    return found, 0


@given(st.binary(max_size=4000))
@settings(max_examples=300, deadline=None)
def test_random_bytes_break_the_protocol_and_nothing_else(data):
    assert feed_in_pieces(data, [])[1] in {0, 1002, 1007, 1009}
