"""The rules of pinning."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from live.core.pinboard import PINS_MAX, pin
from schema.errors import Conflict
from schema.show import Pin

VARIANTS = st.sampled_from([f"v{number}" for number in range(PINS_MAX + 3)])


def test_a_pin_goes_to_the_end_with_its_time():
    board, fresh = pin([Pin(variant_id="a", pinned_at_ms=1)], "b", 2)
    assert fresh == Pin(variant_id="b", pinned_at_ms=2)
    assert [one.variant_id for one in board] == ["a", "b"]


def test_pinning_again_keeps_place_and_time():
    before = [Pin(variant_id="a", pinned_at_ms=1), Pin(variant_id="b", pinned_at_ms=2)]
    board, there = pin(before, "a", 9)
    assert board is before
    assert there.pinned_at_ms == 1


def test_a_full_board_refuses_and_stays():
    board = [Pin(variant_id=f"v{number}", pinned_at_ms=number) for number in range(PINS_MAX)]
    with pytest.raises(Conflict):
        pin(board, "one more", 99)
    assert len(board) == PINS_MAX


def test_a_full_board_still_answers_a_pin_that_is_there():
    board = [Pin(variant_id=f"v{number}", pinned_at_ms=number) for number in range(PINS_MAX)]
    assert pin(board, "v3", 99)[0] is board


@given(st.lists(st.tuples(st.booleans(), VARIANTS), max_size=60))
def test_no_board_is_overfull_or_holds_an_item_twice(steps):
    board: list[Pin] = []
    for now_ms, (is_pin, variant) in enumerate(steps):
        if is_pin:
            try:
                board, _ = pin(board, variant, now_ms)
            except Conflict:
                assert len(board) == PINS_MAX
        else:
            board = [one for one in board if one.variant_id != variant]
        assert len({one.variant_id for one in board}) == len(board) <= PINS_MAX
        assert [one.pinned_at_ms for one in board] == sorted(one.pinned_at_ms for one in board)
