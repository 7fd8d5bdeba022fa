"""The embedded Valkey: the gate's memory and the messages between processes.

Owns: `<data>/valkey`. Invariant: append-only file, synced every second; nothing is ever evicted; no TCP.
"""

import asyncio
import contextlib
import signal
from pathlib import Path

from live.stores.identity import Identity
from live.stores.server import Server, StoreError, is_running, read_pid

SOCKET_NAME = "valkey.sock"
DATABASES = 64
_PING_TIMEOUT_S = 2.0


def url(sockets: Path) -> str:
    """The address for `redis.asyncio.from_url`."""
    return f"unix://{sockets / SOCKET_NAME}"


async def start(program: Path, data: Path, sockets: Path, identity: Identity) -> Server:
    """A Valkey on `data`: the one that is still running there, else a new one."""
    home = data / "valkey"
    home.mkdir(mode=0o700, exist_ok=True)
    identity.own(home)
    log_path = data / "valkey.log"
    server = await _orphan(home, sockets, log_path) or Server.spawn(
        "Valkey",
        [*identity.prefix, program, *_options(home, sockets)],
        cwd=home,
        log_path=log_path,
        stop_signal=signal.SIGTERM,
    )
    try:
        await server.wait_ready(lambda: answers(sockets))
    except BaseException:
        server.kill()
        raise
    return server


async def answers(sockets: Path) -> bool:
    """True if a server says PONG: up, and done loading its file."""
    with contextlib.suppress(OSError, TimeoutError):
        async with asyncio.timeout(_PING_TIMEOUT_S):
            reader, writer = await asyncio.open_unix_connection(sockets / SOCKET_NAME)
            try:
                writer.write(b"PING\r\n")
                return (await reader.readline()).startswith(b"+PONG")
            finally:
                writer.close()
    return False


async def _orphan(home: Path, sockets: Path, log_path: Path) -> Server | None:
    """The server that outlived its program; None once it is clear that there is none."""
    pid = read_pid(home / "valkey.pid")
    if pid is None or not is_running(pid) or not is_ours(pid, home):
        return None
    server = Server("Valkey", pid, child=None, stop_signal=signal.SIGTERM, log_path=log_path)
    try:
        await server.wait_ready(lambda: answers(sockets))
    except StoreError:
        if server.alive():
            raise
        return None  # it was on its way out
    return server


def is_ours(pid: int, home: Path) -> bool:
    """False if the pid now belongs to another program (a reboot, a wrapped counter): both servers stay in `home`."""
    try:
        return Path(f"/proc/{pid}/cwd").resolve() == home.resolve()
    except OSError:
        return True


def _options(home: Path, sockets: Path) -> list[str]:
    options = {
        "port": "0",
        "unixsocket": str(sockets / SOCKET_NAME),
        "unixsocketperm": "700",
        "dir": str(home),
        "pidfile": str(home / "valkey.pid"),
        "appendonly": "yes",
        "appendfsync": "everysec",
        "save": "",
        "maxmemory-policy": "noeviction",
        "databases": str(DATABASES),
        "daemonize": "no",
    }
    return [word for name, value in options.items() for word in (f"--{name}", value)]
