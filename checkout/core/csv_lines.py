"""Lines of CSV that any program reads and no spreadsheet runs (RFC 4180).

Owns: quoting, and the guard against formulas.
Invariant: a text never begins with what a spreadsheet takes for a formula; a number is never guarded.
"""

from collections.abc import Iterable

FORMULAS = ("=", "+", "-", "@", "\t", "\r", "\n")
_QUOTED = frozenset(',"\r\n')


def guarded(text: str) -> str:
    """A text that somebody else chose, with an apostrophe before what would be a formula (OWASP, CSV injection)."""
    return f"'{text}" if text.lstrip(" ").startswith(FORMULAS) else text


def line(fields: Iterable[object]) -> str:
    """One line with its end. Texts are guarded, numbers and Decimals stand as they are, None is empty."""
    return ",".join(_field(field) for field in fields) + "\r\n"


def _field(field: object) -> str:
    if field is None:
        return ""
    text = guarded(field) if isinstance(field, str) else str(field)
    return '"' + text.replace('"', '""') + '"' if _QUOTED.intersection(text) else text
