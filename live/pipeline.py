"""Redis commands of one moment, sent together over one connection.

A thousand guests who arrive at once each need one command. Over a pool of connections each pays for a turn at the pool
(1,000 tickets: 640 a second); gathered into pipelines they pay for one round trip a batch.

Owns: the commands that wait, and the task that sends them.
Invariant: at most `WAITING_MAX` commands wait and one batch is under way; each gets its own answer or error.
"""

import asyncio
from collections import deque
from typing import Any, NamedTuple, Protocol

from redis.asyncio import Redis
from redis.exceptions import RedisError

from schema.errors import Unavailable

BATCH_MAX = 256
WAITING_MAX = 20_000


class Commands(Protocol):
    """What one Redis command needs; a client has it, and so has a `Pipeline`."""

    async def execute_command(self, *args: Any) -> Any:
        """The server's answer. Raises RedisError."""


class _Command(NamedTuple):
    args: tuple[Any, ...]
    answer: "asyncio.Future[Any]"


class Pipeline:
    """Shares one connection of `redis` among all callers."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._waiting: deque[_Command] = deque()
        self._task: asyncio.Task[None] | None = None

    async def execute_command(self, *args: Any) -> Any:
        """The answer to this command alone. Raises RedisError or OSError; Unavailable if too many wait."""
        if len(self._waiting) >= WAITING_MAX:
            raise Unavailable("Too much is asked at once", retry_after_ms=1000)
        command = _Command(args, asyncio.get_running_loop().create_future())
        self._waiting.append(command)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._send_all(), name="redis-pipeline")
        return await command.answer

    async def _send_all(self) -> None:
        while self._waiting:
            batch = [self._waiting.popleft() for _ in range(min(BATCH_MAX, len(self._waiting)))]
            answers: list[Any] = [ConnectionError("closing")] * len(batch)
            try:
                answers = await self._send(batch)
            except (RedisError, OSError, TimeoutError) as error:
                answers = [error] * len(batch)
            finally:  # also when cancelled: nobody waits for ever
                for command, answer in zip(batch, answers, strict=True):
                    _settle(command, answer)

    async def _send(self, batch: list[_Command]) -> list[Any]:
        async with self._redis.pipeline(transaction=False) as pipe:
            for command in batch:
                pipe.execute_command(*command.args)
            answers: list[Any] = await pipe.execute(raise_on_error=False)
            return answers

    async def aclose(self) -> None:
        """Send no more; whoever waits is told so."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        while self._waiting:
            _settle(self._waiting.popleft(), ConnectionError("closing"))


def _settle(command: _Command, answer: Any) -> None:
    if command.answer.done():
        return  # its caller has hung up
    if isinstance(answer, Exception):
        command.answer.set_exception(answer)
    else:
        command.answer.set_result(answer)
