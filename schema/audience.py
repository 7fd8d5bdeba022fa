"""What an audience does beside watching, chatting and buying: it reacts, votes, and asks; and what it is announced."""

from enum import StrEnum
from typing import Annotated, Literal

from msgspec import Meta, Struct

from schema.ids import AccountId, AnnouncementId, PollId, QuestionId

DAY_S = 86_400

Reaction = Literal["heart", "clap", "fire", "laugh", "wow"]
REACTIONS_MAX = 20
"""In one command: what was tapped within a moment."""

QUESTION_MAX_CHARS = 200
ANNOUNCEMENT_MAX_CHARS = 200

PollText = Annotated[str, Meta(min_length=1, max_length=120)]
OptionText = Annotated[str, Meta(min_length=1, max_length=60)]


class PollRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Ask the audience."""

    question: PollText
    options: Annotated[list[OptionText], Meta(min_length=2, max_length=6)]
    duration_s: Annotated[int, Meta(ge=5, le=DAY_S)] | None = None
    """None: until it is closed."""
    hide_below: Annotated[int, Meta(ge=0, le=100_000)] = 10
    """With fewer votes than these, viewers see how many there are and not for what."""


class Poll(Struct, frozen=True, kw_only=True):
    """A poll as it stands."""

    poll_id: PollId
    question: str
    options: list[str]
    votes: int
    counts: list[int] | None
    """By option; null: hidden until there are `hide_below` votes."""
    hide_below: int
    opened_at_ms: int
    closes_at_ms: int | None
    closed_at_ms: int | None


class PollPage(Struct, frozen=True, kw_only=True):
    """A show's polls, the newest first."""

    items: list[Poll]


class VoteRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One's vote; another one, while the poll is open, takes its place."""

    option: Annotated[int, Meta(ge=0, le=5)]
    """Which, from 0."""


class QuestionState(StrEnum):
    """Where a question stands."""

    OPEN = "open"
    ANSWERED = "answered"
    DISMISSED = "dismissed"


class AskRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A question to the host."""

    text: Annotated[str, Meta(min_length=1, max_length=2000)]


class AnsweredRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The host answers a question now."""

    captured_at_ms: Annotated[float, Meta(ge=0, le=1e14)] | None = None
    """The moment of the video, on the publishing page's own clock; None: what arrived last."""


class Question(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A question to the host, with how many others want to know."""

    question_id: QuestionId
    account_id: AccountId
    name: str
    text: str
    votes: int
    asked_at_ms: int
    state: QuestionState = QuestionState.OPEN
    answered_at_ms: int | None = None
    captured_at_ms: int | None = None
    """The capture time of the picture in which the answer began, where video was arriving: a replay seeks it."""


class QuestionPage(Struct, frozen=True, kw_only=True):
    """Questions: open ones by votes, answered ones by when."""

    items: list[Question]


class QuestionShown(Struct, frozen=True, kw_only=True):
    """A question of the state key `questions`; its votes stand in `question_votes`."""

    question_id: QuestionId
    name: str
    text: str


class AnnouncementRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Tell everybody who watches, in the place of what was announced before."""

    text: Annotated[str, Meta(min_length=1, max_length=ANNOUNCEMENT_MAX_CHARS)]
    duration_s: Annotated[int, Meta(ge=5, le=DAY_S)] | None = None
    """None: until it is taken away."""


class Announcement(Struct, frozen=True, kw_only=True):
    """What the staff tell everybody."""

    announcement_id: AnnouncementId
    text: str
    at_ms: int
    until_ms: int | None
