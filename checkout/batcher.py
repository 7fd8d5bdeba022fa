"""Gathers single requests into batches: what waits while one batch is away goes with the next.

Owns: the queue of one line (one product at one store) and the tasks that send its batches.
Invariant: at most `in_flight` batches are away, a batch has at most `most` items, at most `room` items wait;
every item gets an answer or an error. What `send` has no answer for (None) goes `onward` with the future it has,
to the next line: one future and one wake-up for the whole way. The next batch goes before the answers of one are said;
`after` runs when the items have them.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from functools import partial
from typing import Any, Generic, TypeVar

from schema.errors import ShowfloorError, Unavailable

I = TypeVar("I")  # noqa: E741 - an item
O = TypeVar("O")  # noqa: E741 - its outcome

Spawn = Callable[[Coroutine[Any, Any, None]], "asyncio.Task[None]"]

TRAILING = 4
AT_ONCE = 64
"""So many hear their answers in one turn of the loop: what comes from the stores meanwhile waits for that long."""


class Batcher(Generic[I, O]):
    """`await put(item)` answers with what `send` says of it. Raises Unavailable when the queue is full."""

    def __init__(
        self,
        send: Callable[[list[I]], Awaitable[Sequence[O | None]]],
        *,
        spawn: Spawn,
        most: int = 500,
        in_flight: int = 1,
        room: int = 20_000,
        after: Callable[[list[I], Sequence[O | None]], Awaitable[None]] | None = None,
        onward: "Batcher[I, O] | None" = None,
    ) -> None:
        self._send, self._spawn, self._after, self._onward = send, spawn, after, onward
        self._most, self._in_flight, self._room = most, in_flight, room
        self._queue: deque[tuple[I, asyncio.Future[O]]] = deque()
        self._away = 0
        self._trailing = 0
        self._scheduled = False

    def put(self, item: I) -> "asyncio.Future[O]":
        """The outcome of `item`, to be awaited. Raises Unavailable at once when the queue is full."""
        future: asyncio.Future[O] = asyncio.get_running_loop().create_future()
        if len(self._queue) >= self._room:
            raise Unavailable("Too many are waiting for this", retry_after_ms=1000)
        self._queue.append((item, future))
        self._schedule()
        return future

    def take(self, batch: "list[tuple[I, asyncio.Future[O]]]") -> None:
        """Items of another line, with the futures they have; those that do not fit get Unavailable."""
        fits = max(0, self._room - len(self._queue))
        self._queue.extend(batch[:fits])
        self._fail(batch[fits:], Unavailable("Too many are waiting for this", retry_after_ms=1000))
        self._flush()

    def _schedule(self) -> None:
        if not self._scheduled:
            # Not at once: the other taps of this turn of the loop go with it.
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._flush)

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
        await self._say(batch, items, outcomes)

    async def _say(
        self, batch: "list[tuple[I, asyncio.Future[O]]]", items: list[I], outcomes: Sequence[O | None]
    ) -> None:
        """The next batch goes before this one's answers are said, and waits for nothing that follows them.

        Some hundred buyers hear, and tap again: for so long the store would have nothing to do. Unless too much
        follows already.
        """
        answers = outcomes if self._onward is None else self._pass_on(batch, outcomes)
        self._trailing += 1
        self._away -= 1
        self._flush()
        try:
            for at in range(0, len(batch), AT_ONCE):
                await asyncio.sleep(0)  # what was written goes out now, and what came in meanwhile is looked at
                for (_, future), outcome in zip(batch[at : at + AT_ONCE], answers[at : at + AT_ONCE], strict=True):
                    assert outcome is not None, "only a line with a next one leaves items unanswered"
                    if not future.done():
                        future.set_result(outcome)
            batch.clear()  # answered: `_ended` has nothing left to fail
            if self._after:
                await self._after(items, outcomes)
        finally:
            self._trailing -= 1
            self._away += 1  # _ended takes it back

    def _pass_on(self, batch: "list[tuple[I, asyncio.Future[O]]]", outcomes: Sequence[O | None]) -> Sequence[O | None]:
        """What has no answer becomes another line's, and leaves the batch; the answers of those that stay."""
        assert self._onward is not None
        both = list(zip(batch, outcomes, strict=True))
        self._onward.take([each for each, outcome in both if outcome is None and not each[1].done()])
        batch[:] = [each for each, outcome in both if outcome is not None]
        return [outcome for outcome in outcomes if outcome is not None]

    def _ended(self, batch: "list[tuple[I, asyncio.Future[O]]]", _: "asyncio.Task[None]") -> None:
        self._away -= 1
        self._fail(batch, Unavailable("Not decided", retry_after_ms=1000))
        self._flush()

    @staticmethod
    def _fail(batch: "list[tuple[I, asyncio.Future[O]]]", error: Exception) -> None:
        for _, future in batch:
            if not future.done():
                future.set_exception(error)
