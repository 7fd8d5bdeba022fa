"""The join benchmark counts what never came."""

import random
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

from join import missing

ALL = [number & 0xFFFF for number in range(65_000, 65_000 + 150_000)]


def test_nothing_is_missing_however_often_the_numbers_go_round():
    assert missing(ALL) == 0


@pytest.mark.parametrize("count", [1, 7])
def test_what_never_came_is_counted_once_each(count):
    gone = set(random.Random(count).sample(range(1, len(ALL) - 1), count))
    assert missing([number for place, number in enumerate(ALL) if place not in gone]) == count


def test_neither_what_comes_twice_nor_what_comes_late_is_missing():
    swapped = [ALL[1], ALL[0], *ALL[2:], ALL[-1]]
    assert missing(swapped) == 0


def test_where_nothing_came_nothing_is_missing():
    assert missing([]) == 0
