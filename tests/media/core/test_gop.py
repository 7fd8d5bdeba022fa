import pytest
from hypothesis import given
from hypothesis import strategies as st

from media.core.formats import Codec, Kind
from media.core.gop import MAX_BYTES, MAX_SPAN_MS, Gop
from media.core.history import Packet


def packet(sequence, *, key=False, size=100, timestamp=None):
    stamp = sequence * 3000 if timestamp is None else timestamp
    return Packet(Kind.VIDEO, Codec.VP8, sequence, stamp & 0xFFFFFFFF, True, bytes(size), begins_keyframe=key)


def filled(*packets, limit=2000):
    gop = Gop(limit)
    for each in packets:
        gop.put(each)
    return gop


@pytest.mark.parametrize(
    ("came", "held"),
    [
        ("1 2 3", ""),
        ("1 2 K3 4 5", "3 4 5"),
        ("K3 4 5 K6 7", "6 7"),
        ("K3 5 4", "3 4 5"),
        ("K3 2", "3"),
        ("K3 5 6 K4", "4 5 6"),
        ("K3 4 K2", "3 4"),
        ("K3 4 5 6 7", ""),  # over the bound of four
        ("K3 4 5 6 7 8 K9", "9"),
    ],
)
def test_it_holds_what_follows_the_last_keyframe(came, held):
    gop = filled(*(packet(int(name.strip("K")), key="K" in name) for name in came.split()), limit=4)
    assert [each.sequence for each in gop.packets] == [int(name) for name in held.split()]


def test_a_hole_is_known_until_it_is_filled():
    gop = filled(packet(3, key=True), packet(5))
    assert not gop.is_whole
    gop.put(packet(4))
    assert gop.is_whole
    assert not Gop(9).is_whole


def test_a_cleared_cache_waits_for_a_keyframe():
    gop = filled(packet(3, key=True), packet(4))
    gop.clear()
    gop.put(packet(5))
    assert len(gop) == 0


def test_more_bytes_than_the_bound_are_given_up():
    gop = filled(packet(1, key=True, size=MAX_BYTES))
    assert len(gop) == 1
    gop.put(packet(2, size=1))
    assert len(gop) == 0


def test_more_time_than_the_bound_is_given_up_across_the_wrap_of_timestamps():
    first, most = -50_000, MAX_SPAN_MS * 90
    gop = filled(packet(1, key=True, timestamp=first), packet(2, timestamp=first + most))
    assert len(gop) == 2
    gop.put(packet(3, timestamp=first + most + 1))
    assert len(gop) == 0


def test_a_cache_of_nothing_keeps_nothing():
    assert len(filled(packet(1, key=True), packet(2), limit=0)) == 0


@given(st.lists(st.tuples(st.integers(0, 60), st.booleans()), unique_by=lambda item: item[0]), st.integers(0, 20))
def test_it_is_empty_or_begins_with_a_keyframe_rises_and_is_bounded(came, limit):
    gop = Gop(limit)
    for sequence, key in came:
        gop.put(packet(sequence, key=key))
        held = [each.sequence for each in gop.packets]
        assert held == sorted(set(held))
        assert len(held) <= limit
        assert not held or gop.packets[0].begins_keyframe
