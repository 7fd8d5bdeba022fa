"""What the staff did: the entries of the audit log."""

from enum import StrEnum
from typing import Any

from msgspec import Struct

from schema.ids import AccountId, ShowId
from schema.people import Role


class Phase(StrEnum):
    """Each act has two entries: what was asked, written before it is done, and how it ended."""

    ASKED = "asked"
    DONE = "done"
    REFUSED = "refused"


class AuditEntry(Struct, frozen=True, kw_only=True):
    """One link of the chain."""

    seq: int
    act_id: str
    """The same for the two entries of one act. A lone `asked`: the process died, and nobody wrote how it ended."""
    phase: Phase
    show_id: ShowId | None
    account_id: AccountId
    role: Role
    name: str
    action: str
    """The operation's name, as `/openapi.json` has it."""
    object: str
    """What it was done to: the path below `/api/v1/`."""
    before: Any = None
    """What was there, where the operation says so."""
    after: Any = None
    """Of `asked`: the request's body. Of `done`: what is there now, where the operation says so. Of `refused`: why."""
    at_ms: int
    hash: str
    """Hex; over this entry and the hash before it."""


class AuditPage(Struct, frozen=True, kw_only=True):
    """One page of the log, newest first."""

    items: list[AuditEntry]
    next_cursor: str | None = None
