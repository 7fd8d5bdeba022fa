"""The history checker finds each thing that must never happen, and nothing in a history without one."""

from dataclasses import replace

import pytest
from faults.judge import Found, Told, judge

HOLD = {
    "hold_id": "h1", "variant_id": "pot", "buyer_id": "ann", "quantity": 1, "state": "sold", "returned": False,
    "held_until_ms": 900, "order_id": "o1",
}  # fmt: skip
ORDER = {
    "order_id": "o1", "hold_id": "h1", "payment_id": "p1", "buyer_id": "ann", "total": 50, "refunded": 0,
    "state": "captured",
}  # fmt: skip
PAYMENT = {"payment_id": "p1", "hold_id": "h1", "state": "captured"}
CHARGE = {
    "payment_id": "p1", "reference": "h1", "state": "captured", "amount": 50, "captured": 50, "captures": 1,
    "refunded": 0,
}  # fmt: skip
TOLD = [
    Told(op="hold", who="ann", key="k1", status=201, variant_id="pot", hold_id="h1", quantity=1, expires_at_ms=900),
    Told(op="pay", who="ann", key="k2", status=200, hold_id="h1", order_id="o1", amount=50),
]


def found(**changes) -> Found:
    base = {
        "now_ms": 1000, "holds": [HOLD], "orders": [ORDER], "payments": [PAYMENT], "refunds": [], "restocks": [],
        "charges": [CHARGE], "opening": {"pot": 1}, "limit": 2,
    }  # fmt: skip
    return Found(**(base | changes))


def findings(told=TOLD, **changes) -> set[str]:
    return set(judge(told, found(**changes)).findings)


def test_a_sale_that_went_well_has_no_findings():
    assert findings() == set()


def test_a_second_unit_out_of_one_is_oversold():
    assert "oversold" in findings(holds=[HOLD, HOLD | {"hold_id": "h2", "state": "held", "order_id": None}])


def test_a_unit_that_was_delivered_meanwhile_is_not_oversold():
    holds = [HOLD, HOLD | {"hold_id": "h2", "state": "held", "held_until_ms": 5000, "buyer_id": "bob"}]
    assert findings(holds=holds, restocks=[{"variant_id": "pot", "units": 1}]) == set()


LOST = {
    "it is not there": {"holds": []},
    "it is another's": {"holds": [HOLD | {"buyer_id": "bob"}]},
    "it was released by nobody": {"holds": [HOLD | {"state": "released"}], "orders": [], "charges": []},
    "it expired too early": {
        "holds": [HOLD | {"state": "expired", "held_until_ms": 2000}], "orders": [], "charges": []
    },
    "it expired while it was being paid for": {
        "holds": [HOLD | {"state": "expired"}], "charges": [CHARGE | {"state": "pending", "captured": 0}]
    },
    "it was sold without an order": {"orders": [], "charges": []},
}  # fmt: skip


@pytest.mark.parametrize("case", LOST)
def test_an_acknowledged_hold_is_lost_if(case):
    assert "lost" in findings(told=TOLD[:1], **LOST[case])


def test_an_order_that_was_told_and_is_not_there_is_lost():
    assert "lost" in findings(orders=[], charges=[])


def test_a_hold_that_its_buyer_gave_back_is_not_lost():
    told = [TOLD[0], Told(op="release", who="ann", key="", status=204, hold_id="h1")]
    assert findings(told=told, holds=[HOLD | {"state": "released"}], orders=[], payments=[], charges=[]) == set()


def test_a_hold_whose_payment_was_cancelled_before_it_reached_the_provider_is_not_lost():
    charge = CHARGE | {"reference": "", "state": "cancelled", "captured": 0, "captures": 0}
    assert findings(told=TOLD[:1], holds=[HOLD | {"state": "released"}], orders=[], charges=[charge]) == set()


def test_a_payment_that_was_authorized_for_a_hold_that_had_gone_is_a_loss():
    payment, charge = PAYMENT | {"state": "cancelled"}, CHARGE | {"state": "cancelled", "captured": 0, "captures": 0}
    assert "lost" in findings(
        told=[], holds=[HOLD | {"state": "expired"}], orders=[], payments=[payment], charges=[charge]
    )


def test_two_holds_for_one_key_are_a_duplicate():
    assert "duplicate" in findings(told=[*TOLD, replace(TOLD[0], hold_id="h2")])


def test_two_orders_for_one_hold_are_a_duplicate():
    assert "duplicate" in findings(orders=[ORDER, ORDER | {"order_id": "o2", "payment_id": "p2"}])


def test_two_orders_told_for_one_key_are_a_duplicate():
    assert "duplicate" in findings(told=[*TOLD, replace(TOLD[1], order_id="o2")])


def test_money_taken_without_an_order_is_found():
    assert "charged_without_order" in findings(charges=[CHARGE, CHARGE | {"payment_id": "p2", "reference": "h2"}])


def test_money_that_stays_reserved_without_an_order_is_found():
    left = CHARGE | {"payment_id": "p2", "reference": "h2", "state": "authorized", "captured": 0, "captures": 0}
    assert "charged_without_order" in findings(charges=[CHARGE, left])


def test_money_that_stays_reserved_for_a_cancelled_order_is_found():
    held = CHARGE | {"state": "authorized", "captured": 0, "captures": 0}
    assert "charged_without_order" in findings(orders=[ORDER | {"state": "cancelled"}], charges=[held])


def test_a_cancelled_order_whose_money_was_given_back_is_right():
    assert findings(orders=[ORDER | {"state": "cancelled"}], charges=[CHARGE | {"refunded": 50}]) == set()


@pytest.mark.parametrize("twice", [[CHARGE | {"captures": 2}], [CHARGE, CHARGE | {"payment_id": "p2"}]])
def test_money_taken_twice_is_found(twice):
    assert "charged_twice" in findings(charges=twice)


@pytest.mark.parametrize("apart", [{"captured": 49}, {"refunded": 10}, {"captured": 0, "captures": 0}])
def test_a_provider_who_moved_another_sum_is_found(apart):
    assert "money" in findings(charges=[CHARGE | apart])


def test_both_holds_of_a_basket_are_paid_for_by_its_one_payment():
    wished = [*TOLD, replace(TOLD[0], key="k3", hold_id="h2")]
    both = {"told": wished, "holds": [HOLD, HOLD | {"hold_id": "h2"}], "opening": {"pot": 2}}
    lines = [{"payment_id": "p1", "hold_id": "h1"}, {"payment_id": "p1", "hold_id": "h2"}]
    assert findings(**both, lines=lines) == set()
    again = CHARGE | {"payment_id": "p2", "reference": "h2"}
    assert "charged_twice" in findings(**both, lines=lines, charges=[CHARGE, again])


def test_a_buyer_over_the_limit_is_found():
    assert "over_limit" in findings(limit=0)


WAITING = Told(
    op="hold", who="ann", key="k1", status=202, variant_id="pot", hold_id="h1", quantity=1, state="confirming",
    asked_s=1, told_s=2,
)  # fmt: skip
FREE = HOLD | {"state": "held", "held_until_ms": 5000, "order_id": None, "created_at_ms": 200}
NOTHING = {"holds": [], "orders": [], "payments": [], "charges": []}


def test_who_was_told_to_wait_and_has_it_has_lost_nothing():
    assert findings(told=[WAITING], **(NOTHING | {"holds": [FREE]})) == set()


def test_who_was_told_to_wait_and_heard_nothing_more_has_lost_it():
    assert "lost" in findings(told=[WAITING], **NOTHING)
    assert "lost" in findings(told=[WAITING, replace(WAITING, op="look", status=404, state="")], **NOTHING)


@pytest.mark.parametrize(
    "no",
    [
        replace(WAITING, op="look", status=200, state="expired"),
        replace(WAITING, op="release", status=204, state=""),
        replace(WAITING, status=409, code="sold_out", state="", hold_id=""),
        replace(WAITING, op="look", status=404, state="", told_s=WAITING.told_s + 200),
    ],
)
def test_who_was_told_to_wait_and_then_no_has_lost_nothing(no):
    assert findings(told=[WAITING, no], **NOTHING) == set()


def test_what_was_told_to_be_over_is_not_held():
    told = [WAITING, replace(WAITING, op="look", status=200, state="expired")]
    assert "lost" in findings(told=told, **(NOTHING | {"holds": [FREE]}))


def test_what_its_buyer_gave_back_while_it_was_being_confirmed_is_not_held():
    told = [WAITING, replace(WAITING, op="release", status=204, state="")]
    assert findings(told=told, **(NOTHING | {"holds": [FREE]})) == {"lost"}
    assert findings(told=told, **(NOTHING | {"holds": [FREE | {"state": "released"}]})) == set()


def test_who_was_told_to_wait_and_has_something_else_has_lost_it():
    assert "lost" in findings(told=[WAITING], **(NOTHING | {"holds": [FREE | {"quantity": 2}]}))


def test_nobody_who_came_later_is_served_before_somebody_who_waits():
    later = replace(TOLD[0], who="bob", key="k9", hold_id="h9", asked_s=3, told_s=4, expires_at_ms=5000)
    first, second = FREE | {"created_at_ms": 300}, FREE | {"hold_id": "h9", "buyer_id": "bob"}
    both = NOTHING | {"holds": [first, second], "opening": {"pot": 2}}
    assert findings(told=[WAITING, later], one_line=True, **both) == {"overtaken"}
    assert findings(told=[WAITING, later], **both) == set()
    assert findings(told=[WAITING, replace(later, asked_s=1.5)], one_line=True, **both) == set()


def test_a_second_hold_for_one_wish_is_found_also_where_its_buyer_never_heard_of_it():
    twice = [HOLD, HOLD | {"hold_id": "h2", "state": "held", "held_until_ms": 5000, "order_id": None}]
    refused = Told(op="hold", who="ann", key="k5", status=409, code="sold_out")
    assert findings(told=[*TOLD, refused], holds=twice, opening={"pot": 2}) == {"duplicate"}
    unanswered = Told(op="hold", who="ann", key="k5", status=0)
    assert findings(told=[*TOLD, unanswered], holds=twice, opening={"pot": 2}) == set()
    assert findings(told=TOLD, holds=twice, opening={"pot": 2}, offers=frozenset({"h2"})) == set()


def test_an_order_whose_payment_was_declined_is_found():
    declined = CHARGE | {"state": "declined", "captured": 0, "captures": 0}
    assert "money" in findings(orders=[ORDER | {"state": "capture_failed"}], charges=[declined])


SET = {"bundle_id": "set", "bundle_hold_id": "h1", "expires_at_ms": 900}
PARTS = {"parts": {"set": {"pot": 1, "pan": 2}}, "opening": {"pot": 1, "pan": 2}, "limit": 2}
PAN = HOLD | SET | {"hold_id": "h2", "variant_id": "pan", "quantity": 2}


def test_a_bundle_of_which_all_parts_are_sold_is_whole():
    assert findings(holds=[HOLD | SET, PAN], **PARTS) == set()


@pytest.mark.parametrize("pan", [None, PAN | {"quantity": 1}, PAN | {"state": "released", "order_id": None}])
def test_a_bundle_of_which_a_part_is_missing_or_otherwise_is_in_pieces(pan):
    assert "in_pieces" in findings(holds=[HOLD | SET, *([pan] if pan else [])], **PARTS)


def test_a_part_that_is_due_counts_as_ended_like_the_one_that_ended():
    free = {"state": "held", "order_id": None}
    holds = [HOLD | SET | free | {"state": "expired"}, PAN | free]
    nothing = {"told": [], "orders": [], "payments": [], "charges": []}
    assert findings(holds=holds, **nothing, **PARTS) == set()
    assert findings(holds=[holds[0], holds[1] | {"expires_at_ms": 1001}], **nothing, **PARTS) == {"in_pieces"}


COUPON = {"code": "TENTH", "used": 1, "uses": 1, "uses_per_buyer": 1}
USE = {"payment_id": "p1", "code": "TENTH", "buyer_id": "ann", "state": "used"}


def test_a_coupon_that_was_used_once_for_an_order_that_stands_is_right():
    assert findings(coupons=[COUPON], coupon_uses=[USE]) == set()


@pytest.mark.parametrize(
    ("coupon", "use"),
    [
        (COUPON | {"used": 0}, USE),
        (COUPON | {"uses": 0}, USE),
        (COUPON | {"uses_per_buyer": 0}, USE),
        (COUPON, USE | {"state": "returned"}),
        (COUPON, USE | {"state": "reserved"}),
    ],
)
def test_a_coupon_that_was_used_too_often_or_is_counted_wrongly_is_found(coupon, use):
    assert findings(coupons=[coupon], coupon_uses=[use]) == {"coupons"}
