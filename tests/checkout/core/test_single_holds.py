"""Which single holds two sides do not both count."""

import pytest

from checkout.core.single_holds import apart


@pytest.mark.parametrize(
    ("gate", "pending", "truth", "expected"),
    [
        ({}, set(), {}, set()),
        ({"a": 1, "b": 2}, set(), {"b": 2, "a": 1}, set()),
        ({"a": 1}, set(), {"b": 1}, {"a", "b"}),
        ({"a": 1}, set(), {"a": 1, "b": 2}, {"b"}),
        ({"a": 1, "b": 2}, set(), {"a": 1}, {"b"}),
        ({"a": 1}, set(), {"a": 2}, {"a"}),
        ({"a": 1, "b": 1}, {"b"}, {"a": 1}, set()),
        ({"a": 1, "b": 1}, {"b"}, {"a": 1, "b": 1}, set()),
        ({"a": 1, "b": 1}, {"b"}, {"c": 1}, {"a", "c"}),
    ],
)
def test_a_hold_that_only_one_side_counts_is_named_unless_it_is_pending(gate, pending, truth, expected):
    assert apart(gate, pending, truth) == expected
