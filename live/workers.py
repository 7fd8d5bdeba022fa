"""`--workers N`: the parent of N processes that serve one port together.

Owns: the stores, the schema, the claim to the port, and the workers, each started again when it ends.
Invariant: the parent answers no request, so nothing stalls it; when it ends, however it does, its workers end;
one that does not come up at the first start ends all, and later ones are tried again with growing pauses.

Each worker listens on the port by itself (SO_REUSEPORT): the kernel spreads connections evenly over those that
listen, and one that dies is out of the choice in that instant (docs/decisions/0010-workers.md).
"""

import asyncio
import contextlib
import socket
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress

import msgspec
import structlog

from live.migrations import migrate
from live.place import Place, make_folder, remove_folder
from live.server import DOWN_S, Ready, StartError, bind
from live.settings import Settings
from live.stores import resolve_stores
from live.worker import Up, WorkerOrders, written

log = structlog.get_logger()

UP_S = 60.0
SILENT_S = 20.0
"""A worker says every second that its loop turns; one that has not for so long is killed."""
STARTS_IN_A_ROW = 20
"""That lived for less than `STEADY_S`; then a worker is given up."""
STEADY_S = 10.0
PAUSE_MIN_S, PAUSE_MAX_S = 0.05, 10.0
CLAIM_S = 3.0
"""The workers of a parent that was killed let go of the port as soon as they notice."""


async def supervise(settings: Settings, *, ready: Ready | None = None) -> None:
    """Serve with `settings.workers` processes until cancelled; `ready` is awaited once all of them answer.

    Raises StoreError, MigrationError, or StartError if a worker does not come up or all of them were given up.
    """
    with await _claim(settings) as claim, _folder(settings) as place:
        bound = settings.bound_to(claim.getsockname()[1])
        async with resolve_stores(bound) as stores:
            applied = await migrate(stores.database_url)
            log.info("stores_ready", source=stores.source, migrations=applied)
            await _keep_all([Kept(WorkerOrders.of(bound, stores, place.of(n))) for n in range(bound.workers)], ready)


async def _claim(settings: Settings) -> socket.socket:
    """The port, bound and never listened on: nobody else's program can take it while a worker is being replaced."""
    end = time.monotonic() + CLAIM_S
    while True:
        try:
            if settings.port:
                bind(settings).close()  # unshared: fails if another program listens there, also a shared one
            return bind(settings, shared=True)
        except StartError:
            if time.monotonic() > end:
                raise
        await asyncio.sleep(0.1)


@contextmanager
def _folder(settings: Settings) -> Iterator[Place]:
    folder = make_folder(settings.data_dir)
    try:
        yield Place(worker=0, workers=settings.workers, folder=folder)
    finally:
        remove_folder(folder)


async def _keep_all(workers: list["Kept"], ready: Ready | None) -> None:
    async with contextlib.AsyncExitStack() as stack:
        keepers = [asyncio.create_task(worker.keep(), name=f"worker-{worker.number}") for worker in workers]
        stack.push_async_callback(_end, keepers)
        await _first_start(workers, keepers)
        first = workers[0]
        log.info("serving", base_url=first.settings.base_url, workers=[worker.pid for worker in workers])
        if ready:
            await ready(msgspec.structs.replace(first.settings, media_udp_port=first.media_udp_port))
        await asyncio.gather(*keepers)
        raise StartError("No worker stays up; the log lines before this one say why")


async def _first_start(workers: list["Kept"], keepers: "list[asyncio.Task[None]]") -> None:
    up = asyncio.create_task(_all_up(workers))
    try:
        await asyncio.wait({up, *keepers}, return_when=asyncio.FIRST_COMPLETED)
        if not up.done():
            raise StartError("A worker did not start; the log line before this one says why")
    finally:
        up.cancel()


async def _all_up(workers: list["Kept"]) -> None:
    for worker in workers:
        await worker.up.wait()


async def _end(keepers: "list[asyncio.Task[None]]") -> None:
    """All at the same time: each drains by itself."""
    for keeper in keepers:
        keeper.cancel()
    await asyncio.gather(*keepers, return_exceptions=True)


class Kept:
    """One worker, started again when it ends."""

    def __init__(self, orders: WorkerOrders) -> None:
        self.settings = Settings.handed_on(orders.settings)
        self.number = orders.place.worker
        self.pid = 0
        self.media_udp_port = 0
        self.up = asyncio.Event()
        """Set once it has been up."""
        self._orders = orders

    async def keep(self) -> None:
        """Until cancelled. Returns if it never came up, or ended too often in a row."""
        ends, pause_s = 0, PAUSE_MIN_S
        while ends < STARTS_IN_A_ROW:
            began_s = time.monotonic()
            async with running(self._orders) as process:
                self.pid = process.pid
                await self._listen(process)
                status = await process.wait()
            log.warning("worker_ended", worker=self.number, pid=self.pid, status=status)
            if not self.up.is_set():
                return
            steady = time.monotonic() - began_s > STEADY_S
            ends, pause_s = (0, PAUSE_MIN_S) if steady else (ends + 1, min(pause_s * 2, PAUSE_MAX_S))
            await asyncio.sleep(pause_s)
        log.critical("worker_given_up", worker=self.number, starts=STARTS_IN_A_ROW)

    async def _listen(self, process: asyncio.subprocess.Process) -> None:
        """Until it says nothing any more; one that is silent without having ended is killed."""
        assert process.stdout is not None
        within_s = UP_S
        while True:
            try:
                line = await asyncio.wait_for(process.stdout.readline(), within_s)
            except TimeoutError:
                log.error("worker_silent", worker=self.number, pid=process.pid, after_s=within_s)
                process.kill()
                return
            if not line:
                return
            if line != b"\n":
                self.media_udp_port = msgspec.json.decode(line, type=Up).media_udp_port
                self.up.set()
                log.info("worker_up", worker=self.number, pid=process.pid, media_udp_port=self.media_udp_port)
                within_s = SILENT_S


@asynccontextmanager
async def running(orders: WorkerOrders) -> AsyncIterator[asyncio.subprocess.Process]:
    """A worker, while open; its orders come on its input, so that no secret stands in an argument list."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "live.worker"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        start_new_session=True,  # a terminal's Ctrl-C is for the parent, which ends its workers in order
    )
    assert process.stdin is not None
    try:
        with suppress(ConnectionError):  # it may have died already; its status tells
            process.stdin.write(written(orders))
            await process.stdin.drain()
        yield process
    finally:
        await _stop(process)


async def _stop(process: asyncio.subprocess.Process) -> None:
    with suppress(ProcessLookupError):
        process.terminate()
    try:
        await asyncio.wait_for(process.wait(), DOWN_S * 2 + 5)
    except TimeoutError:
        log.error("worker_killed", pid=process.pid)
        process.kill()
        await process.wait()
