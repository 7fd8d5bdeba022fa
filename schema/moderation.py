"""What the staff decide about a show's chat: sanctions, rules, the message on top."""

from enum import StrEnum
from typing import Annotated, Literal

from msgspec import Meta, Struct, field

from schema.ids import AccountId
from schema.people import Role

DAY_S = 86_400
WORDS_MAX = 500

Language = Literal[
    "arabic", "chinese", "czech", "danish", "dutch", "english", "esperanto", "finnish", "french", "german", "hindi",
    "hungarian", "italian", "japanese", "korean", "norwegian", "persian", "polish", "portuguese", "russian", "spanish",
    "swedish", "thai", "turkish",
]  # fmt: skip
"""Whose lists of rude words there are."""

Word = Annotated[str, Meta(min_length=1, max_length=60)]


class SanctionKind(StrEnum):
    """What somebody may no longer do."""

    MUTE = "mute"
    """Reads, and cannot write."""
    SHADOW_BAN = "shadow_ban"
    """Writes, and is not told that nobody else reads it."""
    BAN = "ban"
    """Is sent out of the show's room and its video, and not let in again. Orders and holds stay."""


class Sanction(Struct, frozen=True, kw_only=True):
    """Somebody's sanction in one show."""

    account_id: AccountId
    name: str
    kind: SanctionKind
    until_ms: int | None
    """None: until it is lifted."""
    reason: str
    by: AccountId
    at_ms: int


class SanctionPage(Struct, frozen=True, kw_only=True):
    """Who is sanctioned in a show, the latest first."""

    items: list[Sanction]
    next_cursor: str | None = None


class SanctionRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of `PUT /api/v1/shows/{show}/sanctions/{account}`."""

    kind: SanctionKind
    duration_s: Annotated[int, Meta(ge=1, le=365 * DAY_S)] | None = None
    """None: until it is lifted."""
    name: Annotated[str, Meta(max_length=100)] = ""
    """What the person is called, for the list."""
    reason: Annotated[str, Meta(max_length=500)] = ""
    take_down: bool = False
    """True: also take down what the person said lately."""


class ChatRules(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What may be said in a show. The body and the answer of `PUT /api/v1/shows/{show}/chat/rules`."""

    links_from: Role = Role.MODERATOR
    """The least role that may post links."""
    languages: Annotated[list[Language], Meta(max_length=24)] = field(default_factory=lambda: ["english"])
    """Whose lists of rude words count; none: only `blocked`."""
    blocked: Annotated[list[Word], Meta(max_length=WORDS_MAX)] = []
    """The shop's own words and phrases; found however they are spelled: case, width, look-alikes, separators."""
    allowed: Annotated[list[Word], Meta(max_length=WORDS_MAX)] = []
    """Words that are none of those, whatever a list says."""


class ChatPinRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of `PUT /api/v1/shows/{show}/chat/pinned`: one of the last messages still up."""

    message_id: Annotated[str, Meta(max_length=64)]
