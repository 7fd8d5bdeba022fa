"""Guests: people who watch without an account of their own.

Owns: how a guest comes to be. Invariant: a guest's token is for one show, and its name is safe to show.
"""

import ipaddress
import secrets
import time

import structlog

from live.auth import GUEST_TTL_S, Tokens
from live.core.names import clean_name, friendly_name
from live.limits import network_of
from live.tickets import Tickets
from schema.errors import Unavailable
from schema.ids import AccountId, ShowId, new_id
from schema.people import Guest, Principal, Role

log = structlog.get_logger()


class Guests:
    """Lets guests in."""

    def __init__(self, tokens: Tokens, tickets: Tickets, *, load: bool = False) -> None:
        """`load`: one machine plays many viewers, so that its address says nothing."""
        self._tokens = tokens
        self._tickets = tickets
        self._load = load

    async def join(self, show: ShowId, name: str, address: str = "") -> Guest:
        """A new account with its token and a first ticket. The caller has made sure that the show exists.

        `address` is where the guest comes from: guests of one network share what they may hold unpaid.
        With Redis away the ticket is empty: no socket would open, but video and purchases go on without one.
        """
        principal = Principal(
            account_id=AccountId(new_id("guest")),
            role=Role.VIEWER,
            name=clean_name(name) or friendly_name(secrets.randbits(24)),
            show_id=show,
            network="" if self._load else self._network(address),
        )
        return Guest(
            viewer_id=principal.account_id,
            viewer_token=self._tokens.issue(principal, GUEST_TTL_S),
            ticket=await self._first_ticket(principal, show),
            name=principal.name,
            expires_at_ms=time.time_ns() // 1_000_000 + GUEST_TTL_S * 1000,
        )

    def _network(self, address: str) -> str:
        """A stand-in for the network; "" for an address inside: that is a proxy that nobody named, or this machine."""
        try:
            parsed = ipaddress.ip_address(address)
        except ValueError:
            return ""
        outside = (getattr(parsed, "ipv4_mapped", None) or parsed).is_global
        return self._tokens.mark(network_of(address)) if outside else ""

    async def _first_ticket(self, principal: Principal, show: ShowId) -> str:
        try:
            return (await self._tickets.issue(principal, show)).ticket
        except Unavailable:
            log.warning("guest_without_ticket", show=show)
            return ""
