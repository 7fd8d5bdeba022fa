"""Signals for a process and all it started, by pid."""

import asyncio
import contextlib
import os
import signal
import time
from pathlib import Path

END_S = 10.0


def children(pid: int) -> list[int]:
    """The living children of `pid`."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError, ValueError, IndexError):
            name, _, rest = stat.read_text().rpartition(")")
            state, parent = rest.split()[:2]
            if int(parent) == pid and state != "Z":
                found.append(int(name.split()[0]))
    return found


def family(pid: int) -> list[int]:
    """`pid` and everything below it, parents first."""
    found = [pid]
    for each in found:
        found += children(each)
    return found


def send(number: int, *pids: int) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def freeze(pid: int, *, but: int = 0) -> list[int]:
    """Stop `pid` and everything below it, but one; whom to `thaw`. The parent first: then no new ones come."""
    send(signal.SIGSTOP, pid)
    stopped = [each for each in family(pid) if each != but]
    send(signal.SIGSTOP, *stopped)
    return stopped


def thaw(stopped: list[int]) -> None:
    send(signal.SIGCONT, *stopped)


def exists(pid: int) -> bool:
    with contextlib.suppress(OSError, IndexError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


async def kill(*pids: int) -> None:
    """kill -9, and wait until they are gone."""
    send(signal.SIGKILL, *pids)
    end = time.monotonic() + END_S
    while any(map(exists, pids)):
        assert time.monotonic() < end, f"{pids} outlive kill -9"
        await asyncio.sleep(0.005)
