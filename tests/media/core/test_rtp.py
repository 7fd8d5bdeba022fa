import pytest
from hypothesis import given
from hypothesis import strategies as st

from media.core.rtp import Header, Sequence, extension, parse_header, strip_padding

PLAIN = bytes.fromhex("80e0000a000003e8deadbeef")


@pytest.mark.parametrize(
    ("datagram", "header"),
    [
        (PLAIN + b"x", Header(96, True, 10, 1000, 0xDEADBEEF, False, 12)),
        (b"\xa0\x60" + PLAIN[2:], Header(96, False, 10, 1000, 0xDEADBEEF, True, 12)),
        (b"\x82\x60" + PLAIN[2:] + bytes(8), Header(96, False, 10, 1000, 0xDEADBEEF, False, 20)),
        (
            b"\x90\x60" + PLAIN[2:] + b"\xbe\xde\0\1" + bytes(4),
            Header(96, False, 10, 1000, 0xDEADBEEF, False, 20, b"\xbe\xde\0\1" + bytes(4)),
        ),
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


@pytest.mark.parametrize(
    ("block", "number", "data"),
    [
        ("bede0001 40 41 00 00", 4, "41"),
        ("bede0002 41 4142 a0 68 000000", 10, "68"),
        ("bede0002 00 00 41 4142 a0 68 00", 10, "68"),
        ("bede0001 40 41 00 00", 0, None),
        ("bede0001 40 41 00 00", 5, None),
        ("bede0001 4f 41 00 00", 4, None),  # says 16 bytes
        ("bede0001 f0 41 40 42", 4, None),  # nothing counts behind number 15
        ("bede0001 03 41 40 42", 4, None),  # number 0 with a length: its data is passed over
        ("10000001 04 01 41 00", 4, "41"),
        ("10000002 00 04 00 0a 02 6869 00", 10, "6869"),
        ("10000001 04 00 00 00", 4, ""),
        ("10000001 04 05 41 00", 4, None),
        ("100f0001 04 01 41 00", 4, "41"),
        ("10100001 04 01 41 00", 4, None),
        ("abcd0001 40 41 00 00", 4, None),
        ("10", 4, None),
        ("", 4, None),
    ],
)
def test_an_extension_is_found_by_its_number_in_either_form(block, number, data):
    found = extension(bytes.fromhex(block), number)
    assert found == (None if data is None else bytes.fromhex(data))


ELEMENTS = st.dictionaries(st.integers(1, 14), st.binary(min_size=1, max_size=16), max_size=6)


@given(ELEMENTS, st.booleans(), st.integers(0, 3))
def test_what_is_written_is_found_again(elements, is_two_byte, pads):
    body = bytes(pads)
    for number, data in elements.items():
        head = bytes((number, len(data))) if is_two_byte else bytes((number << 4 | len(data) - 1,))
        body += head + data + bytes(pads)
    block = (b"\x10\0" if is_two_byte else b"\xbe\xde") + b"\0\0" + body
    assert {number: extension(block, number) for number in range(1, 15)} == {
        number: elements.get(number) for number in range(1, 15)
    }


@given(st.binary(max_size=200), st.sampled_from(["", "bede", "1000"]), st.integers(-1, 300))
def test_no_bytes_raise(data, prefix, number):
    header = parse_header(data)
    if header is not None:
        assert header.size <= len(data)
    strip_padding(data)
    found = extension(bytes.fromhex(prefix) + data, number)
    assert found is None or found in data


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
