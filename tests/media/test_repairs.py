"""Whose packet a publisher's retransmission repeats."""

import pytest

from media.core.rtp import Header
from media.repairs import MAX_BOUND, Repairs

LAYERS = {0: 70, 1: 71}


def repair(ssrc, rid=b""):
    block = b"\xbe\xde\0\1" + bytes((11 << 4 | len(rid) - 1,)) + rid if rid else b""
    return Header(97, True, 5, 9, ssrc, False, 12 + len(block), block)


def read(repairs, header):
    found = repairs.original(header, b"\x01\x02body", LAYERS.get)
    return found and (found[0].ssrc, found[0].payload_type, found[0].sequence, found[1])


def test_without_layers_it_is_the_one_picture_or_the_source_that_the_offer_pairs_it_with():
    assert read(Repairs({97: 96}, sources={}, rids=(), extension=0), repair(9)) == (70, 96, 0x102, b"body")
    assert read(Repairs({97: 96}, sources={9: 8}, rids=(), extension=0), repair(9)) == (8, 96, 0x102, b"body")


def test_with_layers_it_names_the_one_it_repairs_and_is_remembered():
    repairs = Repairs({97: 96}, sources={}, rids=("l", "h"), extension=11)
    assert read(repairs, repair(9)) is None
    assert read(repairs, repair(9, b"x")) is None
    assert read(repairs, repair(9, b"h"))[0] == 71
    assert read(repairs, repair(9))[0] == 71
    assert read(repairs, repair(8, b"l"))[0] == 70


def test_a_layer_that_nothing_came_of_has_nothing_to_repair():
    repairs = Repairs({97: 96}, sources={}, rids=("l", "h", "x"), extension=11)
    assert read(repairs, repair(9, b"x")) is None


@pytest.mark.parametrize("count", [MAX_BOUND, MAX_BOUND + 1])
def test_no_more_sources_are_remembered_than_a_publisher_can_have(count):
    repairs = Repairs({97: 96}, sources={}, rids=("l", "h"), extension=11)
    for ssrc in range(count):
        read(repairs, repair(ssrc, b"h"))
    assert (read(repairs, repair(count - 1)) is None) is (count > MAX_BOUND)
