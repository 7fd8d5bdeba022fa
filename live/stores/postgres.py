"""The embedded PostgreSQL: the truth about stock, holds, orders and shows.

Owns: `<data>/pg`. Invariant: fsync is on; a half-made cluster is never taken for a whole one; no TCP.
"""

import asyncio
import shutil
import signal
import subprocess
from pathlib import Path
from urllib.parse import quote

import asyncpg

from live.stores.binaries import postgres_major
from live.stores.identity import Identity
from live.stores.server import Server, StoreError, clean_environment, is_running, read_pid
from live.stores.valkey import is_ours

USER = "showfloor"
DATABASE = "showfloor"
_PORT = 5432
_INITDB_TIMEOUT_S = 120
_CONNECT_TIMEOUT_S = 5.0
_OPTIONS = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "max_connections": "100",
    "shared_buffers": "64MB",
    "fsync": "on",
    "max_parallel_workers_per_gather": "0",  # our queries are short; parallel ones want /dev/shm
    "log_min_messages": "warning",
    "logging_collector": "off",
}


def url(sockets: Path, database: str = DATABASE) -> str:
    """The address for asyncpg: a unix socket, and a port that PGPORT cannot change."""
    return f"postgresql://{USER}@/{database}?host={quote(str(sockets), safe='/')}&port={_PORT}"


async def start(program: Path, data: Path, sockets: Path, identity: Identity) -> Server:
    """A PostgreSQL on `data`, with our database in it: the one still running there, else a new one."""
    home = data / "pg"
    await _make_cluster(program, data, home, identity)
    identity.own(home)
    log_path = data / "postgres.log"
    server = await _orphan(home, sockets, log_path) or _spawn(program, home, sockets, log_path, identity)
    try:
        await server.wait_ready(lambda: answers(sockets))
        await _make_database(sockets)
    except BaseException:
        server.kill()
        raise
    return server


async def answers(sockets: Path) -> bool:
    """True if a server accepts a connection and a query."""
    try:
        connection = await asyncpg.connect(url(sockets, "postgres"), timeout=_CONNECT_TIMEOUT_S)
    except (OSError, TimeoutError, asyncpg.CannotConnectNowError, asyncpg.ConnectionDoesNotExistError):
        return False
    await connection.close()
    return True


def _spawn(program: Path, home: Path, sockets: Path, log_path: Path, identity: Identity) -> Server:
    options = [word for name, value in _OPTIONS.items() for word in ("-c", f"{name}={value}")]
    return Server.spawn(
        "PostgreSQL",
        [*identity.prefix, program, "-D", home, "-k", sockets, "-p", str(_PORT), *options],
        cwd=home,
        log_path=log_path,
        stop_signal=signal.SIGINT,  # fast shutdown: open transactions are rolled back
    )


async def _make_cluster(program: Path, data: Path, home: Path, identity: Identity) -> None:
    """Run initdb in a directory aside, then one rename: a crash in between leaves nothing that looks whole."""
    if (home / "PG_VERSION").exists():
        made_by, ours = int((home / "PG_VERSION").read_text()), await asyncio.to_thread(postgres_major, program)
        if made_by != ours:
            raise StoreError(
                f"{home} was made by PostgreSQL {made_by} and this is PostgreSQL {ours}. "
                f"Move the data with pg_dump, or choose another directory: SHOWFLOOR_DATA_DIR."
            )
        return
    aside = data / "pg.new"
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir(mode=0o700)
    identity.own(aside)
    await asyncio.to_thread(_initdb, program.parent / "initdb", aside, identity)
    aside.rename(home)


def _initdb(program: Path, home: Path, identity: Identity) -> None:
    options = ["-U", USER, "--auth=trust", "--encoding=UTF8", "--locale-provider=builtin", "--locale=C.UTF-8"]
    if postgres_major(program) < 17:  # the builtin provider came with 17
        options = ["-U", USER, "--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8"]
    made = subprocess.run(  # noqa: S603
        [*identity.prefix, program, "-D", home, *options],
        cwd=home,
        env=clean_environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=_INITDB_TIMEOUT_S,
    )
    if made.returncode:
        raise StoreError(f"initdb failed as {identity.how}: {made.stderr.strip()[-600:]}")


async def _orphan(home: Path, sockets: Path, log_path: Path) -> Server | None:
    """The server that outlived its program; None once it is clear that there is none."""
    pid_path = home / "postmaster.pid"
    pid = read_pid(pid_path)
    if pid is None or not is_running(pid):
        return None
    if not is_ours(pid, home):
        pid_path.unlink()  # PostgreSQL would refuse to start: to it, any living process is a rival
        return None
    server = Server("PostgreSQL", pid, child=None, stop_signal=signal.SIGINT, log_path=log_path)
    try:
        await server.wait_ready(lambda: answers(sockets))
    except StoreError:
        if server.alive():
            raise
        return None  # it was on its way out
    return server


async def _make_database(sockets: Path) -> None:
    connection = await asyncpg.connect(url(sockets, "postgres"), timeout=_CONNECT_TIMEOUT_S)
    try:
        if not await connection.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", DATABASE):
            await connection.execute(f"CREATE DATABASE {DATABASE}")
    finally:
        await connection.close()
