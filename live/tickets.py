"""Tickets: what opens one socket, once, within 30 seconds.

A browser cannot put a header on a WebSocket, and a token in an address ends up in logs and histories. So the page
buys a ticket with its token and spends it at once.

Owns: the tickets that are out, in Redis under their hash: whoever reads the store cannot open a socket.
Invariant: a ticket opens at most one socket (GETDEL is atomic), and only in the show it was issued for.
"""

import hashlib
import secrets
import time

import msgspec
from redis.exceptions import RedisError

from live.pipeline import Commands
from schema.errors import Unauthenticated, Unavailable
from schema.ids import ShowId
from schema.people import Principal, Ticket

TICKET_TTL_S = 30
TICKET_MAX_CHARS = 64

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Principal)


class Tickets:
    """Issues tickets, and redeems them at the door of the socket."""

    def __init__(self, redis: Commands, ttl_s: float = TICKET_TTL_S) -> None:
        self._redis = redis
        self._ttl_ms = int(ttl_s * 1000)

    async def issue(self, principal: Principal, show: ShowId) -> Ticket:
        """A fresh ticket of 256 random bits. Raises Unavailable without Redis."""
        ticket = secrets.token_urlsafe(32)
        expires_at_ms = time.time_ns() // 1_000_000 + self._ttl_ms
        try:
            await self._redis.execute_command("SET", _key(show, ticket), _encoder.encode(principal), "PX", self._ttl_ms)
        except (RedisError, OSError) as error:
            raise Unavailable("Tickets cannot be issued right now", retry_after_ms=1000) from error
        return Ticket(ticket=ticket, expires_at_ms=expires_at_ms)

    async def redeem(self, ticket: str, show: ShowId) -> Principal:
        """Whoever bought `ticket`, which is thereby spent. Raises Unauthenticated, or Unavailable without Redis."""
        if not 0 < len(ticket) <= TICKET_MAX_CHARS:
            raise Unauthenticated("A ticket is needed")
        try:
            held = await self._redis.execute_command("GETDEL", _key(show, ticket))
        except (RedisError, OSError) as error:
            raise Unavailable("Tickets cannot be redeemed right now", retry_after_ms=1000) from error
        if not isinstance(held, bytes):
            raise Unauthenticated("The ticket is spent, expired, or for another show")
        return _decoder.decode(held)


def _key(show: ShowId, ticket: str) -> str:
    return f"sf:{{{show}}}:ticket:{hashlib.sha256(ticket.encode()).hexdigest()}"
