"""How often one account or address may do one thing.

Owns: the table of rules and the allowance of each subject (in Redis, so that it holds across processes).
Invariant: a refused call costs its subject nothing. With Redis away every call passes and a line is logged:
a show that goes on unlimited for a minute is better than one that stops.
"""

import asyncio
import hashlib
import ipaddress
import time
from collections.abc import Callable, Mapping
from importlib import resources
from typing import Any

import structlog
from msgspec import Struct
from redis.exceptions import NoScriptError, RedisError

from live.pipeline import Commands
from schema.errors import RateLimited, Unavailable

log = structlog.get_logger()


DEADLINE_S = 1.0
"""A Redis that hangs must not make every tap hang with it."""

REFUSED_MAX = 20_000


class Rule(Struct, frozen=True):
    """`burst` at once, then one per `interval_us`."""

    interval_us: int
    burst: int
    per_address: bool = False
    """Stands for a network address, or for one machine that plays many viewers: `--load` lifts it."""


RULES: dict[str, Rule] = {
    "chat": Rule(1_000_000, 5),
    "buy": Rule(500_000, 4),
    "ticket": Rule(1_000_000, 10),
    "vote": Rule(500_000, 6),
    "ask": Rule(15_000_000, 3),
    "pin": Rule(200_000, 5),
    "whep": Rule(10_000_000, 6, per_address=True),
    # An address may be a household, an office or a carrier's whole NAT. So it stands for those alone who are nobody
    # yet, and for many of them: a burst of joins at the start is honest. Whoever has an account is limited by that.
    "books": Rule(1_000_000, 10, per_address=True),
    "guest": Rule(200_000, 300, per_address=True),
    "stranger": Rule(1_000_000, 60, per_address=True),
}


class Limiter:
    """GCRA over one Lua script."""

    def __init__(
        self,
        redis: Commands,
        rules: Mapping[str, Rule] = RULES,
        *,
        load: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._redis = redis
        self._clock = clock
        self._script = (resources.files("live") / "lua" / "gcra.lua").read_bytes()
        self._sha = hashlib.sha1(self._script, usedforsecurity=False).hexdigest()
        self._rules = {name: rule for name, rule in rules.items() if not (load and rule.per_address)}
        self._known = frozenset(rules)
        self._refused: dict[str, float] = {}
        """Until when a key was refused. A refusal costs its subject nothing, so that asking again is for nothing too:
        in a flood most is decided here."""

    async def check(self, rule: str, subject: str) -> None:
        """Spend one unit of `subject`'s allowance under `rule`. Raises RateLimited with the time to wait."""
        assert rule in self._known, f"no rule called {rule}"
        held = self._rules.get(rule)
        if held is None:
            return
        key = f"sf:limit:{{{rule}:{subject}}}"
        self._refuse_known(key)
        try:
            async with asyncio.timeout(DEADLINE_S):
                wait_us = int(await self._spend(key, held.interval_us, held.burst))
        except (RedisError, OSError, TimeoutError, Unavailable) as error:
            log.warning("limiter_open", rule=rule, error=type(error).__name__)
            return
        if wait_us:
            self._remember(key, wait_us)
            raise _too_often(wait_us)

    def _refuse_known(self, key: str) -> None:
        until = self._refused.get(key)
        if until is None:
            return
        left_us = int((until - self._clock()) * 1e6)
        if left_us > 0:
            raise _too_often(left_us)
        del self._refused[key]

    def _remember(self, key: str, wait_us: int) -> None:
        if len(self._refused) >= REFUSED_MAX:
            self._refused.clear()
        self._refused[key] = self._clock() + wait_us / 1e6

    async def _spend(self, key: str, interval_us: int, burst: int) -> Any:
        try:
            return await self._redis.execute_command("EVALSHA", self._sha, 1, key, interval_us, burst)
        except NoScriptError:  # the server's first, or a new server
            return await self._redis.execute_command("EVAL", self._script, 1, key, interval_us, burst)


def _too_often(wait_us: int) -> RateLimited:
    return RateLimited("Too often; slow down", retry_after_ms=-(-wait_us // 1000))


def network_of(address: str) -> str:
    """The subject of a limit per address: an IPv4 address, or the /64 that one IPv6 household is given."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address or "unknown"
    if isinstance(parsed, ipaddress.IPv6Address):
        mapped = parsed.ipv4_mapped
        return str(mapped or ipaddress.ip_network((parsed, 64), strict=False))
    return str(parsed)


class Strangers:
    """Those whose token or ticket is not valid: told so, and above a generous rate of their address told to slow down.

    Whoever shows a valid one is never asked, however many others come from the same address with none.
    """

    def __init__(self, limiter: Limiter) -> None:
        self._limiter = limiter

    async def turned_away(self, address: str) -> None:
        """Count one. Raises RateLimited."""
        await self._limiter.check("stranger", network_of(address))
