"""What a comment buys: the one grammar of "BUY POT BLUE 2" and "sold 12".

    claim    = verb what [quantity] | verb quantity what
    verb     = "buy" | "sold"
    what     = number | words          the number or words by which the pages show an item
    quantity = n | "x" n | n "x"       1 where none is said

Case, width, accents and punctuation do not count, nor does the order of words. All words said must be words of the
item (of its title, its option or its code); an item whose words are exactly those said comes before one that has more.
What is said is read in this order, and the first reading that finds anything decides: all of it names the item; its end
is the quantity; its beginning is. So "buy phone 15" is a "Phone 15" where there is one, else fifteen phones.

Reads no clock and does no I/O. Invariant: a claim names one item; where several fit, nothing is claimed.
"""

import re
import unicodedata
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple

from schema.ids import VariantId

VERBS = ("buy", "sold")
CHOICES_MAX = 6
NAMES_MAX = 4096
UNKNOWN_WORDS_MAX = 4
"""Of more words than these, none of which is on sale, somebody made a sentence that begins with "buy"."""

_FILLERS = frozenset({"the", "please", "pls", "thanks"})
_NUMBER_WORDS = frozenset({"no", "nr", "item", "number"})
_QUANTITY = re.compile(r"x(\d{1,4})|(\d{1,4})x?")
_WORD = re.compile(r"[^\W_]+")
_APOSTROPHES = re.compile("['\u2019\u02bc\u2018`\u00b4]")

Words = tuple[str, ...]


class Named(NamedTuple):
    """An item by the names under which the pages show it."""

    variant_id: VariantId
    title: str
    option: str = ""
    number: int | None = None
    """None: it has none (a bundle)."""


class Claim(NamedTuple):
    """So many units of one item."""

    item: Named
    quantity: int


class Unclear(NamedTuple):
    """Several items are called so; the first few of them."""

    choices: tuple[Named, ...]


class Unknown(NamedTuple):
    """Somebody wants what is not in this show."""


def words_of(text: str) -> Words:
    """The words of a text, in their order: without case, width, accents, punctuation and what cannot be seen."""
    folded = unicodedata.normalize("NFKD", unicodedata.normalize("NFKC", text).casefold())
    bare = "".join(mark for mark in folded if unicodedata.category(mark) not in {"Mn", "Cf"})
    return tuple(_WORD.findall(_APOSTROPHES.sub("", bare).replace("\u00d7", "x")))


def wants(text: str) -> bool:
    """True if a comment may be a claim: whoever asks need not look up what is on sale for all others."""
    words = words_of(text)
    return len(words) > 1 and words[0] in VERBS


def read(text: str, shelf: Sequence[Named]) -> Claim | Unclear | Unknown | None:
    """What a comment claims of what is on sale; None: it is talk."""
    verb, *said = words_of(text) or ("",)
    rest = _without_fillers(tuple(said))
    if verb not in VERBS or not rest:
        return None
    for name, quantity in _readings(rest):
        found = _called(name, shelf)
        if len(found) == 1:
            return Claim(found[0], quantity)
        if found:
            return Unclear(tuple(found[:CHOICES_MAX]))
    return Unknown() if _is_a_wish(verb, rest) else None


def _readings(rest: Words) -> Iterator[tuple[Words, int]]:
    yield rest, 1
    for name, quantity in ((rest[:-1], _quantity(rest[-1:])), (rest[:-2], _quantity(rest[-2:]))):
        if name and quantity:
            yield name, quantity
    for name, quantity in ((rest[1:], _quantity(rest[:1])), (rest[2:], _quantity(rest[:2]))):
        # "sold 99 2" where nothing is number 99 is not 99 of number 2.
        if name and quantity and _number(name) is None:
            yield name, quantity


def _quantity(words: Words) -> int:
    """0: it is none. Two words are one if an x stands apart: "x 2", "2 x"."""
    if len(words) == 2 and "x" not in words:
        return 0
    found = _QUANTITY.fullmatch("".join(words))
    return int(found[1] or found[2]) if found else 0


def _called(name: Words, shelf: Sequence[Named]) -> list[Named]:
    wanted = frozenset(name)
    number = _number(name)
    exact = [item for item in shelf if (number is not None and item.number == number) or wanted in _names(item)]
    return exact or [item for item in shelf if wanted <= frozenset().union(*_names(item))]


@lru_cache(maxsize=NAMES_MAX)
def _names(item: Named) -> tuple[frozenset[str], ...]:
    """What is exactly an item's name: its code, or its title and option. A rush asks for the same ones again."""
    texts = (item.variant_id, f"{item.title} {item.option}")
    return tuple(frozenset(_without_fillers(words_of(text))) for text in texts)


def _number(name: Words) -> int | None:
    if len(name) == 2 and name[0] in _NUMBER_WORDS:
        name = name[1:]
    return int(name[0]) if len(name) == 1 and name[0].isdecimal() and len(name[0]) <= 4 else None


def _is_a_wish(verb: str, rest: Words) -> bool:
    """Whether it is no talk: "sold out?" is, and so is a sentence that only begins with "buy"."""
    if verb == "sold":
        return _number(rest[:1]) is not None and len(rest) <= UNKNOWN_WORDS_MAX
    return len(rest) <= UNKNOWN_WORDS_MAX


def _without_fillers(words: Words) -> Words:
    return tuple(word for word in words if word not in _FILLERS)
