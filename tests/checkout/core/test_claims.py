"""The grammar of buying by comment."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from checkout.core.claims import Claim, Named, Unclear, Unknown, read, wants
from schema.ids import VariantId

SHELF = (
    Named(VariantId("spice-set"), "Spice set", number=1),
    Named(VariantId("knife"), "Chef's knife", number=2),
    Named(VariantId("pot-red"), "Cast iron pot", "red", 3),
    Named(VariantId("pot-blue"), "Cast iron pot", "blue", 4),
    Named(VariantId("apron"), "Linen apron", number=5),
    Named(VariantId("pot-and-apron"), "Red pot and apron"),
)
POTS = ("pot-red", "pot-blue", "pot-and-apron")


def claimed(text: str) -> tuple[str, int]:
    found = read(text, SHELF)
    assert isinstance(found, Claim), found
    return found.item.variant_id, found.quantity


@pytest.mark.parametrize(
    ("text", "variant", "quantity"),
    [
        ("BUY POT BLUE 2", "pot-blue", 2),
        ("buy blue pot", "pot-blue", 1),
        ("Buy: the Chef\u2019s knife, please!", "knife", 1),
        ("sold 4", "pot-blue", 1),
        ("SOLD #4 x2", "pot-blue", 2),
        ("sold no. 4 2x", "pot-blue", 2),
        ("sold 4 x 3", "pot-blue", 3),
        ("sold 4 3", "pot-blue", 3),
        ("buy 2 blue pot", "pot-blue", 2),
        ("buy 2 x apron", "apron", 2),
        ("buy apron", "apron", 1),  # its code, though the bundle has the word too
        ("buy red pot", "pot-red", 1),
        ("buy red pot and apron", "pot-and-apron", 1),
        ("buy pot-and-apron 1", "pot-and-apron", 1),
        ("\uff22\uff35\uff39 \uff30\uff2f\uff34 \uff22\uff2c\uff35\uff25 \uff12", "pot-blue", 2),  # full width
        ("buy \u00d72 knife", "knife", 2),
        ("b\u200buy knife", "knife", 1),
        ("buy kn\u00edfe", "knife", 1),
    ],
)
def test_what_names_one_item_claims_it(text, variant, quantity):
    assert claimed(text) == (variant, quantity)


def test_where_several_are_called_so_nothing_is_claimed_and_they_are_listed():
    found = read("buy pot 2", SHELF)
    assert isinstance(found, Unclear)
    assert tuple(one.variant_id for one in found.choices) == POTS


@pytest.mark.parametrize("text", ["sold 99", "sold 99 2", "buy lamp", "buy a green pot", "sold 0"])
def test_what_is_not_in_the_show_is_said_to_be_unknown(text):
    assert isinstance(read(text, SHELF), Unknown)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "buy",
        "sold",
        "sold out?",
        "sold out already",
        "I want to buy a pot",
        "buying the pot",
        "buy yourself something nice for once in your life",
        "pot blue 2",
        "the pot is sold",
    ],
)
def test_talk_is_talk(text):
    assert read(text, SHELF) is None


def test_a_number_in_a_name_is_a_name_before_it_is_a_quantity():
    shelf = (Named(VariantId("p15"), "Phone 15", number=1), Named(VariantId("p16"), "Phone 16", number=2))
    assert read("buy phone 15", shelf) == Claim(shelf[0], 1)
    assert read("buy phone 15 2", shelf) == Claim(shelf[0], 2)
    assert isinstance(read("buy phone 3", shelf), Unclear)


def test_a_number_that_is_another_items_code_is_unclear():
    shelf = (Named(VariantId("a"), "Lamp", number=12), Named(VariantId("12"), "Vase", number=3))
    assert isinstance(read("sold 12", shelf), Unclear)


noise = st.text(alphabet=" \t!?.,:;-#*\"'()\u2026", max_size=3)
items = st.sampled_from([item for item in SHELF if item.number])
widths = str.maketrans({one: chr(ord(one) + 0xFEE0) for one in string.ascii_letters + string.digits})


@given(
    item=items,
    quantity=st.integers(1, 99),
    verb=st.sampled_from(["buy", "sold"]),
    by=st.sampled_from(["number", "code", "name"]),
    upper=st.booleans(),
    wide=st.booleans(),
    before=noise,
    between=noise,
    after=noise,
)
def test_every_way_to_write_a_claim_is_the_same_claim(item, quantity, verb, by, upper, wide, before, between, after):
    what = {"number": f"{item.number}", "code": item.variant_id, "name": f"{item.title} {item.option}"}[by]
    text = f"{before}{verb} {between}{what} {quantity}{after}"
    text = text.upper() if upper else text
    text = text.translate(widths) if wide else text
    assert read(text, SHELF) == Claim(item, quantity)
    assert wants(text)


@given(text=st.text(max_size=80), start=st.sampled_from(["", "buy ", "sold "]))
def test_whatever_is_said_has_one_answer_and_a_claim_is_of_the_shelf(text, start):
    said = start + text
    found = read(said, SHELF)
    if isinstance(found, Claim):
        assert found.item in SHELF
        assert 1 <= found.quantity <= 9999
    elif isinstance(found, Unclear):
        assert len(found.choices) > 1
    if found is not None:
        assert wants(said)


@given(st.permutations(["cast", "iron", "pot", "blue"]))
def test_the_order_of_words_does_not_count(words):
    assert claimed(f"buy {' '.join(words)}") == ("pot-blue", 1)
