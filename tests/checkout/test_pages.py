"""Opaque cursors."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from checkout.pages import cursor, parts
from schema.errors import BadRequest

keys = st.text(st.characters(exclude_characters="\x1f\x00", exclude_categories=["Cs"]), min_size=1)


@given(st.lists(keys, min_size=1, max_size=3))
def test_a_cursor_comes_back_as_its_keys(sort_keys):
    assert parts(cursor(*sort_keys), len(sort_keys)) == sort_keys


@pytest.mark.parametrize("text", [None, ""])
def test_no_cursor_is_the_first_page(text):
    assert parts(text, 2) is None


@given(st.text(min_size=1))
def test_what_was_not_made_here_is_a_bad_request_or_parts(text):
    try:
        found = parts(text, 2)
    except BadRequest:
        return
    assert len(found) == 2
    assert cursor(*found).rstrip("=")


@pytest.mark.parametrize("text", ["AAAA", "!!", base64.urlsafe_b64encode(b"\xff\x1f").decode()])
def test_bytes_that_are_no_text_are_a_bad_request(text):
    with pytest.raises(BadRequest):
        parts(text, 2)
