"""The size of a share, and when what was counted counts no more."""

import pytest

from checkout.core.shares import ON_ITS_WAY_MS, is_over, share_of
from schema.hold import HoldState


@pytest.mark.parametrize(
    ("stocked", "most"), [(1, 1), (2, 1), (3, 2), (19, 10), (20, 10), (40, 10), (41, 10), (100, 25), (10_000, 2500)]
)
def test_a_share_is_a_quarter_or_ten_and_of_little_half(stocked, most):
    assert share_of(stocked) == most


@pytest.mark.parametrize("age_ms", [0, ON_ITS_WAY_MS + 1])
def test_what_the_truth_knows_counts_until_it_has_ended(age_ms):
    over = {state for state in HoldState if is_over(state, age_ms=age_ms)}
    assert over == {HoldState.SOLD, HoldState.EXPIRED, HoldState.RELEASED}


def test_what_the_truth_does_not_know_counts_while_it_may_be_on_its_way():
    assert not is_over(None, age_ms=ON_ITS_WAY_MS)
    assert is_over(None, age_ms=ON_ITS_WAY_MS + 1)
