"""A bad network in front of one TCP port: late, narrow, standing still, or cut.

Owns: the listening socket and two pumps per connection.
Invariant: what is under way in one direction is bounded by `CHUNKS`; then the sender is no longer read, as on a real
path; everything ends with the block. TCP loses nothing: of the `Conditions` only delay, jitter and rate count.

    async with TcpRelay(("127.0.0.1", port), seed=7, down=Conditions(delay_ms=50, rate_bps=1_000_000)) as relay:
        relay.stall()
        relay.go_on()
        relay.cut()
"""

import asyncio
import contextlib
from typing import Final, Self

from netem.link import Conditions, Link
from netem.udp import Address, now_ms

CHUNKS: Final = 64
CHUNK_BYTES: Final = 4096


class TcpRelay:
    """`async with` it."""

    def __init__(
        self,
        target: Address,
        *,
        seed: int,
        down: Conditions = Conditions(),  # noqa: B008 - immutable
        up: Conditions = Conditions(),  # noqa: B008 - immutable
        host: str = "127.0.0.1",
        port: int = 0,
    ) -> None:
        self.target, self.seed = target, seed
        self.connections = 0
        self._down, self._up = down, up
        self._at = (host, port)
        self._links: set[tuple[Link, Link]] = set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._flows = asyncio.Event()
        self._flows.set()

    @property
    def port(self) -> int:
        number: int = self._server.sockets[0].getsockname()[1]
        return number

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._connection, *self._at, limit=CHUNK_BYTES)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        self.cut()
        await self._server.wait_closed()

    def set(self, *, down: Conditions | None = None, up: Conditions | None = None) -> None:
        """Change the network under way."""
        self._down, self._up = down or self._down, up or self._up
        for ups, downs in self._links:
            ups.conditions, downs.conditions = _lossless(self._up), _lossless(self._down)

    def stall(self) -> None:
        """Nothing arrives any more, and nobody is told."""
        self._flows.clear()

    def go_on(self) -> None:
        self._flows.set()

    def cut(self) -> None:
        """Reset every connection; new ones are taken."""
        for writer in self._writers:
            writer.transport.abort()

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        number, self.connections = self.connections, self.connections + 1
        self._writers.add(writer)
        try:
            far_reader, far_writer = await asyncio.open_connection(*self.target, limit=CHUNK_BYTES)
        except OSError:
            writer.transport.abort()
            self._writers.discard(writer)
            return
        links = up, down = tuple(Link(f"{self.seed}/{number}/{name}") for name in ("up", "down"))
        self._links.add(links)
        self._writers.add(far_writer)
        self.set()
        try:
            async with asyncio.TaskGroup() as pumps:
                pumps.create_task(self._pump(reader, far_writer, up))
                pumps.create_task(self._pump(far_reader, writer, down))
        finally:
            self._links.discard(links)
            for end in (writer, far_writer):
                self._writers.discard(end)
                end.transport.abort()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, link: Link) -> None:
        under_way: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(CHUNKS)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._deliver(under_way, writer))
            data = b"-"
            while data:
                data = await _read(reader)
                at_ms = link.send(now_ms(), len(data))[0]
                await under_way.put((at_ms, data))

    async def _deliver(self, under_way: asyncio.Queue[tuple[float, bytes]], writer: asyncio.StreamWriter) -> None:
        """An empty chunk is the end of the direction."""
        data = b"-"
        while data:
            at_ms, data = await under_way.get()
            await asyncio.sleep(max(0.0, at_ms - now_ms()) / 1000)
            await self._flows.wait()
            with contextlib.suppress(OSError):
                writer.write(data)
                await writer.drain()
        with contextlib.suppress(OSError):
            writer.write_eof()


async def _read(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.read(CHUNK_BYTES)
    except OSError:
        return b""


def _lossless(conditions: Conditions) -> Conditions:
    kept = {name: getattr(conditions, name) for name in ("delay_ms", "jitter_ms", "rate_bps")}
    return Conditions(**kept, queue_bytes=1 << 40)
