"""What a buyer is told for each code."""

import pytest

from checkout.core.taps import Code, refusal


@pytest.mark.parametrize(
    ("code", "error"),
    [
        (Code.SOLD_OUT, "sold_out"),
        (Code.OVER_LIMIT, "limit_reached"),
        (Code.CLOSED, "sales_closed"),
        (Code.MISMATCH, "idempotency_mismatch"),
    ],
)
def test_a_refusal_is_an_error_of_the_family(code, error):
    assert refusal(code).code == error


@pytest.mark.parametrize("code", [Code.HELD, Code.KNOWN, Code.OFF_SHELF, Code.FENCED])
def test_the_others_go_on(code):
    assert refusal(code) is None
