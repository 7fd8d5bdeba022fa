"""An event loop whose clock jumps to the next timer: an hour of waiting takes no time."""

import asyncio
from collections.abc import Coroutine
from typing import Any


class VirtualLoop(asyncio.BaseEventLoop):
    """No sockets, no threads, no signals. Raises RuntimeError where everything waits for nothing."""

    def __init__(self) -> None:
        super().__init__()
        self._now = 1_000_000.0
        self._selector = self
        self._clock_resolution = 1e-6

    def time(self) -> float:
        return self._now

    def select(self, timeout: float | None) -> list[Any]:
        if timeout is None:
            raise RuntimeError("everybody waits, and for nothing")
        self._now += timeout
        return []

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
