"""Who acts: roles, the bearer of a token, and the member behind a socket."""

from enum import StrEnum
from typing import Annotated

from msgspec import Meta, Struct

from schema.ids import AccountId, ShowId


class Role(StrEnum):
    """What a token allows. Each may do whatever those before it may, but for the analyst, who stands aside."""

    ANALYST = "analyst"
    """Reads what is sold and how the show fares, watches, and changes nothing: no pin, no message, no purchase."""
    VIEWER = "viewer"
    MODERATOR = "moderator"
    """Keeps the chat in order, and changes nothing else."""
    HOST = "host"
    OPERATOR = "operator"
    ADMIN = "admin"
    """Also hands out the tokens of the others."""

    def covers(self, needed: "Role") -> bool:
        """True if a bearer of this role may do what `needed` may."""
        if Role.ANALYST in {self, needed}:
            return self is needed
        return _RANK[self] >= _RANK[needed]


_RANK = {role: rank for rank, role in enumerate(Role)}


class Principal(Struct, frozen=True, kw_only=True):
    """The bearer of a verified token."""

    account_id: AccountId
    role: Role
    name: str
    show_id: ShowId | None = None
    """The one show the token is for; None: every show."""
    network: str = ""
    """Of a guest, a stand-in for the network they joined from; "": of nobody else, nor where it would say nothing."""


class TokenRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Give somebody of the staff access."""

    role: Role
    name: Annotated[str, Meta(min_length=1, max_length=100)]
    """As the chat and the audit log call them."""
    show_id: ShowId | None = None
    """The one show; None: every show."""
    hours: Annotated[float, Meta(gt=0, le=24 * 31)] = 12


class StaffToken(Struct, frozen=True, kw_only=True):
    """Somebody's access. The token cannot be taken back before its time."""

    account_id: AccountId
    token: str
    role: Role
    name: str
    show_id: ShowId | None
    expires_at_ms: int


class GuestRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a guest may say of themselves on joining."""

    name: str = ""


class Guest(Struct, frozen=True, kw_only=True):
    """A guest has joined: their account, its token, and a ticket that opens one socket once within 30 s."""

    viewer_id: AccountId
    viewer_token: str
    ticket: str
    name: str
    expires_at_ms: int


class Ticket(Struct, frozen=True, kw_only=True):
    """Opens one socket, once, within 30 s."""

    ticket: str
    expires_at_ms: int
