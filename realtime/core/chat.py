"""What may be said, and how often.

Owns: nothing; these are decisions about values.
Invariant: an accepted text has 1 to `CHAT_MAX_CHARS` characters and no control characters but line feeds.
"""

import unicodedata

from schema.errors import Invalid
from schema.people import Role
from schema.wire import CHAT_MAX_CHARS

# Bidirectional overrides and isolates let one message turn the text of its neighbours around; a zero-width joiner
# (U+200D) stays, because families and flags are spelled with it.
_INVISIBLE = set("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200b\ufeff")


def clean(text: str) -> str:
    """`text` without control characters and outer blanks. Raises Invalid if nothing is left, or too much."""
    kept = "".join(one for one in text if one == "\n" or not _hidden(one)).strip()
    if not kept:
        raise Invalid("The message is empty", pointer="/text")
    if len(kept) > CHAT_MAX_CHARS:
        raise Invalid(f"A message may have {CHAT_MAX_CHARS} characters; this one has {len(kept)}", pointer="/text")
    return kept


def _hidden(one: str) -> bool:
    # Cc: control. Cs: half a surrogate pair, which cannot be encoded as UTF-8.
    return one in _INVISIBLE or unicodedata.category(one) in {"Cc", "Cs"}


def slowed(role: Role, slow_mode_ms: int) -> bool:
    """True if slow mode holds for this role: hosts and operators answer as fast as they are asked."""
    return slow_mode_ms > 0 and not role.covers(Role.HOST)
