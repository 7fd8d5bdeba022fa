import msgspec
import pytest

from schema.money import Money


def test_money_multiplies_in_minor_units():
    assert Money(amount=1899, currency="EUR").times(3) == Money(amount=5697, currency="EUR")


def test_a_currency_is_three_capital_letters():
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(b'{"amount": 1, "currency": "euro"}', type=Money)


def test_an_amount_is_never_a_float():
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(b'{"amount": 1.5, "currency": "EUR"}', type=Money)
