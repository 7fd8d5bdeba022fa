"""A process that belongs to the demo: told what to do by one line on its input, and gone when its parent is.

Owns: the agreement between both ends. Invariant: a child never outlives its parent, not even one that was
killed: its input then ends, and that ends the child.
"""

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any, TypeVar

import msgspec
import structlog
from msgspec import Struct

from live.process import configure_logging, run

log = structlog.get_logger()

T = TypeVar("T", bound=Struct)

STOP_S = 5
STARTS_MAX = 100
PAUSE_S, PAUSE_MAX_S = 0.5, 10.0
LINE_BYTES = 4 * 1024 * 1024
"""A thousand viewers' tokens fit."""


@asynccontextmanager
async def running(module: str, orders: Struct) -> AsyncIterator[asyncio.subprocess.Process]:
    """`python -m module` with its orders on its input (so that no token stands in an argument list), while open."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", module),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.DEVNULL,
        start_new_session=True,  # a terminal's Ctrl-C is for the parent, which ends its children in order
    )
    assert process.stdin is not None
    try:
        with suppress(ConnectionError):  # it may have died already; its status tells
            process.stdin.write(msgspec.json.encode(orders) + b"\n")
            await process.stdin.drain()
        yield process
    finally:
        process.stdin.close()
        try:
            await asyncio.wait_for(process.wait(), STOP_S)
        except TimeoutError:
            process.kill()
            await process.wait()


class Kept:
    """A child that is started again when it dies, with a growing pause, `STARTS_MAX` times at the most.

    `async with Kept(module, orders) as kept:` - the first process runs inside; `kept.pid` is that of the newest.
    """

    def __init__(self, module: str, orders: Struct) -> None:
        self._module, self._orders = module, orders
        self._first: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self.pid = 0

    async def __aenter__(self) -> "Kept":
        self._keeping = asyncio.create_task(self._keep(), name=self._module)
        either: set[asyncio.Future[Any]] = {self._keeping, self._first}
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if self._keeping.done():
            self._keeping.result()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._keeping.cancel()
        await asyncio.wait({self._keeping})

    async def _keep(self) -> None:
        pause_s = PAUSE_S
        for _ in range(STARTS_MAX):
            began_s = time.monotonic()
            async with running(self._module, self._orders) as process:
                self.pid = process.pid
                if not self._first.done():
                    self._first.set_result(process.pid)
                status = await process.wait()
            log.warning("child_ended", module=self._module, status=status)
            pause_s = PAUSE_S if time.monotonic() - began_s > PAUSE_MAX_S else min(pause_s * 2, PAUSE_MAX_S)
            await asyncio.sleep(pause_s)
        log.error("child_given_up", module=self._module, starts=STARTS_MAX)


def main(kind: type[T], work: Callable[[T], Awaitable[None]]) -> int:
    """The child's end: read the orders, work until done, a signal, or the end of the input."""
    configure_logging("warning")
    return run(_obey(kind, work), until_signal=True)


async def _obey(kind: type[T], work: Callable[[T], Awaitable[None]]) -> int:
    reader = asyncio.StreamReader(limit=LINE_BYTES)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    orders = msgspec.json.decode(await reader.readline(), type=kind)
    working = asyncio.ensure_future(work(orders))
    parent = asyncio.ensure_future(reader.read())
    try:
        await asyncio.wait({working, parent}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        parent.cancel()
        working.cancel()
        await asyncio.wait({working}, timeout=STOP_S)
    if working.done() and not working.cancelled():
        working.result()
    return 0
