"""The two stores of one seed, in a directory of its own, and everything bad that can happen to a store.

Owns: the directory, the servers, and the file system below them when the disk is to run full.
"""

import asyncio
import contextlib
import random
import re
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

import asyncpg
from faults import processes

from live.migrations import migrate
from live.stores import postgres, valkey
from live.stores.binaries import find
from live.stores.embedded import make_sockets_dir
from live.stores.identity import current
from live.stores.server import Server, StoreError

SEGMENT = 16 << 20
"""Bytes of one WAL file."""
FLUSHED = (
    "SELECT (pg_current_wal_flush_lsn() - '0/0'::pg_lsn)::text, (pg_current_wal_insert_lsn() - '0/0'::pg_lsn)::text"
)
FROZEN_ANSWER_S = 2.0
CUT_TRIES = 60
"""How often a moment is looked for at which something written is not flushed yet."""
SMALL_DISK_BYTES = 192 << 20
SYNC_EVERY_S = 1.0
START_TRIES = 40


class Stores:
    """Valkey and PostgreSQL, started by the same functions as the product's own embedded ones."""

    def __init__(self, folder: Path, *, small_disk: bool = False, template: Path | None = None) -> None:
        self.folder, self.small_disk, self._template = folder, small_disk, template
        self._servers: dict[str, Server] = {}
        self.notes: list[str] = []
        """What was cut and how much of it, for the record of the seed."""

    async def __aenter__(self) -> "Stores":
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if self.small_disk:
            size = f"size={SMALL_DISK_BYTES},mode=700"
            await _run("mount", "-t", "tmpfs", "-o", size, "none", str(self.folder))
        try:
            if self._template:
                shutil.copytree(self._template, self.folder, dirs_exist_ok=True, symlinks=True)
            self._programs, self._identity = find(), current(self.folder)
            for path in self.folder.iterdir():
                self._identity.own(path)
            self._sockets = make_sockets_dir(self.folder, self._identity)
            await self.start_postgres()
            await self.start_redis()
            await migrate(self.database_url)
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        for server in self._servers.values():
            processes.send(signal.SIGCONT, *processes.family(server.pid))
            await processes.kill(*processes.family(server.pid))
        if self.small_disk:
            await _run("umount", "-l", str(self.folder))

    @property
    def database_url(self) -> str:
        return postgres.url(self._sockets)

    @property
    def redis_url(self) -> str:
        return valkey.url(self._sockets)

    # -- up and down --------------------------------------------------------------------------------------------

    async def start_postgres(self) -> None:
        await self._start("postgres", lambda: postgres.start(self._programs.postgres, *self._start_arguments()))

    async def start_redis(self) -> None:
        await self._start("redis", lambda: valkey.start(self._programs.valkey, *self._start_arguments()))

    def _start_arguments(self) -> tuple:
        return self.folder, self._sockets, self._identity

    async def _start(self, name, starter) -> None:
        """Tried again as a service manager would: a PostgreSQL has to wait for its predecessor's last backend."""
        for attempt in range(START_TRIES):
            try:
                self._servers[name] = await starter()
            except StoreError:
                if attempt == START_TRIES - 1:
                    raise
                await asyncio.sleep(0.1)
            else:
                return

    async def ensure(self) -> None:
        """What ended by itself (a disk that was full) is started again."""
        for name, start in (("postgres", self.start_postgres), ("redis", self.start_redis)):
            if not self._servers[name].alive():
                await start()

    def pid(self, name: str) -> int:
        return self._servers[name].pid

    async def kill(self, name: str) -> None:
        """kill -9 of the server and of all its processes, as a power cut would."""
        await processes.kill(*processes.family(self.pid(name)))
        while self._servers[name].alive():  # threads of it may still be ending
            await asyncio.sleep(0.005)

    async def freeze(self, name: str, seconds: float) -> None:
        stopped = processes.freeze(self.pid(name))
        try:
            await asyncio.sleep(seconds)
        finally:
            processes.thaw(stopped)

    # -- writes that were never synced --------------------------------------------------------------------------

    async def cut_postgres(self) -> None:
        """Power off: every byte of WAL that was not flushed is gone.

        All its processes are stopped but one, which says how far the WAL is flushed: nobody can flush any more, and
        whoever was told "committed" has been flushed. Then kill -9, and zeros from there on.
        """
        admin = await asyncpg.connect(self.database_url, timeout=5)
        for attempt in range(CUT_TRIES):
            await admin.fetchrow(FLUSHED)  # prepared: later it needs no catalog, and so no lock of a stopped process
            stopped = processes.freeze(self.pid("postgres"), but=admin.get_server_pid())
            try:
                flushed, inserted = map(int, await asyncio.wait_for(admin.fetchrow(FLUSHED), FROZEN_ANSWER_S))
                if inserted > flushed or attempt == CUT_TRIES - 1:
                    break
                processes.thaw(stopped)  # there is nothing to lose at this moment
                await asyncio.sleep(0.01)
            except TimeoutError:  # one of them was stopped while it had a lock
                processes.thaw(stopped)
                admin.terminate()
                admin = await asyncpg.connect(self.database_url, timeout=5)
        await self.kill("postgres")
        admin.terminate()
        self.notes.append(f"WAL cut at {flushed:X}, {inserted - flushed} bytes were not flushed")
        self._zero_wal(flushed)

    def _zero_wal(self, lsn: int) -> None:
        wal = self.folder / "pg" / "pg_wal"
        files = sorted(path for path in wal.iterdir() if re.fullmatch(r"[0-9A-F]{24}", path.name))
        timeline = files[-1].name[:8]
        number = lsn // SEGMENT
        name = f"{timeline}{number >> 8:08X}{number & 0xFF:08X}"
        for path in files:
            if path.name[8:] > name[8:]:
                path.unlink()
            elif path.name == name:
                with path.open("r+b") as file:
                    file.seek(lsn % SEGMENT)
                    file.write(bytes(SEGMENT - lsn % SEGMENT))

    def _aof(self) -> Path:
        return max((self.folder / "valkey" / "appendonlydir").glob("*.incr.aof"))

    async def cut_redis(self, dice: random.Random) -> None:
        """Power off: some of what was appended since the last sync, at most a second ago, is gone."""
        synced = self._aof().stat().st_size
        await asyncio.sleep(SYNC_EVERY_S)
        await self.kill("redis")
        written = self._aof().stat().st_size
        keep = dice.randint(min(synced, written), written)
        self.notes.append(f"AOF cut: {written - keep} of {written - synced} bytes of its last second")
        with self._aof().open("r+b") as file:
            file.truncate(keep)

    def copy_of_redis(self) -> Path:
        """Its files as they are now."""
        copy = self.folder / "redis-before"
        shutil.rmtree(copy, ignore_errors=True)
        stopped = processes.freeze(self.pid("redis"))
        try:
            shutil.copytree(self.folder / "valkey" / "appendonlydir", copy)
        finally:
            processes.thaw(stopped)
        return copy

    async def roll_redis_back(self, copy: Path) -> None:
        await self.kill("redis")
        files = self.folder / "valkey" / "appendonlydir"
        shutil.rmtree(files)
        shutil.copytree(copy, files)
        self._identity.own(files)

    # -- disk ---------------------------------------------------------------------------------------------------

    async def fill_disk(self, seconds: float) -> None:
        """Both stores on a file system without a free byte; both are seen to live or started again afterwards."""
        assert self.small_disk
        ballast = self.folder / "ballast"
        end = time.monotonic() + seconds
        try:
            with ballast.open("wb", buffering=0) as file:
                while time.monotonic() < end:
                    with contextlib.suppress(OSError):  # what they free is taken, too
                        file.write(bytes(1 << 20))
                        continue
                    with contextlib.suppress(OSError):
                        file.write(bytes(4096))
                        continue
                    await asyncio.sleep(0.02)
            self.notes.append(f"{shutil.disk_usage(self.folder).free} bytes free at the end")
        finally:
            ballast.unlink(missing_ok=True)
        await self.ensure()


async def _run(*command: str) -> None:
    process = await asyncio.create_subprocess_exec(*command)
    assert await asyncio.wait_for(process.wait(), 10) == 0, command


def may_mount() -> bool:
    """True if this user may mount a small file system, to run full."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            made = subprocess.run(
                ["mount", "-t", "tmpfs", "-o", "size=1m", "none", folder], capture_output=True, check=False, timeout=10
            )
        except OSError:
            return False
        if made.returncode == 0:
            subprocess.run(["umount", folder], check=False, timeout=10)
        return made.returncode == 0


async def make_template(folder: Path) -> Path:
    """A migrated cluster to be copied: initdb takes longer than a whole seed's set-up."""
    async with Stores(folder) as stores:
        server = stores._servers["postgres"]
        await server.stop()
    for name in ("valkey", "run", "postgres.log", "valkey.log"):
        path = folder / name
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    return folder
