"""Which texts have a word that may not be said, and which have a link.

Owns: nothing but a bounded cache of filters. The lists and the ways to spell a word in disguise (case, width,
look-alikes, zero-width characters, separators, digits for letters) are the library's; what a shop adds is its own.
Invariant: a word that the shop allows is never found.
"""

import re
from functools import lru_cache
from typing import Any

from glin_profanity import Filter

# A scheme, or a name with a dot and a top-level domain of letters, also as "shop (dot) com". Whoever wants to hide a
# link better than this has to be muted by a person.
_LINK = re.compile(
    r"(?:https?|ftp)://\S|\bwww\s?\.\s?\w|"
    r"\b[\w-]{2,}\s?(?:\.|\(dot\)|\[dot\])\s?(?:[a-z]{2,3}\b|info\b|shop\b|online\b|store\b|club\b|live\b|link\b)(?=[/?#:\s]|[.,!)]|$)",
    re.IGNORECASE,
)
_SENTENCES = re.compile(r"(?<=[a-z])\.\s+(?=\S)")
"""A full stop with a blank after it ends a sentence."""
_BLANKS = re.compile(r"\s+")
_NUMBERS = re.compile(r"(?<!\w)\d{2,}(?!\w)")
"""What stands alone in digits is a price or a size ("only 85"), though the library reads letters in it."""
FILTERS_MAX = 64


class WordFilter:
    """`languages` are those of `schema.moderation.Language`."""

    def __init__(self, languages: tuple[str, ...], blocked: tuple[str, ...], allowed: tuple[str, ...]) -> None:
        options: Any = {
            "languages": list(languages) or ["none"],  # an empty list would mean English
            "custom_words": [_plain(word) for word in blocked],
            "whitelist": [_plain(word) for word in allowed],
            "detect_leetspeak": True,
        }
        self._blocked = frozenset(_plain(word) for word in blocked)
        self._filter = Filter(options)

    def finds(self, text: str) -> str | None:
        """The first word of `text` that may not be said; None: all may."""
        plain = _plain(text)
        found = self._first(plain)
        if found is None or found in self._blocked:
            return found
        return self._first(_NUMBERS.sub(" ", plain))

    def _first(self, text: str) -> str | None:
        words = self._filter.check_profanity(text).get("profane_words")
        return str(words[0]) if words else None


@lru_cache(maxsize=FILTERS_MAX)
def word_filter(languages: tuple[str, ...], blocked: tuple[str, ...], allowed: tuple[str, ...]) -> WordFilter:
    """The filter of these lists; a show's is made once, and anew when its rules change."""
    return WordFilter(languages, blocked, allowed)


def has_link(text: str) -> bool:
    """True if `text` holds an address that somebody could open."""
    return _LINK.search(_SENTENCES.sub(" ", text)) is not None


def _plain(text: str) -> str:
    return _BLANKS.sub(" ", text.strip())
