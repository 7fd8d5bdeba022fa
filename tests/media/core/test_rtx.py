import pytest
from hypothesis import given
from hypothesis import strategies as st

from media.core.formats import Codec, Kind
from media.core.history import Packet
from media.core.rewrite import Line, Repair
from media.core.rtp import Header
from media.core.rtx import original, repaired


def line():
    made = Line(6, {Codec.VP8: 96, Codec.VP9: 98}, 20, 5)
    made.begin(1000)
    made.repair = Repair(7, {Codec.VP8: 97}, 8)
    return made


def packet(sequence=1000, codec=Codec.VP8):
    return Packet(Kind.VIDEO, codec, sequence, 77, True, b"payload\0\2", padded=True, begins_keyframe=True, capture=9)


def test_the_example_of_the_module_holds():
    made = line()
    again = repaired(made, packet())
    assert again == packet()._replace(sequence=0, payload=b"\0\x14payload\0\2")
    assert again.sequence + made.repair.shift == 8
    assert made.repair.timestamp_shift == made.timestamp_shift


def test_what_its_repair_does_not_take_is_not_repaired_and_takes_no_number():
    made = line()
    assert repaired(made, packet(codec=Codec.VP9)) is None
    assert repaired(made, packet()).sequence == 0
    made.repair = None
    assert repaired(made, packet()) is None


@given(st.lists(st.integers(1000, 200_000), max_size=50))
def test_no_number_is_given_twice_however_often_one_packet_is_sent(sequences):
    made = line()
    found = [repaired(made, packet(sequence)) for sequence in sequences]
    assert [one.sequence for one in found] == list(range(len(found)))
    assert [one.payload[:2] for one in found] == [(n - 980 & 0xFFFF).to_bytes(2, "big") for n in sequences]


def test_a_newcomers_line_shares_the_numbers_of_its_repairs():
    made = line()
    assert repaired(made, packet()).sequence == 0
    assert repaired(made.ahead(1000), packet()).sequence == 1


@pytest.mark.parametrize(
    ("payload", "padded", "found"),
    [
        (b"\x01\x02body", False, (0x102, b"body")),
        (b"\x01\x02body\0\2", True, (0x102, b"body")),
        (b"\x01\x02\0\0\3", True, (0x102, b"")),
        (b"\0\0\3", True, None),  # a probe of nothing but padding
        (b"\x01", False, None),
        (b"", False, None),
        (b"body\x09", True, None),  # padding that lies
    ],
)
def test_the_original_is_what_stands_behind_its_number(payload, padded, found):
    header = Header(97, True, 5, 9, 7, padded, 20, b"\xbe\xde\0\1\x10abc")
    got = original(header, payload, ssrc=6, payload_type=96)
    if found is None:
        assert got is None
    else:
        assert got == (Header(96, True, found[0], 9, 6, False, 20, header.extensions), found[1])


@given(st.binary(max_size=40), st.booleans())
def test_no_bytes_raise(payload, padded):
    original(Header(97, True, 5, 9, 7, padded, 12), payload, ssrc=6, payload_type=96)
