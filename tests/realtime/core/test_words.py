# ruff: noqa: RUF001 - letters that look like others are what this is about
import pytest

from realtime.core.words import has_link, word_filter

SHOP = word_filter(("english",), ("rolexx", "free money"), ("cock au vin", "dick"))


@pytest.mark.parametrize(
    "text",
    [
        "SHIT",
        "you sh1t",
        "ｓｈｉｔ",
        "ѕhіt",  # Cyrillic letters that look the same
        "sh\u200bit",
        "s h i t",
        "s.h.i.t",
        "shiiiiit",
        "ROLEXX",
        "rоlехх now",
        "r o l e x x",
        "FREE \n money",
        "fr33 m0ney",
    ],
)
def test_a_blocked_word_is_found_however_it_is_spelled(text):
    assert SHOP.finds(text) is not None


def test_a_number_is_a_price_unless_the_shop_blocks_it():
    filters = word_filter(("english", "turkish", "dutch"), ("420",), ())
    assert [number for number in range(10, 3000) if filters.finds(f"for {number}") is not None] == [420]
    assert SHOP.finds("455 and a55") is not None


@pytest.mark.parametrize(
    "text",
    [
        "how much is the blue pot?",
        "only 85 euros, was 455",
        "Scunthorpe",
        "a class of assassins",
        "coq au vin",
        "cock au vin",
        "die Pfanne ist dick",
        "feel free, money back",
    ],
)
def test_what_only_looks_like_one_passes(text):
    assert SHOP.finds(text) is None


def test_without_lists_everything_passes():
    assert word_filter((), (), ()).finds("shit") is None


def test_a_shops_word_counts_without_any_language():
    assert word_filter((), ("rolexx",), ()).finds("ro1exx") is not None


@pytest.mark.parametrize(
    "text",
    [
        "https://shop.example/x",
        "HTTP://1.2.3.4",
        "look at www.shop.example",
        "shop.com",
        "go to cheap-pots.shop/now",
        "cheap (dot) com",
        "example.de?x=1",
        "see my.store now",
    ],
)
def test_an_address_is_a_link(text):
    assert has_link(text)


@pytest.mark.parametrize(
    "text",
    ["Is it 4.50?", "Great. It is mine.", "e.g. the red one", "v1.2", "wow...so nice", "yes.", "3.5 l", "a.m."],
)  # fmt: skip
def test_a_sentence_is_not(text):
    assert not has_link(text)
