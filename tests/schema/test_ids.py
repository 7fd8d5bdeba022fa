from hypothesis import given
from hypothesis import strategies as st

from schema.ids import new_id, ulid


def test_the_published_example_of_the_ulid_specification_encodes_alike():
    # The README of github.com/ulid/javascript: ulid(1469918176385) is 01ARYZ6S41 and then the random part.
    assert ulid(1469918176385, 0) == "01aryz6s410000000000000000"


@given(st.integers(0, (1 << 48) - 1), st.integers(0, (1 << 80) - 1))
def test_an_id_is_its_128_bits_in_digits_of_five(now_ms, entropy):
    value = 0
    for digit in ulid(now_ms, entropy):
        value = value << 5 | "0123456789abcdefghjkmnpqrstvwxyz".index(digit)
    assert value == now_ms << 80 | entropy


@given(st.integers(0, (1 << 48) - 2), st.integers(0, (1 << 80) - 1), st.integers(0, (1 << 80) - 1))
def test_an_id_born_later_sorts_later(now_ms, one, other):
    assert ulid(now_ms, one) < ulid(now_ms + 1, other)
    assert len(ulid(now_ms, one)) == 26


def test_ids_carry_their_prefix_and_do_not_repeat():
    ids = {new_id("hold") for _ in range(1000)}
    assert len(ids) == 1000
    assert all(i.startswith("hold_") for i in ids)
