"""Tickets: what opens one socket, once, within 30 seconds.

A browser cannot put a header on a WebSocket, and a token in an address ends up in logs and histories. So the page
buys a ticket with its token and spends it at once.

Owns: the tickets that are out, in Redis under their hash: whoever reads the store cannot open a socket; those that wait
to be redeemed; and the task that does so, which ends when none waits.
Invariant: a ticket opens at most one socket (GETDEL is atomic), and only in the show it was issued for.
"""

import asyncio
import hashlib
import secrets
import time
from collections import deque
from importlib import resources
from typing import Any, NamedTuple

import msgspec
import structlog
from redis.exceptions import NoScriptError, RedisError

from live.pipeline import Commands
from schema.errors import Unauthenticated, Unavailable
from schema.ids import ShowId
from schema.people import Principal, Ticket

log = structlog.get_logger()

TICKET_TTL_S = 30
TICKET_MAX_CHARS = 64
BATCH_MAX = 128
WAITING_MAX = 20_000

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Principal)


class _Asked(NamedTuple):
    show: ShowId
    key: str
    holder: "asyncio.Future[Any]"


class Tickets:
    """Issues tickets, and redeems them at the door of the socket."""

    def __init__(self, redis: Commands, ttl_s: float = TICKET_TTL_S) -> None:
        self._redis = redis
        self._ttl_ms = int(ttl_s * 1000)
        self._script = (resources.files("live") / "lua" / "redeem_many.lua").read_bytes()
        self._sha = hashlib.sha1(self._script, usedforsecurity=False).hexdigest()
        self._waiting: deque[_Asked] = deque()
        self._task: asyncio.Task[None] | None = None

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
        if len(self._waiting) >= WAITING_MAX:
            raise Unavailable("Too many come at once", retry_after_ms=1000)
        holder = asyncio.get_running_loop().create_future()
        self._waiting.append(_Asked(show, _key(show, ticket), holder))
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._redeem_all(), name="tickets")
        held = await holder
        if not isinstance(held, bytes):
            raise Unauthenticated("The ticket is spent, expired, or for another show")
        return _decoder.decode(held)

    async def _redeem_all(self) -> None:
        """Until none waits; those of one moment and show by one script."""
        while self._waiting:
            show = self._waiting[0].show
            batch: list[_Asked] = []
            while self._waiting and self._waiting[0].show == show and len(batch) < BATCH_MAX:
                batch.append(self._waiting.popleft())
            answers: list[Any] = [None] * len(batch)
            try:
                answers = await self._redeem_many([one.key for one in batch])
            except (RedisError, OSError) as error:
                log.warning("tickets_unavailable", error=type(error).__name__)
                answers = [_unavailable() for _ in batch]
            except Unavailable as error:
                answers = [error] * len(batch)
            finally:  # also when cancelled: nobody waits for ever
                for one, answer in zip(batch, answers, strict=True):
                    _settle(one.holder, answer)

    async def _redeem_many(self, keys: list[str]) -> list[Any]:
        try:
            held = await self._redis.execute_command("EVALSHA", self._sha, len(keys), *keys)
        except NoScriptError:  # the server's first, or a new server
            held = await self._redis.execute_command("EVAL", self._script, len(keys), *keys)
        answers: list[Any] = held
        return answers


def _settle(holder: "asyncio.Future[Any]", answer: Any) -> None:
    if holder.done():
        return  # its caller has hung up
    if isinstance(answer, Exception):
        holder.set_exception(answer)
    else:
        holder.set_result(answer)


def _unavailable() -> Unavailable:
    return Unavailable("Tickets cannot be redeemed right now", retry_after_ms=1000)


def _key(show: ShowId, ticket: str) -> str:
    return f"sf:{{{show}}}:ticket:{hashlib.sha256(ticket.encode()).hexdigest()}"
