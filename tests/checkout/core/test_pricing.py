"""What a basket costs: exact examples, and sums that hold for every basket."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from checkout.core.pricing import (
    Off,
    Rate,
    apportion,
    contained_tax,
    discount,
    half_up,
    price,
    shipping,
)

AMOUNTS = st.integers(0, 10**9)
GOODS = st.lists(AMOUNTS, min_size=1, max_size=8)
OFF = st.one_of(
    st.none(),
    st.builds(Off, percent_bp=st.integers(1, 10_000)),
    st.builds(Off, amount=st.integers(1, 10**9)),
)
RATES = st.one_of(st.none(), st.builds(Rate, amount=AMOUNTS, free_from=st.one_of(st.none(), AMOUNTS)))


@pytest.mark.parametrize(
    ("top", "bottom", "rounded"), [(1, 2, 1), (1, 3, 0), (2, 3, 1), (3, 2, 2), (5, 2, 3), (4, 2, 2)]
)
def test_a_half_is_rounded_up(top, bottom, rounded):
    assert half_up(top, bottom) == rounded


def test_the_tax_is_the_part_of_the_total_that_contains_it():
    assert contained_tax(11_900, 1_900) == 1_900
    assert contained_tax(4_900, 1_900) == 782  # 782.35
    assert contained_tax(4_900, 0) == 0


def test_a_coupon_takes_off_a_share_or_an_amount_but_never_more_than_the_goods_cost():
    assert discount(7_300, Off(percent_bp=1_500)) == 1_095
    assert discount(7_300, Off(amount=500)) == 500
    assert discount(300, Off(amount=500)) == 300
    assert discount(300, None) == 0


def test_shipping_is_free_from_what_is_paid_for_the_goods():
    rate = Rate(amount=490, free_from=5_000)
    assert shipping(4_999, rate) == 490
    assert shipping(5_000, rate) == 0
    assert shipping(5_000, None) == 0


def test_a_basket_of_pot_and_knife_with_everything():
    priced = price([4_900, 3_900], off=Off(percent_bp=1_000), rate=Rate(amount=490), tax_bp=1_900)
    assert (priced.goods, priced.discount, priced.shipping, priced.tax) == (8_800, 880, 490, 1_343)
    assert priced.total == 8_410
    pot, knife = priced.lines
    assert (pot.discount, pot.shipping, pot.tax, pot.total) == (490, 273, 748, 4_683)
    assert (knife.discount, knife.shipping, knife.tax, knife.total) == (390, 217, 595, 3_727)


def test_one_hold_with_nothing_added_costs_its_goods():
    priced = price([4_900])
    assert priced.total == priced.lines[0].total == 4_900
    assert priced.tax == priced.discount == priced.shipping == 0


def test_what_is_free_still_ships_at_its_price():
    priced = price([0, 0], rate=Rate(amount=490))
    assert [line.total for line in priced.lines] == [490, 0]


@given(goods=GOODS, off=OFF, rate=RATES, tax_bp=st.integers(0, 10_000))
def test_lines_plus_shipping_minus_discount_is_the_total_to_the_cent(goods, off, rate, tax_bp):
    priced = price(goods, off=off, rate=rate, tax_bp=tax_bp)
    assert priced.total == sum(goods) - priced.discount + priced.shipping
    assert sum(line.total for line in priced.lines) == priced.total
    assert sum(line.discount for line in priced.lines) == priced.discount
    assert sum(line.shipping for line in priced.lines) == priced.shipping
    assert sum(line.tax for line in priced.lines) == priced.tax
    assert [line.goods for line in priced.lines] == goods


@given(goods=GOODS, off=OFF, rate=RATES, tax_bp=st.integers(0, 10_000))
def test_no_line_is_below_zero_and_none_has_more_off_or_more_tax_than_it_costs(goods, off, rate, tax_bp):
    for line in price(goods, off=off, rate=rate, tax_bp=tax_bp).lines:
        assert 0 <= line.discount <= line.goods
        assert line.shipping >= 0
        assert 0 <= line.tax <= line.total


@given(weights=GOODS, data=st.data())
def test_parts_sum_exactly_and_none_exceeds_its_weight(weights, data):
    amount = data.draw(st.integers(0, sum(weights)))
    parts = apportion(amount, weights)
    assert sum(parts) == amount
    assert all(0 <= part <= weight for part, weight in zip(parts, weights, strict=True))


@given(lefts=GOODS, data=st.data())
def test_refunds_in_parts_never_exceed_what_is_left_and_empty_every_line_in_the_end(lefts, data):
    lefts, given_back = list(lefts), 0
    whole = sum(lefts)
    while sum(lefts):
        amount = data.draw(st.integers(1, sum(lefts)))
        lefts = [left - part for left, part in zip(lefts, apportion(amount, lefts), strict=True)]
        given_back += amount
        assert min(lefts) >= 0
        if data.draw(st.booleans()):
            break
    assert given_back + sum(lefts) == whole
