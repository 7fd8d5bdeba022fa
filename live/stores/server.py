"""One server of the embedded stores: a child of ours, or one that outlived the program that started it.

Owns: the process, from spawn or adoption to its end.
Invariant: after `stop()` the process is gone. Every wait has a deadline.
"""

import asyncio
import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import BinaryIO

import structlog

log = structlog.get_logger()

POLL_S = 0.005
START_DEADLINE_S = 60.0
"""Crash recovery replays up to a checkpoint's worth of WAL before PostgreSQL answers."""
STOP_DEADLINE_S = 20.0
LOG_TAIL_CHARS = 600
LOG_MAX_BYTES = 10 * 1024 * 1024


class StoreError(RuntimeError):
    """The stores cannot be had. The message says why, and what mends it."""


class Server:
    """A running server process, known by its pid."""

    def __init__(
        self, name: str, pid: int, *, child: "subprocess.Popen[bytes] | None", stop_signal: int, log_path: Path
    ) -> None:
        self.name = name
        self.pid = pid
        self.adopted = child is None
        self._child = child
        self._stop_signal = stop_signal
        self._log_path = log_path

    @classmethod
    def spawn(
        cls, name: str, command: Sequence[str | Path], *, cwd: Path, log_path: Path, stop_signal: int
    ) -> "Server":
        """Start `command` in a session of its own, so that a Ctrl-C in the terminal reaches us alone."""
        with _open_log(log_path) as output:
            child = subprocess.Popen(  # noqa: S603
                command,
                cwd=cwd,
                env=clean_environment(),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        return cls(name, child.pid, child=child, stop_signal=stop_signal, log_path=log_path)

    def alive(self) -> bool:
        """False once the process has ended."""
        return self._child.poll() is None if self._child else is_running(self.pid)

    async def wait_ready(self, ready: Callable[[], Awaitable[bool]]) -> None:
        """Return once `ready()` says so. StoreError, with the log's end, if the process ends first or in 60 s."""
        deadline = time.monotonic() + START_DEADLINE_S
        while not await ready():
            if not self.alive():
                raise StoreError(f"{self.name} ended while starting: {self._tail()}")
            if time.monotonic() > deadline:
                raise StoreError(f"{self.name} did not answer within {START_DEADLINE_S:.0f} s: {self._tail()}")
            await asyncio.sleep(POLL_S)

    async def stop(self) -> None:
        """Ask it to end, wait, and kill it at the deadline."""
        self._signal(self._stop_signal)
        if await self._ended(STOP_DEADLINE_S):
            return
        log.error("store_killed", store=self.name, pid=self.pid, after_s=STOP_DEADLINE_S)
        self.kill()
        await self._ended(STOP_DEADLINE_S)

    def kill(self) -> None:
        """End it at once; both servers recover from that."""
        self._signal(signal.SIGKILL)

    async def _ended(self, within_s: float) -> bool:
        deadline = time.monotonic() + within_s
        while self.alive():
            if time.monotonic() > deadline:
                return False
            await asyncio.sleep(POLL_S)
        return True

    def _signal(self, number: int) -> None:
        if self.alive():
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def _tail(self) -> str:
        text = self._log_path.read_text(errors="replace") if self._log_path.exists() else ""
        return f"{text[-LOG_TAIL_CHARS:].strip() or 'it said nothing'} (log: {self._log_path})"


def _open_log(path: Path) -> BinaryIO:
    """Ours alone to read; begun anew once it is large, so that years of starts do not fill the disk."""
    large = path.exists() and path.stat().st_size > LOG_MAX_BYTES
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | (os.O_TRUNC if large else os.O_APPEND), 0o600), "wb")


def is_running(pid: int) -> bool:
    """True if there is such a process and it is not a zombie that nobody has reaped."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return Path("/proc/self").exists() is False  # gone meanwhile; without /proc the signal's word stands
    return stat.rpartition(")")[2].split()[0] != "Z"


def read_pid(path: Path) -> int | None:
    """The pid on the first line of `path`, if there is one."""
    try:
        return int(path.read_text().split("\n", 1)[0])
    except (OSError, ValueError):
        return None


def clean_environment() -> dict[str, str]:
    """Our environment without PG* (PGPORT, PGDATA would steer the server) and in a locale every machine has."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    return kept | {"LC_ALL": "C.UTF-8", "TZ": "UTC"}
