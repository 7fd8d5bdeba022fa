"""An event loop whose clock jumps to the next timer: an hour of waiting takes no time."""

import asyncio
from collections import deque
from collections.abc import Coroutine
from contextvars import Context, ContextVar
from typing import Any

PROCESS: ContextVar[object] = ContextVar("PROCESS", default=None)
"""Whose work it is: a process can be frozen, and nothing of it happens until it is thawed."""


def outside() -> Context:
    """For what happens whether or not a process that asked for it stands still: servers, the network."""
    return Context()


class Ready(deque[asyncio.Handle]):
    """What runs next; that of a frozen process is kept for later, in its order."""

    def __init__(self) -> None:
        super().__init__()
        self.frozen: dict[object, list[asyncio.Handle]] = {}

    def popleft(self) -> asyncio.Handle:
        handle = super().popleft()
        kept = self.frozen.get(handle._context.get(PROCESS)) if self.frozen else None
        if kept is None:
            return handle
        kept.append(handle)
        nothing = asyncio.Handle(print, (), asyncio.get_running_loop())
        nothing.cancel()
        return nothing


class VirtualLoop(asyncio.BaseEventLoop):
    """No sockets, no threads, no signals. Raises RuntimeError where everything waits for nothing."""

    def __init__(self) -> None:
        super().__init__()
        self._now = 1_000_000.0
        self._ready = Ready()
        self._selector = self
        self._clock_resolution = 1e-6

    def time(self) -> float:
        return self._now

    def select(self, timeout: float | None) -> list[Any]:
        if timeout is None:
            raise RuntimeError("everybody waits, and for nothing")
        self._now += timeout
        return []

    def freeze(self, process: object) -> None:
        """SIGSTOP: none of its work is done until `thaw`."""
        self._ready.frozen.setdefault(process, [])

    def thaw(self, process: object) -> None:
        """SIGCONT: all that has become due meanwhile, at once."""
        self._ready.extend(self._ready.frozen.pop(process, []))

    def _process_events(self, event_list: list[Any]) -> None: ...

    def _write_to_self(self) -> None: ...


def run(main: Coroutine[Any, Any, Any]) -> Any:
    """Run `main` to its end in virtual time; what it left behind is cancelled."""
    loop = VirtualLoop()
    asyncio.set_event_loop(loop)
    try:
        return loop.run_until_complete(main)
    finally:
        left = asyncio.all_tasks(loop)
        for task in left:
            task.cancel()
        if left:
            loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
        asyncio.set_event_loop(None)
        loop.close()
