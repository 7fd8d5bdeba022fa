"""One mailbox, one text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from checkout.core.payer import mailbox


@pytest.mark.parametrize(
    ("address", "reduced"),
    [
        ("ann@shop.example", "ann@shop.example"),
        (" Ann@Shop.Example. ", "ann@shop.example"),
        ("ann+knife@shop.example", "ann@shop.example"),
        ("a.n.n+1@googlemail.com", "ann@gmail.com"),
        ("a.n.n@shop.example", "a.n.n@shop.example"),  # elsewhere a dot counts
        ("ann@bücher.example", "ann@xn--bcher-kva.example"),
        ("ANN@ｓｈｏｐ.example", "ann@shop.example"),  # noqa: RUF001 - the wide letters are the point
        ("+@shop.example", "+@shop.example"),
        ("", ""),
        ("ann", ""),
    ],
)
def test_spellings_that_reach_one_mailbox_are_one_text(address, reduced):
    assert mailbox(address) == reduced


@given(st.text(min_size=1, max_size=30), st.text(max_size=30))
def test_reducing_twice_is_reducing_once(name, domain):
    once = mailbox(f"{name}@{domain}")
    assert mailbox(once) == once
