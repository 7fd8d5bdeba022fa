"""One of several processes that serve: `python -m live.worker`, started by `live.workers` with its orders on its input.

Owns: its own listening sockets and everything behind them. Invariant: it never outlives its parent: the end of its
input ends it; and it says so every second that its loop turns.
"""

import asyncio
import socket
import sys
from typing import Self

import msgspec
import structlog
from msgspec import Struct

from live.place import Place
from live.process import configure_logging, run
from live.server import DOWN_S, bind, serve_app
from live.settings import Settings
from live.stores import Stores

ORDERS_BYTES = 1 << 20
BEAT_S = 1.0


class WorkerOrders(Struct, frozen=True, kw_only=True):
    """What a worker has to know: one line of JSON on its input."""

    settings: bytes
    stores: Stores
    place: Place

    @classmethod
    def of(cls, settings: Settings, stores: Stores, place: Place) -> Self:
        """The orders of the worker at `place`; its media ports are the first one's plus its number."""
        udp = settings.media_udp_port and settings.media_udp_port + place.worker
        tcp = settings.media_tcp_port and settings.media_tcp_port + place.worker
        mine = msgspec.structs.replace(settings, media_udp_port=udp, media_tcp_port=tcp)
        return cls(settings=mine.hand_on(), stores=stores, place=place)


class Up(Struct, frozen=True, kw_only=True):
    """What a worker says once it answers requests."""

    media_udp_port: int


def written(orders: WorkerOrders) -> bytes:
    """As a worker reads it."""
    return msgspec.json.encode(orders, enc_hook=str) + b"\n"


async def work() -> int:
    """Read the orders and serve until a signal, or the end of the input."""
    reader = asyncio.StreamReader(limit=ORDERS_BYTES)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    orders = msgspec.json.decode(await reader.readline(), type=WorkerOrders, dec_hook=lambda kind, value: kind(value))
    settings = Settings.handed_on(orders.settings)
    configure_logging(settings.log_level)
    structlog.contextvars.bind_contextvars(worker=orders.place.worker)
    serving = asyncio.ensure_future(serve_one(settings, orders.stores, orders.place))
    parent = asyncio.ensure_future(reader.read())
    try:
        await asyncio.wait({serving, parent}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        parent.cancel()
        serving.cancel()
        await asyncio.wait({serving}, timeout=DOWN_S * 2)
    if serving.done() and not serving.cancelled():
        serving.result()
    return 0


async def serve_one(settings: Settings, stores: Stores, place: Place) -> None:
    """Serve at the shared address, and to the other workers at a socket of one's own."""
    from live.app import create_app  # noqa: PLC0415 - the rooms are heavy: the orders come first
    from realtime.gateway import gateway_class  # noqa: PLC0415

    async with asyncio.TaskGroup() as tasks:

        async def up(bound: Settings) -> None:
            say(msgspec.json.encode(Up(media_udp_port=bound.media_udp_port)) + b"\n")
            tasks.create_task(beat())

        app, gateway = create_app(settings, stores, place), gateway_class(settings.allowed_origins)
        with bind(settings, shared=True) as door, side_door(place) as side:
            await serve_app(app, gateway, [door, side], settings, up)


def side_door(place: Place) -> socket.socket:
    """The socket for the other workers; a predecessor that was killed has left one."""
    path = place.http(place.worker)
    path.unlink(missing_ok=True)
    door = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    door.bind(str(path))
    door.setblocking(False)  # noqa: FBT003
    return door


async def beat() -> None:
    """Say that the loop turns, for ever."""
    while True:
        await asyncio.sleep(BEAT_S)
        say(b"\n")


def say(line: bytes) -> None:
    """To the parent, whose pipe takes thousands of such lines; once it is gone our input ends as well."""
    try:
        sys.stdout.buffer.write(line)
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        return


if __name__ == "__main__":
    sys.exit(run(work(), until_signal=True))
