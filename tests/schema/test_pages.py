"""Cursors: ours come back, others are refused."""

import contextlib
from typing import NamedTuple

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.datastructures import QueryParams

from schema.errors import Invalid
from schema.pages import from_cursor, page_size, to_cursor


class Position(NamedTuple):
    starts_at_ms: int
    show_id: str


@given(st.integers(min_value=0, max_value=2**63 - 1), st.text(max_size=64))
def test_a_position_comes_back(starts_at_ms, show_id):
    cursor = to_cursor((starts_at_ms, show_id))
    assert from_cursor(cursor, Position) == Position(starts_at_ms, show_id)
    assert cursor.isascii()
    assert not set(cursor) & set("+/=")


@given(st.text(max_size=40))
def test_a_guess_is_refused_or_a_position(guess):
    with contextlib.suppress(Invalid):
        found = from_cursor(guess, Position)
        assert found is None or isinstance(found, Position)


def test_a_cursor_of_another_list_is_refused():
    with pytest.raises(Invalid):
        from_cursor(to_cursor(("pot",)), Position)
    with pytest.raises(Invalid):
        from_cursor(to_cursor((1, "demo")), tuple[str])
    assert from_cursor("", Position) is None
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(Position(1, "a"))) == [1, "a"]


@pytest.mark.parametrize(("query", "size"), [("", 20), ("limit=1", 1), ("limit=100", 100)])
def test_a_page_has_a_size(query, size):
    assert page_size(QueryParams(query)) == size


def test_a_list_may_have_sizes_of_its_own():
    assert page_size(QueryParams(""), usual=50, most=200) == 50
    assert page_size(QueryParams("limit=200"), usual=50, most=200) == 200
    with pytest.raises(Invalid, match="200"):
        page_size(QueryParams("limit=201"), usual=50, most=200)


@pytest.mark.parametrize("limit", ["0", "101", "-1", "1.5", "x", "", "²", "1" * 5000])
def test_another_size_is_refused(limit):
    with pytest.raises(Invalid):
        page_size(QueryParams({"limit": limit}))
