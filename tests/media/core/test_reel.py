import pytest
from hypothesis import given
from hypothesis import strategies as st

from media.core.formats import Codec, Kind
from media.core.history import Packet
from media.core.reel import FEW, MAX_BEHIND, MAX_BYTES, MAX_SPAN_MS, Reel
from media.core.runs import padded


def packet(sequence, *, key=False, size=100, timestamp=None):
    stamp = sequence * 3000 if timestamp is None else timestamp
    return Packet(Kind.VIDEO, Codec.VP8, sequence, stamp & 0xFFFFFFFF, True, bytes(size), begins_keyframe=key)


def filled(*packets, limit=2000):
    reel = Reel(limit)
    for each in packets:
        reel.put(each)
    return reel


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
    reel = filled(*(packet(int(name.strip("K")), key="K" in name) for name in came.split()), limit=4)
    assert [each.sequence for each in reel.group] == [int(name) for name in held.split()]


def test_a_hole_is_known_until_it_is_filled():
    reel = filled(packet(3, key=True), packet(5))
    assert not reel.is_whole
    reel.put(packet(4))
    assert reel.is_whole
    assert not Reel(9).is_whole


def test_a_cleared_cache_waits_for_a_keyframe():
    reel = filled(packet(3, key=True), packet(4))
    reel.clear()
    reel.put(packet(5))
    assert len(reel) == 0


def test_more_bytes_than_the_bound_are_given_up():
    reel = filled(packet(1, key=True, size=MAX_BYTES))
    assert len(reel) == 1
    reel.put(packet(2, size=1))
    assert len(reel) == 0


def test_more_time_than_the_bound_is_given_up_across_the_wrap_of_timestamps():
    first, most = -50_000, MAX_SPAN_MS * 90
    reel = filled(packet(1, key=True, timestamp=first), packet(2, timestamp=first + most))
    assert len(reel) == 2
    reel.put(packet(3, timestamp=first + most + 1))
    assert len(reel) == 0


def test_a_cache_of_nothing_keeps_nothing():
    assert len(filled(packet(1, key=True), packet(2), limit=0)) == 0


@given(st.lists(st.tuples(st.integers(0, 60), st.booleans()), unique_by=lambda item: item[0]), st.integers(0, 20))
def test_it_is_empty_or_begins_with_a_keyframe_rises_and_is_bounded(came, limit):
    reel = Reel(limit)
    for sequence, key in came:
        reel.put(packet(sequence, key=key))
        held = [each.sequence for each in reel.group]
        assert held == sorted(set(held))
        assert len(held) <= limit
        assert not held or reel.group[0].begins_keyframe


def test_what_comes_before_a_group_is_kept_for_those_who_are_behind_and_then_dropped():
    reel = filled(packet(1, key=True), *(packet(n) for n in range(2, FEW + 10)))
    reel.put(packet(FEW + 10, key=True), is_followed=True)
    reel.forget(1)
    assert reel.get(1) is not None
    reel.forget(None)
    assert reel.get(1) is None
    assert [each.sequence for each in reel.packets] == [FEW + 10]


def test_without_a_group_only_those_who_are_behind_get_anything():
    reel = Reel(4)
    reel.put(packet(1))
    assert reel.packets == []
    reel.put(packet(2), is_followed=True)
    assert [each.sequence for each in reel.packets] == [2]
    reel.forget(None)
    assert reel.packets == []


def test_a_packet_behind_later_ones_is_known_as_late_and_ends_what_others_know_of_the_places():
    reel = filled(packet(3, key=True), packet(5))
    reel.twin = "known"
    assert not reel.put(packet(6))
    assert reel.twin == "known"
    assert reel.put(packet(4))
    assert reel.twin is None
    assert [each.sequence for each in reel.packets] == [3, 4, 5, 6]


def test_who_stays_behind_for_ever_does_not_fill_the_memory():
    reel = filled(packet(1, key=True), limit=10)
    for number in range(2, 3 * MAX_BEHIND):
        reel.put(packet(number, timestamp=0), is_followed=True)
        reel.forget(1)
    assert len(reel.packets) <= MAX_BEHIND + 10
    assert reel.get(3 * MAX_BEHIND - 1) is not None


def test_a_picture_is_found_by_its_time_across_the_wrap_of_timestamps():
    reel = filled(*(packet(n, key=n == 1, timestamp=-9000 + n // 2 * 6000) for n in range(1, 9)))
    stamps = [reel.stamp(n, reel.get(n).timestamp) for n in range(1, 9)]
    assert [stamp - stamps[0] for stamp in stamps] == [0, 6000, 6000, 12_000, 12_000, 18_000, 18_000, 24_000]
    assert reel.until(stamps[2], 0, 8) == 3
    assert reel.until(stamps[1] - 1, 0, 8) == 1
    assert reel.until(reel.stamp(1, reel.get(8).timestamp + 1), 2, 8) == 8


def test_newcomers_get_a_groups_packets_as_long_as_its_longest_where_padding_can_do_it():
    sizes = {1: 900, 2: 1100, 3: 1099, 4: 845, 5: 844, 6: 1200}
    came = [packet(n, key=n == 1, size=size) for n, size in sizes.items()]
    reel = filled(*came)
    assert [len(each.payload) for each in reel.group] == [900, 1100, 1100, 1100, 844, 1200]
    assert [each.padded for each in reel.group] == [False, False, True, True, False, False]
    reel.put(packet(7, key=True, size=300))
    reel.put(packet(8, size=299))
    assert [len(each.payload) for each in reel.group] == [300, 300], "a group's own longest"


def test_what_the_fan_out_has_padded_is_padded_on_with_one_count_for_all_of_it():
    reel = filled(packet(1, key=True, size=1100))
    reel.put(padded(packet(2, size=999), 1000))
    assert reel.get(2).payload == bytes(1099) + bytes((101,))
    reel.put(padded(packet(3, size=860), 1000))
    reel.put(padded(packet(4, size=800), 1000))
    assert [len(reel.get(n).payload) for n in (3, 4)] == [1100, 1000], "no more than a byte can count"


@pytest.mark.parametrize("payload", [b"", b"\0"])
def test_padding_that_counts_nothing_is_left_alone(payload):
    odd = packet(2)._replace(payload=payload, padded=True)
    assert padded(odd, 100) == odd
