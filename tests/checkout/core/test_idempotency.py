"""Fingerprints, derived ids, and what a claim comes to."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from checkout.core.idempotency import derived_id, fingerprint, may_answer
from schema.errors import IdempotencyInFlight, IdempotencyMismatch

texts = st.text(st.characters(exclude_characters="\x1f", exclude_categories=["Cs"]))


@given(texts, texts)
def test_one_request_has_one_fingerprint(a, b):
    assert fingerprint(a, b) == fingerprint(a, b)
    assert (fingerprint(a) == fingerprint(b)) == (a == b)


def test_parts_do_not_run_together():
    assert fingerprint("ab", "c") != fingerprint("a", "bc")
    assert derived_id("hold", "a", "1", 1) != derived_id("hold", "a", "11")


@given(texts)
def test_a_derived_id_has_the_shape_of_every_id(text):
    assert re.fullmatch(r"hold_[0-7][0-9a-hjkmnp-tv-z]{25}", derived_id("hold", text))


def test_a_derived_id_is_the_same_for_ever():
    assert derived_id("hold", "ann", "gala", "k", 0) == derived_id("hold", "ann", "gala", "k", 0)
    assert derived_id("hold", "ann", "gala", "k", 0) != derived_id("hold", "bob", "gala", "k", 0)


@pytest.mark.parametrize(("code", "mine"), [("mine", True), ("replay", False)])
def test_one_request_answers_and_the_others_repeat_it(code, mine):
    assert may_answer(code) is mine


def test_another_body_and_a_request_in_flight_are_errors():
    with pytest.raises(IdempotencyMismatch):
        may_answer("mismatch")
    with pytest.raises(IdempotencyInFlight) as waiting:
        may_answer("in_flight")
    assert waiting.value.retry_after_ms == 500
