import hashlib

from hypothesis import given
from hypothesis import strategies as st

from checkout.core.chain import GENESIS, SEPARATOR, link

fields = st.lists(
    st.one_of(st.integers(), st.text(st.characters(exclude_characters=SEPARATOR, codec="utf-8"))), max_size=5
)


def test_a_link_is_the_hash_of_its_predecessor_and_its_fields():
    assert link(GENESIS, ("pot", None, 3)) == hashlib.sha256(bytes(32) + b"pot\x1f\x1f3").digest()


@given(one=fields, other=fields)
def test_two_different_entries_have_different_links(one, other):
    if [str(field) for field in one] != [str(field) for field in other] and len(one) == len(other):
        assert link(GENESIS, one) != link(GENESIS, other)
    assert link(b"\1" * 32, one) != link(GENESIS, one)
