"""Gathers single requests into batches: what waits while one batch is away goes with the next.

Owns: the queue of one line (one product at one store) and the tasks that send its batches.
Invariant: at most `in_flight` batches are away, a batch has at most `most` items, at most `room` items wait;
every item gets an answer or an error. `after` runs when the items have their answers.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from typing import Any, Generic, TypeVar

from schema.errors import ShowfloorError, Unavailable

I = TypeVar("I")  # noqa: E741 - an item
O = TypeVar("O")  # noqa: E741 - its outcome

Spawn = Callable[[Coroutine[Any, Any, None]], "asyncio.Task[None]"]

TRAILING = 4


class Batcher(Generic[I, O]):
    """`await put(item)` answers with what `send` says of it. Raises Unavailable when the queue is full."""

    def __init__(
        self,
        send: Callable[[list[I]], Awaitable[list[O]]],
        *,
        spawn: Spawn,
        most: int = 500,
        in_flight: int = 1,
        room: int = 20_000,
        after: Callable[[list[I], list[O]], Awaitable[None]] | None = None,
    ) -> None:
        self._send, self._spawn, self._after = send, spawn, after
        self._most, self._in_flight, self._room = most, in_flight, room
        self._queue: deque[tuple[I, asyncio.Future[O]]] = deque()
        self._away = 0
        self._trailing = 0
        self._scheduled = False

    async def put(self, item: I) -> O:
        """The outcome of `item`."""
        if len(self._queue) >= self._room:
            raise Unavailable("Too many are waiting for this", retry_after_ms=1000)
        loop = asyncio.get_running_loop()
        future: asyncio.Future[O] = loop.create_future()
        self._queue.append((item, future))
        if not self._scheduled:
            # Not at once: the other taps of this turn of the loop go with it.
            self._scheduled = True
            loop.call_soon(self._flush)
        return await future

    def _flush(self) -> None:
        self._scheduled = False
        while self._queue and self._away < self._in_flight and self._trailing < TRAILING:
            size = min(self._most, len(self._queue))
            batch = [self._queue.popleft() for _ in range(size)]
            self._away += 1
            try:
                task = self._spawn(self._run(batch))
            except RuntimeError:  # the desk has closed
                self._away -= 1
                self._fail(batch, Unavailable("The desk is closed"))
                continue
            task.add_done_callback(partial(self._ended, batch))

    async def _run(self, batch: "list[tuple[I, asyncio.Future[O]]]") -> None:
        items = [item for item, _ in batch]
        try:
            outcomes = await self._send(items)
        except ShowfloorError as error:
            self._fail(batch, error)
            return
        for (_, future), outcome in zip(batch, outcomes, strict=True):
            if not future.done():
                future.set_result(outcome)
        if self._after:
            await self._trail(self._after(items, outcomes))

    async def _trail(self, after: Awaitable[None]) -> None:
        """What follows a batch does not keep the next one waiting, unless too much follows already."""
        self._trailing += 1
        self._away -= 1
        self._flush()
        try:
            await after
        finally:
            self._trailing -= 1
            self._away += 1  # _ended takes it back

    def _ended(self, batch: "list[tuple[I, asyncio.Future[O]]]", _: "asyncio.Task[None]") -> None:
        self._away -= 1
        self._fail(batch, Unavailable("Not decided", retry_after_ms=1000))
        self._flush()

    @staticmethod
    def _fail(batch: "list[tuple[I, asyncio.Future[O]]]", error: Exception) -> None:
        for _, future in batch:
            if not future.done():
                future.set_exception(error)
