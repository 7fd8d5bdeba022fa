"""Tickets: what opens one socket, once, within 30 seconds.

A browser cannot put a header on a WebSocket, and a token in an address ends up in logs and histories. So the page
buys a ticket with its token and spends it at once.

Owns: the tickets that are out, in Redis under their hash: whoever reads the store cannot open a socket.
Invariant: a ticket opens at most one socket (GETDEL is atomic), and only in the show it was issued for.
"""

import hashlib
import secrets
import time
from collections.abc import Sequence
from importlib import resources
from typing import Any

import msgspec
import structlog
from redis.exceptions import NoScriptError, RedisError

from live.pipeline import Commands
from schema.errors import Unavailable
from schema.ids import ShowId
from schema.people import Principal, Ticket

log = structlog.get_logger()

TICKET_TTL_S = 30

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Principal)


class Tickets:
    """Issues tickets, and redeems them at the door of the socket."""

    def __init__(self, redis: Commands, ttl_s: float = TICKET_TTL_S) -> None:
        self._redis = redis
        self._ttl_ms = int(ttl_s * 1000)
        self._script = (resources.files("live") / "lua" / "redeem_many.lua").read_bytes()
        self._sha = hashlib.sha1(self._script, usedforsecurity=False).hexdigest()

    async def issue(self, principal: Principal, show: ShowId) -> Ticket:
        """A fresh ticket of 256 random bits. Raises Unavailable without Redis."""
        ticket = secrets.token_urlsafe(32)
        expires_at_ms = time.time_ns() // 1_000_000 + self._ttl_ms
        try:
            await self._redis.execute_command("SET", _key(show, ticket), _encoder.encode(principal), "PX", self._ttl_ms)
        except (RedisError, OSError) as error:
            raise Unavailable("Tickets cannot be issued right now", retry_after_ms=1000) from error
        return Ticket(ticket=ticket, expires_at_ms=expires_at_ms)

    async def redeem(self, show: ShowId, tickets: Sequence[str]) -> list[Principal | None]:
        """Whoever bought each of `tickets`, which is thereby spent; None where there is none such (any more).

        Raises Unavailable without Redis.
        """
        try:
            held = await self._redeem([_key(show, ticket) for ticket in tickets])
        except (RedisError, OSError) as error:
            log.warning("tickets_unavailable", error=type(error).__name__)
            raise Unavailable("Tickets cannot be redeemed right now", retry_after_ms=1000) from error
        return [_decoder.decode(one) if isinstance(one, bytes) else None for one in held]

    async def _redeem(self, keys: list[str]) -> list[Any]:
        try:
            held = await self._redis.execute_command("EVALSHA", self._sha, len(keys), *keys)
        except NoScriptError:  # the server's first, or a new server
            held = await self._redis.execute_command("EVAL", self._script, len(keys), *keys)
        answers: list[Any] = held
        return answers


def _key(show: ShowId, ticket: str) -> str:
    return f"sf:{{{show}}}:ticket:{hashlib.sha256(ticket.encode()).hexdigest()}"
