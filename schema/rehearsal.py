"""Rehearsing a show before it begins."""

from msgspec import Struct

from schema.ids import ShowId


class RehearsalRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Begin a rehearsal, or end it."""

    on: bool


class Rehearsal(Struct, frozen=True, kw_only=True):
    """A show's rehearsal: a show of its own, which sells for play."""

    show_id: ShowId
    """The show that is rehearsed."""
    rehearsal_id: ShowId | None
    """The show to go live in; null: there is none."""
    token: str | None = None
    """For its pages, of the caller's own role."""
