"""A process that belongs to the demo: told what to do by one line on its input, and gone when its parent is.

Owns: the agreement between both ends. Invariant: a child never outlives its parent, not even one that was
killed: its input then ends, and that ends the child.
"""

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

import msgspec
from msgspec import Struct

from live.process import configure_logging, run

T = TypeVar("T", bound=Struct)

STOP_S = 5
LINE_BYTES = 4 * 1024 * 1024
"""A thousand viewers' tokens fit."""


@asynccontextmanager
async def running(module: str, orders: Struct) -> AsyncIterator[asyncio.subprocess.Process]:
    """`python -m module` with its orders on its input (so that no token stands in an argument list), while open."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", module, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.DEVNULL
    )
    assert process.stdin is not None
    try:
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


def main(kind: type[T], work: Callable[[T], Awaitable[None]]) -> int:
    """The child's end: read the orders, work until done, a signal, or the end of the input."""
    configure_logging("info")
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
