"""Guests: people who watch without an account of their own.

Owns: how a guest comes to be. Invariant: a guest's token is for one show, and its name is safe to show.
"""

import secrets
import time

import structlog

from live.auth import GUEST_TTL_S, Tokens
from live.core.names import clean_name, friendly_name
from live.tickets import Tickets
from schema.errors import Unavailable
from schema.ids import AccountId, ShowId, new_id
from schema.people import Guest, Principal, Role

log = structlog.get_logger()


class Guests:
    """Lets guests in."""

    def __init__(self, tokens: Tokens, tickets: Tickets) -> None:
        self._tokens = tokens
        self._tickets = tickets

    async def join(self, show: ShowId, name: str) -> Guest:
        """A new account with its token and a first ticket. The caller has made sure that the show exists.

        With Redis away the ticket is empty: no socket would open, but video and purchases go on without one.
        """
        principal = Principal(
            account_id=AccountId(new_id("guest")),
            role=Role.VIEWER,
            name=clean_name(name) or friendly_name(secrets.randbits(24)),
            show_id=show,
        )
        return Guest(
            viewer_id=principal.account_id,
            viewer_token=self._tokens.issue(principal, GUEST_TTL_S),
            ticket=await self._first_ticket(principal, show),
            name=principal.name,
            expires_at_ms=time.time_ns() // 1_000_000 + GUEST_TTL_S * 1000,
        )

    async def _first_ticket(self, principal: Principal, show: ShowId) -> str:
        try:
            return (await self._tickets.issue(principal, show)).ticket
        except Unavailable:
            log.warning("guest_without_ticket", show=show)
            return ""
