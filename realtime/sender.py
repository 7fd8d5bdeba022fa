"""Scripts on their way to one server: whatever arrives during a round trip is the next batch.

Owns: the calls that wait, and what the server was taught.
Invariant: a script is sent once. Only one of which the server itself says that it did not run (NOSCRIPT; of a cluster
MOVED, ASK, TRYAGAIN) is sent again; if an answer is lost the caller hears Unavailable, because a chat message said
twice is worse than one refused.
"""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Mapping
from importlib.resources import files
from typing import Any, NamedTuple, cast

import structlog
from redis.asyncio import ConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import AskError, NoScriptError, RedisError, TryAgainError

from schema.errors import Unavailable

log = structlog.get_logger()

BATCH_MAX = 500
QUEUE_MAX = 10_000
DEADLINE_S = 5.0
HOPS_MAX = 40
TO_ALL = {"dismiss"}
"""Scripts that speak to every process, whatever it watches: with PUBLISH, which a cluster brings to each server."""


class Script(NamedTuple):
    """One Lua file."""

    text: str
    sha: str


class Call(NamedTuple):
    """One script to be run, and who waits for what it returns."""

    script: str
    keys: list[str]
    args: list[Any]
    answer: "asyncio.Future[Any]"
    hops: int = 0
    """How many times a cluster has said that it is another server's, or that it is just being moved."""
    asking: bool = False
    """To a server that the slot is just moving to."""


Redirect = Callable[[Call, AskError | TryAgainError], None]
"""Hears of a call that is another server's (MovedError is an AskError) or comes too soon, and passes it on."""


def read_scripts(speak: str) -> dict[str, Script]:
    """The scripts by name. They say PUBLISH; those of a cluster say `speak` in its place, where a show is spoken of."""
    found = {}
    for file in files("realtime").joinpath("lua").iterdir():
        if file.name.endswith(".lua"):
            name, text = file.name.removesuffix(".lua"), file.read_text()
            if name not in TO_ALL:
                text = text.replace("redis.call('PUBLISH'", f"redis.call('{speak}'")
            found[name] = Script(text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())
    return found


def once(connection_class: Any, arguments: Mapping[str, Any]) -> Redis:
    """A client that sends nothing a second time."""
    pool = ConnectionPool(connection_class=connection_class, **{**arguments, "retry": Retry(NoBackoff(), 0)})
    return Redis(connection_pool=pool)


class Sender:
    """Its owner runs `run`. `lose` and `find` hear whether the server answers."""

    def __init__(
        self,
        redis: Redis,
        scripts: Mapping[str, Script],
        *,
        lose: Callable[[], None],
        find: Callable[[], None],
        redirect: Redirect | None = None,
    ) -> None:
        self._redis = redis
        self._scripts = scripts
        self._lose, self._find, self._redirect = lose, find, redirect
        self._waiting: list[Call] = []
        self._wake = asyncio.Event()

    async def call(self, script: str, keys: list[str], args: list[Any]) -> Any:
        """What the script returns. Raises Unavailable."""
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self.take(Call(script, keys, args, answer))
        return await answer

    def take(self, call: Call) -> None:
        """Send it with the next batch. Raises Unavailable when too many wait."""
        if len(self._waiting) >= QUEUE_MAX:
            raise Unavailable("Too many publications are waiting", retry_after_ms=1000)
        self._waiting.append(call)
        self._wake.set()

    async def teach(self) -> None:
        """Load every script. Raises RedisError, OSError."""
        for script in self._scripts.values():
            await cast(Awaitable[Any], self._redis.script_load(script.text))

    def aclose(self) -> None:
        """Nothing is sent any more."""
        _refuse(self._waiting)
        self._waiting.clear()

    async def run(self) -> None:
        """Send what waits, for ever; the owner cancels it."""
        while True:
            await self._wake.wait()
            batch, self._waiting = self._waiting[:BATCH_MAX], self._waiting[BATCH_MAX:]
            if not self._waiting:
                self._wake.clear()
            try:
                async with asyncio.timeout(DEADLINE_S):
                    await self._send(batch)
                self._find()
            except (RedisError, OSError, TimeoutError) as error:
                log.warning("redis_unavailable", error=str(error), publications=len(batch))
                _refuse(batch)
                self._lose()
            except asyncio.CancelledError:
                _refuse(batch)
                raise

    async def _send(self, batch: list[Call]) -> None:
        unknown = self._settle(batch, await self._execute(batch))
        if unknown:  # the server restarted, or is new: these did not run, so a second try says nothing twice
            await self.teach()
            _refuse(self._settle(unknown, await self._execute(unknown)))

    async def _execute(self, batch: list[Call]) -> list[Any]:
        pipe = self._redis.pipeline(transaction=False)
        for call in batch:
            if call.asking:
                pipe.execute_command("ASKING")
            pipe.evalsha(self._scripts[call.script].sha, len(call.keys), *call.keys, *call.args)
        answers = iter(await pipe.execute(raise_on_error=False))
        return [(next(answers), next(answers))[1] if call.asking else next(answers) for call in batch]

    def _settle(self, batch: list[Call], answers: list[Any]) -> list[Call]:
        """Give each caller its answer; the calls whose script the server does not know come back."""
        unknown = []
        for call, answer in zip(batch, answers, strict=True):
            if call.answer.done():
                continue
            if isinstance(answer, NoScriptError):
                unknown.append(call)
            elif isinstance(answer, AskError | TryAgainError) and self._redirect is not None and call.hops < HOPS_MAX:
                self._redirect(call._replace(hops=call.hops + 1), answer)
            elif isinstance(answer, Exception):
                log.error("redis_script_failed", script=call.script, error=str(answer))
                call.answer.set_exception(Unavailable("The message bus refused that", retry_after_ms=1000))
            else:
                call.answer.set_result(answer)
        return unknown


def _refuse(batch: list[Call]) -> None:
    for call in batch:
        if not call.answer.done():
            call.answer.set_exception(Unavailable("The message bus cannot be reached", retry_after_ms=1000))
