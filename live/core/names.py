"""What people are called: a name somebody typed, made safe to show, or a friendly one for a guest who gave none.

Owns: the words. Reads no randomness: the caller brings a number.
Invariant: a name is 1 to `NAME_MAX_CHARS` characters, with no control, format or line-breaking character in it.
"""

import unicodedata

NAME_MAX_CHARS = 40

_ADJECTIVES = (
    "Amber", "Bold", "Bright", "Calm", "Clever", "Coral", "Cosy", "Eager", "Fair", "Gentle", "Golden", "Happy",
    "Jolly", "Kind", "Lively", "Lucky", "Mellow", "Merry", "Misty", "Noble", "Polite", "Quick", "Quiet", "Rosy",
    "Silver", "Snug", "Sunny", "Swift", "Tidy", "Velvet", "Warm", "Witty",
)  # fmt: skip
_ANIMALS = (
    "Badger", "Beaver", "Bison", "Crane", "Deer", "Dolphin", "Falcon", "Finch", "Fox", "Gecko", "Hare", "Hedgehog",
    "Heron", "Ibex", "Koala", "Lark", "Lemur", "Lynx", "Marten", "Mole", "Otter", "Owl", "Panda", "Puffin",
    "Raven", "Robin", "Seal", "Sparrow", "Swan", "Tern", "Turtle", "Wren",
)  # fmt: skip


def clean_name(typed: str) -> str:
    """`typed` without characters that hide, reorder or break a line (Unicode's C* and Z* save space), trimmed and cut.

    Empty if nothing is left. Characters of the category Cf include the bidirectional overrides.
    """
    seen = "".join(" " if unicodedata.category(mark) in {"Zs", "Zl", "Zp"} else mark for mark in typed)
    seen = "".join(mark for mark in seen if mark == " " or not unicodedata.category(mark).startswith(("C", "Z")))
    return " ".join(seen.split())[:NAME_MAX_CHARS].rstrip()


def friendly_name(number: int) -> str:
    """A name such as "Quiet Otter 42", decided by `number` alone."""
    number, adjective = divmod(number, len(_ADJECTIVES))
    number, animal = divmod(number, len(_ANIMALS))
    return f"{_ADJECTIVES[adjective]} {_ANIMALS[animal]} {number % 90 + 10}"
