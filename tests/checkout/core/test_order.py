"""An order's life and the arithmetic of refunds."""

import asyncpg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from checkout.core.order import TERMINAL, TRANSITIONS, cancel, refund
from schema.errors import Conflict
from schema.order import OrderState

EVERY_MOVE = [(before, after) for before in OrderState for after in OrderState if before != after]


def test_what_is_refunded_or_never_captured_is_final():
    assert {OrderState.REFUNDED, OrderState.CAPTURE_FAILED, OrderState.CANCELLED} == TERMINAL


@pytest.mark.parametrize("state", [OrderState.PAID, *sorted(TERMINAL)])
def test_only_captured_money_can_be_given_back(state):
    with pytest.raises(Conflict):
        refund(state, total=100, refunded=0, quantity=1, amount=1)


@pytest.mark.parametrize("state", sorted(set(OrderState) - {OrderState.PAID}))
def test_only_money_that_was_not_taken_can_be_left_alone(state):
    assert cancel(OrderState.PAID) is OrderState.CANCELLED
    with pytest.raises(Conflict) as refused:
        cancel(state)
    assert refused.value.extra == {"order_state": state}


def test_more_than_is_left_is_refused_with_what_is_left():
    with pytest.raises(Conflict) as refused:
        refund(OrderState.PARTIALLY_REFUNDED, total=100, refunded=60, quantity=1, amount=41)
    assert refused.value.extra == {"left": 40}


@given(total=st.integers(0, 10**12), quantity=st.integers(1, 1000), parts=st.lists(st.integers(1, 10**12)))
def test_refunds_never_exceed_the_total_and_return_the_units_once(total, quantity, parts):
    state, refunded, units = OrderState.CAPTURED, 0, 0
    for amount in [*parts, None]:
        try:
            done = refund(state, total=total, refunded=refunded, quantity=quantity, amount=amount)
        except Conflict:
            continue
        state, refunded, units = done.state, refunded + done.amount, units + done.units_returned
        assert refunded <= total
    assert (state, refunded, units) == (OrderState.REFUNDED, total, quantity)


async def test_postgres_allows_the_moves_of_the_table_and_no_other(shop, desk):
    await shop.item(stock=1)
    await shop.captured(await shop.buy("ann"))
    allowed = set()
    for before, after in EVERY_MOVE:
        await shop.pg.execute("ALTER TABLE orders DISABLE TRIGGER orders_move")
        await shop.pg.execute("UPDATE orders SET state = $1", before)
        await shop.pg.execute("ALTER TABLE orders ENABLE TRIGGER orders_move")
        try:
            await shop.pg.execute("UPDATE orders SET state = $1", after)
        except asyncpg.CheckViolationError:
            continue
        allowed.add((before, after))
    # A refund in part of what was refunded in part moves nothing.
    assert allowed == {(before, after) for (before, _), after in TRANSITIONS.items() if before != after}
