"""A Valkey of a test's own: to be killed, frozen and started again while a service depends on it."""

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import redis.asyncio

from live.stores.binaries import find

UP_S = 30


class Valkey:
    """One server; `options` are its own. What was written to it survives `kill` and `start`, unless it `forget`s."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.folder = folder
        self.options = options or ("--port", "0", "--unixsocket", str(folder / "s"))
        self.url = f"unix://{folder / 's'}"
        self.process: subprocess.Popen[bytes] | None = None

    async def start(self) -> None:
        kept = ("--dir", str(self.folder), "--appendonly", "yes", "--appendfsync", "always", "--save", "")
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(  # noqa: ASYNC220 - it forks and returns
                [find().valkey, *self.options, *kept], stdout=log, stderr=log
            )
        async with asyncio.timeout(UP_S), redis.asyncio.from_url(self.url) as client:
            while True:
                with contextlib.suppress(redis.RedisError, OSError):
                    if await client.ping():
                        return
                assert self.process.poll() is None, (self.folder / "log").read_text()
                await asyncio.sleep(0.02)

    def freeze(self) -> None:
        os.kill(self.process.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        os.kill(self.process.pid, signal.SIGCONT)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def forget(self) -> None:
        """Between `kill` and `start`: nothing is left of what it knew."""
        for path in self.folder.glob("appendonlydir/*"):
            path.unlink()


@contextlib.asynccontextmanager
async def own_valkey() -> AsyncIterator[Valkey]:
    """Running, in a folder whose name is short enough for a socket."""
    folder = Path(tempfile.mkdtemp(prefix="vk"))
    made = Valkey(folder)
    try:
        await made.start()
        yield made
    finally:
        if made.process is not None:
            made.kill()
        shutil.rmtree(folder, ignore_errors=True)
