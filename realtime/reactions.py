"""Reactions as totals: a thousand taps a second become two small messages a second for each viewer.

Each process counts for itself and adds what it counted to the totals in Redis; whoever adds first after `EVERY_MS`
tells everybody the sums, in the state lane.

Owns: a tally for each show that reacts here, and the task that flushes them.
Invariant: the totals rise only; over all processes they are told at most once in `EVERY_MS`, and the last ones always
are. What Redis did not answer for is added again: a lost answer may count twice, which no sale hangs on.
"""

import asyncio
import hashlib
import time
from importlib.resources import files
from typing import Any

import msgspec
import structlog
from redis.asyncio import Redis
from redis.exceptions import NoScriptError, RedisError

from realtime.core.reactions import Tally
from realtime.hub import Hub
from realtime.ports import ChatRules
from schema.audience import Reaction
from schema.errors import Banned, RateLimited, Unavailable
from schema.ids import ShowId
from schema.moderation import SanctionKind
from schema.people import Principal

log = structlog.get_logger()

EVERY_MS = 600
"""A tick of jitter on either side, and a second still has no more than two of them."""
FLUSH_S = 0.2
RETRY_S = 1.0
SHOWS_MAX = 2000
DEADLINE_S = 2.0

_packed = msgspec.msgpack.Encoder()


class Reactions:
    """One per process; its owner runs `run`."""

    def __init__(self, redis: Redis, hub: Hub, rules: ChatRules) -> None:
        self._redis, self._hub, self._rules = redis, hub, rules
        self._script = (files("realtime") / "lua" / "react.lua").read_bytes()
        self._sha = hashlib.sha1(self._script, usedforsecurity=False).hexdigest()
        self._tallies: dict[ShowId, Tally] = {}
        self._owing: set[ShowId] = set()
        """Shows of which something is to be added or told."""
        self._work = asyncio.Event()

    async def react(self, principal: Principal, show_id: ShowId, kind: Reaction, count: int) -> None:
        """Count reactions; those of somebody under a shadow ban nobody sees. Raises RateLimited, Banned, NotFound."""
        rules = await self._rules.rules(show_id)
        ruling = rules.ruling(principal.account_id, principal.role, _wall_ms())
        if ruling and ruling.kind is SanctionKind.BAN:
            raise Banned
        tally = self._tallies.get(show_id)
        if tally is None:
            self._forget_idle()
            tally = self._tallies[show_id] = Tally()
        shadowed = ruling is not None and ruling.kind is SanctionKind.SHADOW_BAN
        wait_ms = tally.add(principal.account_id, kind, count, _wall_ms()) if not shadowed else 0
        if wait_ms:
            raise RateLimited("That was a lot at once", retry_after_ms=wait_ms)
        if not shadowed:
            self._owing.add(show_id)
            self._work.set()

    async def run(self) -> None:
        """Flush for ever; its owner cancels it."""
        while True:
            await self._work.wait()
            self._work.clear()
            reached = await asyncio.gather(*(self._flush(show) for show in list(self._owing)))
            if self._owing:
                self._work.set()
            await asyncio.sleep(FLUSH_S if all(reached) else RETRY_S)

    async def _flush(self, show: ShowId) -> bool:
        """Add what was counted, and tell the totals if it is time. False if Redis did not answer."""
        self._owing.discard(show)  # ahead of the wait: what comes meanwhile is owed anew
        counts = self._tallies[show].take()
        try:
            async with asyncio.timeout(DEADLINE_S):
                answer = await self._add(f"sf:{{{show}}}:reactions", _packed.encode(counts))
        except (RedisError, OSError, TimeoutError) as error:
            log.warning("reactions_wait", show=show, error=type(error).__name__)
            self._tallies[show].put_back(counts)
            self._owing.add(show)
            return False
        if answer[0] > 0:
            self._owing.add(show)  # too soon to tell
        elif answer[0] == 0:
            totals = {kind.decode(): total for kind, total in zip(answer[2::2], answer[3::2], strict=True)}
            self._hub.set_state(show, "reactions", totals, version=answer[1])
        return True

    async def _add(self, key: str, counts: bytes) -> list[Any]:
        execute: Any = self._redis.execute_command
        try:
            answer: list[Any] = await execute("EVALSHA", self._sha, 1, key, EVERY_MS, counts)
        except NoScriptError:
            answer = await execute("EVAL", self._script, 1, key, EVERY_MS, counts)
        return answer

    def _forget_idle(self) -> None:
        now_ms = _wall_ms()
        for show, tally in list(self._tallies.items()):
            if show not in self._owing and tally.idle(now_ms):
                del self._tallies[show]
        if len(self._tallies) >= SHOWS_MAX:
            raise Unavailable("Too many shows react on this server", retry_after_ms=1000)


def _wall_ms() -> int:
    return time.time_ns() // 1_000_000
