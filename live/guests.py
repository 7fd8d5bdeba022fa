"""Guests: people who watch without an account of their own.

Owns: how a guest comes to be. Invariant: a guest's token is for one show, and its name is safe to show.
"""

import secrets
import time

from live.auth import GUEST_TTL_S, Tokens
from live.core.names import clean_name, friendly_name
from live.tickets import Tickets
from schema.ids import AccountId, ShowId, new_id
from schema.people import Guest, Principal, Role


class Guests:
    """Lets guests in."""

    def __init__(self, tokens: Tokens, tickets: Tickets) -> None:
        self._tokens = tokens
        self._tickets = tickets

    async def join(self, show: ShowId, name: str) -> Guest:
        """A new account with its token and a first ticket. The caller has made sure that the show exists."""
        principal = Principal(
            account_id=AccountId(new_id("guest")),
            role=Role.VIEWER,
            name=clean_name(name) or friendly_name(secrets.randbits(24)),
            show_id=show,
        )
        ticket = await self._tickets.issue(principal, show)
        return Guest(
            viewer_id=principal.account_id,
            viewer_token=self._tokens.issue(principal, GUEST_TTL_S),
            ticket=ticket.ticket,
            name=principal.name,
            expires_at_ms=time.time_ns() // 1_000_000 + GUEST_TTL_S * 1000,
        )
