"""Many deadlines of one length under one timer: a timer each costs a join more than its handshake's hash.

Owns: who is awaited, the first to be late in front. Invariant: one timer at most.
"""

import asyncio
from collections.abc import Callable
from itertools import takewhile
from typing import Generic, TypeVar

T = TypeVar("T")


class Deadlines(Generic[T]):
    """`length_s` is asked as each begins, and never gets less; `late` is called with each that did not end in time."""

    def __init__(self, length_s: Callable[[], float], late: Callable[[T], None]) -> None:
        self._length_s, self._late = length_s, late
        self._due: dict[T, float] = {}
        self._timer: asyncio.TimerHandle | None = None

    def begin(self, one: T, loop: asyncio.AbstractEventLoop) -> None:
        """From now on `one` is awaited."""
        self._due[one] = due = loop.time() + self._length_s()
        if self._timer is None:
            self._timer = loop.call_at(due, self._look, loop)

    def end(self, one: T) -> None:
        """It is awaited no longer, if it was."""
        self._due.pop(one, None)

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer = None
        now = loop.time()
        for one in list(takewhile(lambda one: self._due[one] <= now, self._due)):
            self._due.pop(one, None)
            self._late(one)
        if self._due and self._timer is None:
            self._timer = loop.call_at(next(iter(self._due.values())), self._look, loop)
