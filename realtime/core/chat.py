"""What may be said, by whom, and how often.

Owns: nothing; these are decisions about values.
Invariant: an accepted text has 1 to `CHAT_MAX_CHARS` characters and no control characters but line feeds.
"""

import unicodedata
from collections.abc import Mapping
from typing import NamedTuple

from realtime.core.words import has_link, word_filter
from schema.errors import Banned, ChatClosed, Invalid, LinksNotAllowed, MessageBlocked, Muted
from schema.ids import AccountId
from schema.moderation import SanctionKind
from schema.people import Role
from schema.wire import CHAT_MAX_CHARS

# Bidirectional overrides and isolates let one message turn the text of its neighbours around; a zero-width joiner
# (U+200D) stays, because families and flags are spelled with it.
_INVISIBLE = set("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200b\ufeff")


class Ruling(NamedTuple):
    """A sanction as the chat needs it."""

    kind: SanctionKind
    until_ms: int | None
    """None: until it is lifted."""

    def holds(self, now_ms: int) -> bool:
        """True while it is not over."""
        return self.until_ms is None or now_ms < self.until_ms


class Rules(NamedTuple):
    """What the staff of a show decided about its chat."""

    is_open: bool = True
    """False: the operator has paused the chat."""
    slow_mode_ms: int = 0
    """Least time between two messages of one viewer; 0: off."""
    links_from: Role = Role.VIEWER
    languages: tuple[str, ...] = ()
    blocked: tuple[str, ...] = ()
    allowed: tuple[str, ...] = ()
    sanctions: Mapping[AccountId, Ruling] = {}

    def ruling(self, account: AccountId, role: Role, now_ms: int) -> Ruling | None:
        """What holds for an account now; the staff are above it."""
        found = self.sanctions.get(account)
        return found if found and found.holds(now_ms) and not role.covers(Role.MODERATOR) else None


def may_speak(ruling: Ruling | None, now_ms: int) -> None:
    """Raises Muted or Banned."""
    if ruling is None or ruling.kind is SanctionKind.SHADOW_BAN:
        return
    if ruling.kind is SanctionKind.BAN:
        raise Banned
    raise Muted(retry_after_ms=None if ruling.until_ms is None else ruling.until_ms - now_ms)


def is_open_to(role: Role, rules: Rules) -> None:
    """Raises ChatClosed; the staff may go on, to say what is the matter."""
    if not rules.is_open and not role.covers(Role.MODERATOR):
        raise ChatClosed


def may_be_said(text: str, role: Role, rules: Rules) -> None:
    """Raises MessageBlocked or LinksNotAllowed; what the staff say is theirs to answer for."""
    if not role.covers(rules.links_from) and has_link(text):
        raise LinksNotAllowed
    if role.covers(Role.MODERATOR):
        return
    word = word_filter(rules.languages, rules.blocked, rules.allowed).finds(text)
    if word is not None:
        raise MessageBlocked(pointer="/text")


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
    """True if slow mode holds for this role: the staff answer as fast as they are asked."""
    return slow_mode_ms > 0 and not role.covers(Role.MODERATOR)
