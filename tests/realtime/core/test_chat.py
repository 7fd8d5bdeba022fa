import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime.core.chat import clean, slowed
from schema.errors import Invalid
from schema.people import Role


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("  hello ", "hello"),
        ("a\x00b\x1b[31mc\x7f\x85", "ab[31mc"),
        ("two\nlines\r\n", "two\nlines"),
        ("\u202eesrever\u202c", "esrever"),
        ("\U0001f469\u200d\U0001f4bb", "\U0001f469\u200d\U0001f4bb"),
        ("a\ud800b", "ab"),
        ("x" * 500, "x" * 500),
    ],
)
def test_a_text_is_cleaned(text, cleaned):
    assert clean(text) == cleaned


@pytest.mark.parametrize("text", ["", "   ", "\x00\x01", "\n", "x" * 501])
def test_nothing_and_too_much_are_refused(text):
    with pytest.raises(Invalid):
        clean(text)


@given(st.text())
def test_what_is_accepted_can_be_encoded_and_is_clean_already(text):
    try:
        once = clean(text)
    except Invalid:
        return
    assert clean(once.encode().decode()) == once


def test_slow_mode_holds_for_viewers_only():
    assert slowed(Role.VIEWER, 1)
    assert not slowed(Role.VIEWER, 0)
    assert not slowed(Role.HOST, 1)
    assert not slowed(Role.OPERATOR, 1)
