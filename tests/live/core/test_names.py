"""Names that are safe to show."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from live.core.names import NAME_MAX_CHARS, clean_name, friendly_name


@pytest.mark.parametrize(
    ("typed", "shown"),
    [
        ("Ann", "Ann"),
        ("  Ann \t Bee ", "Ann Bee"),
        ("Ann\u202eeeB", "AnneeB"),
        ("A\x00n\x1bn\u200b", "Ann"),
        ("Ann\u2028Bee", "Ann Bee"),
        ("Zoë 🦊", "Zoë 🦊"),
        ("x" * 200, "x" * 40),
        ("\u200b\u202e", ""),
        ("", ""),
    ],
)
def test_what_hides_or_reorders_goes(typed, shown):
    assert clean_name(typed) == shown


@given(st.text(max_size=300))
def test_every_name_is_short_and_harmless(typed):
    name = clean_name(typed)
    assert len(name) <= NAME_MAX_CHARS
    assert name == name.strip()
    assert all(mark == " " or unicodedata.category(mark)[0] not in "CZ" for mark in name)
    assert clean_name(name) == name


@given(st.integers(min_value=0, max_value=2**24 - 1))
def test_a_friendly_name_is_decided_by_its_number_and_already_clean(number):
    assert friendly_name(number) == friendly_name(number) == clean_name(friendly_name(number))


def test_names_differ():
    assert len({friendly_name(number) for number in range(32 * 32 * 90)}) == 32 * 32 * 90
