import pytest
from hypothesis import given
from hypothesis import strategies as st

from media.core.rtp import Header, Sequence, parse_header, strip_padding

PLAIN = bytes.fromhex("80e0000a000003e8deadbeef")


@pytest.mark.parametrize(
    ("datagram", "header"),
    [
        (PLAIN + b"x", Header(96, True, 10, 1000, 0xDEADBEEF, False, 12)),
        (b"\xa0\x60" + PLAIN[2:], Header(96, False, 10, 1000, 0xDEADBEEF, True, 12)),
        (b"\x82\x60" + PLAIN[2:] + bytes(8), Header(96, False, 10, 1000, 0xDEADBEEF, False, 20)),
        (b"\x90\x60" + PLAIN[2:] + b"\xbe\xde\0\1" + bytes(4), Header(96, False, 10, 1000, 0xDEADBEEF, False, 20)),
        (PLAIN[:11], None),
        (b"\x40\x60" + PLAIN[2:], None),
        (b"\x82\x60" + PLAIN[2:] + bytes(7), None),
        (b"\x90\x60" + PLAIN[2:] + b"\xbe\xde\0", None),
        (b"\x90\x60" + PLAIN[2:] + b"\xbe\xde\0\2" + bytes(4), None),
    ],
)
def test_a_header_is_read_within_the_datagram(datagram, header):
    assert parse_header(datagram) == header


@pytest.mark.parametrize(
    ("payload", "stripped"),
    [(b"abc\0\0\3", b"abc"), (b"\0\0\3", b""), (b"abc\4", b""), (b"abc\5", None), (b"abc\0", None), (b"", None)],
)
def test_padding_is_stripped_unless_it_lies(payload, stripped):
    assert strip_padding(payload) == stripped


@given(st.binary(max_size=200))
def test_no_bytes_raise(data):
    header = parse_header(data)
    if header is not None:
        assert header.size <= len(data)
    strip_padding(data)


def test_sequence_numbers_go_past_sixteen_bits_and_back_for_the_late():
    sequence = Sequence()
    assert [sequence.extend(n) for n in (65530, 3, 65535, 4)] == [131066, 131075, 131071, 131076]
    assert sequence.highest == 131076


@given(st.integers(0, 65535), st.lists(st.integers(-30000, 30000), max_size=60))
def test_extension_is_right_for_any_walk_of_less_than_half_a_cycle(start, steps):
    sequence, position = Sequence(), start + 0x10000
    sequence.extend(start)
    for step in steps:
        target = position + step
        if target < 0:
            continue
        assert sequence.extend(target & 0xFFFF) == target
        position = max(position, target)
