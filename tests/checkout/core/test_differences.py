"""The provider's record against ours, as a table."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from checkout.core.differences import REMEDIES, Difference, Ours, Remedy, at_stake, compare
from checkout.payments import Payment, PaymentState

D, S = Difference, PaymentState
HERE = {
    "unknown": Ours(state=None),
    "authorizing": Ours(state="authorizing", amount=100),
    "declined": Ours(state="declined", amount=100),
    "cancelled": Ours(state="cancelled", amount=100),
    "capture_failed": Ours(state="capture_failed", amount=100),
    "let go of in vain": Ours(state="authorized", amount=100),
    "paid": Ours(state="authorized", is_owed=True, amount=100),
    "captured": Ours(state="captured", is_owed=True, amount=100),
    "refunded": Ours(state="captured", is_owed=True, amount=100, refunded=100),
}
THERE = {
    "unknown": None,
    "pending": Payment(payment_id="p", state=S.PENDING, amount=100),
    "authorized": Payment(payment_id="p", state=S.AUTHORIZED, amount=100),
    "declined": Payment(payment_id="p", state=S.DECLINED, amount=100),
    "cancelled": Payment(payment_id="p", state=S.CANCELLED, amount=100),
    "captured": Payment(payment_id="p", state=S.CAPTURED, amount=100, captured=100),
    "refunded": Payment(payment_id="p", state=S.CAPTURED, amount=100, captured=100, refunded=100),
}
_ENDED = ["unknown", "declined", "cancelled", "capture_failed", "let go of in vain"]
_GONE = ["unknown", "declined", "cancelled"]
EXPECTED = {
    **{(here, "authorized"): D.STRAY_AUTHORIZATION for here in _ENDED},
    **{(here, "pending"): D.STRAY_AUTHORIZATION for here in _ENDED},
    **{(here, "captured"): D.STRAY_CAPTURE for here in _ENDED},
    **{("paid", there): D.NOT_CAPTURED for there in THERE},
    **{(here, there): D.CAPTURE_MISSING for here in ("captured", "refunded") for there in _GONE},
    **{(here, "authorized"): D.NOT_CAPTURED for here in ("captured", "refunded")},
    ("captured", "refunded"): D.REFUND_UNKNOWN,
    ("refunded", "captured"): D.REFUND_MISSING,
}  # fmt: skip
_NONSENSE = {("captured", "pending"), ("refunded", "pending")}
"""Money that was taken is not undecided again: no provider says so."""


@pytest.mark.parametrize(("here", "there"), sorted({(h, t) for h in HERE for t in THERE} - _NONSENSE))
def test_every_pair_of_states_means_what_the_table_says(here, there):
    assert compare(HERE[here], THERE[there]) == EXPECTED.get((here, there))


@pytest.mark.parametrize("there", THERE)
@pytest.mark.parametrize("here", HERE)
def test_what_is_on_its_way_is_no_difference(here, there):
    ours = HERE[here]
    moving = Ours(state=ours.state, is_owed=ours.is_owed, amount=100, refunded=ours.refunded, is_moving=True)
    assert compare(moving, THERE[there]) is None


def test_another_amount_is_one_and_a_person_has_to_look():
    other = Payment(payment_id="p", state=S.CAPTURED, amount=100, captured=99)
    assert compare(HERE["captured"], other) is D.OTHER_AMOUNT
    assert REMEDIES[D.OTHER_AMOUNT] is Remedy.OPERATOR


def test_every_difference_has_a_remedy():
    assert set(REMEDIES) == set(Difference)


@given(
    state=st.sampled_from([None, "declined", "cancelled", "capture_failed", "authorized", "captured"]),
    is_owed=st.booleans(),
    there=st.none() | st.builds(
        Payment, payment_id=st.just("p"), state=st.sampled_from(S), amount=st.integers(1, 9),
        captured=st.integers(0, 9), refunded=st.integers(0, 9),
    ),
)  # fmt: skip
def test_money_of_an_order_is_never_let_go_of_and_money_of_none_never_taken(state, is_owed, there):
    kind = compare(Ours(state=state, is_owed=is_owed, amount=5), there)
    if kind is None:
        return
    if is_owed:
        assert REMEDIES[kind] in {Remedy.CAPTURE, Remedy.OPERATOR}
    else:
        assert REMEDIES[kind] in {Remedy.LET_GO, Remedy.GIVE_BACK}


@pytest.mark.parametrize(
    ("here", "there", "amount"),
    [
        ("unknown", "captured", 100),
        ("unknown", "authorized", 100),
        ("refunded", "captured", 100),
        ("paid", "unknown", 100),
    ],
)
def test_how_much_is_at_stake(here, there, amount):
    kind = compare(HERE[here], THERE[there])
    assert at_stake(kind, HERE[here], THERE[there]) == amount
