from hypothesis import given
from hypothesis import strategies as st

from media.core.formats import Codec
from media.core.rewrite import NEVER, Line, Repair, Splice, nearest, pack_header


def test_the_example_of_the_module_holds():
    splice = Splice(90_000)
    assert splice.place(131070, 1000, 0) == (131070, 1000)
    assert splice.place(131071, 4000, 33) == (131071, 4000)
    assert splice.place(131072, 7000, 66) == (131072, 7000)
    splice.begin()
    assert splice.place(66236, 500_000, 2066) == (131073, 187_000)
    assert splice.place(66237, 503_000, 2099) == (131074, 190_000)


def test_two_publishers_in_one_millisecond_still_have_two_timestamps():
    splice = Splice(90_000)
    splice.place(100, 1000, 5)
    splice.begin()
    assert splice.place(900, 77, 5) == (101, 1001)


def test_a_packet_older_than_its_sources_first_has_no_place():
    splice = Splice(90_000)
    splice.place(100, 1000, 0)
    splice.begin()
    assert splice.place(500, 9, 10) == (101, 1900)
    assert splice.place(499, 9, 10) is None


def test_timestamps_wrap_without_a_seam():
    splice = Splice(48_000)
    splice.place(1, 0xFFFFFFF0, 0)
    splice.begin()
    assert splice.place(1, 0, 1) == (2, 32)


@given(
    st.lists(
        st.tuples(st.integers(65536, 200_000), st.integers(0, 2**32 - 1), st.lists(st.integers(0, 40), min_size=1)),
        min_size=1,
        max_size=6,
    )
)
def test_no_number_is_given_twice_whatever_the_publishers_do(publishers):
    splice, given_out, now = Splice(90_000), set(), 0
    for base, stamp, steps in publishers:
        splice.begin()
        for step in dict.fromkeys(steps):  # SRTP lets each packet in once
            now += 10
            placed = splice.place(base + step, stamp, now)
            if placed is not None:
                assert placed[0] not in given_out
                given_out.add(placed[0])


@given(st.integers(0, 0x7FFF), st.integers(65536, 1 << 40), st.lists(st.integers(0, 100_000), max_size=50))
def test_a_line_starts_in_cycle_zero_and_keeps_its_shift(start, first, steps):
    line = Line(9, {Codec.VP8: 96}, start, 5)
    assert not line.has_begun
    assert line.first == NEVER
    line.begin(first)
    assert first + line.shift == start < 1 << 15
    assert all(0 <= first + step + line.shift < 1 << 48 for step in steps)


def test_a_header_is_twelve_bytes_in_network_order():
    assert pack_header(0xA0, 0xE0, 10, 1000, 0xDEADBEEF).hex() == "a0e0000a000003e8deadbeef"


@given(st.integers(1 << 17, 1 << 40), st.integers(-32767, 32767))
def test_the_nearest_number_is_found_from_sixteen_bits(reference, step):
    assert nearest(reference + step & 0xFFFF, reference) == reference + step


def test_a_reserved_line_has_its_numbers_before_the_fan_out_sees_it():
    line = Line(9, {Codec.VP8: 96}, 17, 5)
    line.reserve(1000)
    ahead = line.ahead(1000)
    assert not line.has_begun
    assert (ahead.first, ahead.shift, ahead.ssrc, ahead.timestamp_shift) == (1000, 17 - 1000, 9, 5)
    line.go_on(1500)
    assert (line.first, line.shift) == (1500, ahead.shift)


def test_the_edge_goes_on_with_the_clock():
    splice = Splice(90_000)
    splice.place(100, 0xFFFFFF00, 1000)
    assert splice.edge(1010) == 900 - 256


def test_a_line_is_repaired_only_if_every_codec_of_it_is():
    line = Line(1, {Codec.VP8: 96, Codec.H264: 98}, 0, 0)
    assert not line.is_repaired
    line.repair = Repair(2, {Codec.VP8: 97}, 0)
    assert not line.is_repaired
    line.repair = Repair(2, {Codec.VP8: 97, Codec.H264: 99}, 0)
    assert line.is_repaired
