import csv
import io
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from checkout.core.csv_lines import FORMULAS, guarded, line


@given(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\0")), min_size=2, max_size=5))
def test_what_is_written_is_read_again_but_for_the_guard(fields):
    (read,) = csv.reader(io.StringIO(line(fields), newline=""))
    assert read == [guarded(field) for field in fields]
    assert not any(field.startswith(FORMULAS) for field in read)


@pytest.mark.parametrize("text", ["=1+1", "+49", "-1", "@sum", "\t=1", "\r=1", "  =cmd|' /C calc'!A0"])
def test_a_formula_is_a_text_with_an_apostrophe(text):
    assert guarded(text) == f"'{text}"


def test_numbers_are_not_guarded_and_nothing_is_empty():
    assert line([Decimal("-1.50"), 3, None, "a,b", 'a"b', ""]) == '-1.50,3,,"a,b","a""b",\r\n'
