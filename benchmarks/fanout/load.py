"""Viewers: load.c, compiled when it is needed, and what it is asked.

Owns: its process. Invariant: each command has one answer, within a deadline.
"""

import asyncio
import os
import resource
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, Self
from urllib.parse import urlsplit

from relay import pin

from fanout import cpu_ns

HERE = Path(__file__).parent
DEADLINE_S = 180


class Ages(NamedTuple):
    """How old the messages were when they came, in milliseconds."""

    count: int
    p50: float
    p99: float
    most: float
    viewers_p50: float
    """The median over the viewers of each one's median."""
    viewers_p99: float
    worst_p99: float


class Tally(NamedTuple):
    """So far."""

    open: int
    closed: int
    stamps: int
    frames: int
    bytes: int
    cpu_us: int
    last_code: int


def build(name: str, into: Path) -> Path:
    """A program of this folder, made from its C source. Raises SystemExit without a compiler."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        raise SystemExit("this benchmark needs a C compiler: its viewers are in C, to cost little")
    made = into / name
    if not made.exists():
        subprocess.run([compiler, "-O2", "-o", made, HERE / f"{name}.c"], check=True)
    return made


class Load:
    """A process of viewers of one server."""

    def __init__(self, child: asyncio.subprocess.Process, folder: Path) -> None:
        self._child, self._folder = child, folder

    @classmethod
    async def start(
        cls,
        programs: Path,
        url: str,
        paths: Sequence[str] = (),
        *,
        hello: str = "",
        first_frame: bool = False,
        receive_buffer: int = 0,
    ) -> Self:
        """Of `ws://address:port/path`; `paths`, where given, are asked for in its place, one by each viewer."""
        parts = urlsplit(url)
        folder = Path(tempfile.mkdtemp(prefix="load"))
        query = f"?{parts.query}" if parts.query else ""
        (folder / "paths").write_text("\n".join(paths or [f"{parts.path or '/'}{query}"]))
        (folder / "hello").write_text(hello)
        child = await asyncio.create_subprocess_exec(
            build("load", programs),
            parts.hostname or "127.0.0.1",
            str(parts.port),
            str(folder / "paths"),
            str(folder / "hello") if hello else "-",
            str(int(first_frame)),
            str(receive_buffer),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        pin(child.pid, server=False)
        return cls(child, folder)

    @property
    def pid(self) -> int:
        return self._child.pid

    async def _ask(self, command: str, deadline_s: float = DEADLINE_S) -> list[str]:
        assert self._child.stdin
        assert self._child.stdout
        self._child.stdin.write(f"{command}\n".encode())
        async with asyncio.timeout(deadline_s):
            words = (await self._child.stdout.readline()).decode().split()
        if not words:
            raise ConnectionError("the viewers ended; what they said stands above")
        return words[1:]

    async def open(self, count: int) -> int:
        """Open so many more; how many are open now."""
        return int((await self._ask(f"open {count}"))[0])

    async def wait(self, stamps: int, seconds: float) -> int:
        """Until so many stamped messages have come since `mark`, or the time is over; how many have."""
        return int((await self._ask(f"wait {stamps} {int(seconds * 1000)}", seconds + DEADLINE_S))[0])

    async def mark(self) -> None:
        await self._ask("mark")

    async def stall(self) -> int:
        """None of those that are open reads from now on."""
        return int((await self._ask("stall"))[0])

    async def talk(self, rate: int, seconds: float, text: str) -> int:
        """Let the viewers say `text`, whose % becomes a stamp, so often a second; how often they did."""
        return int((await self._ask(f"talk {rate} {int(seconds * 1000)} {text}", seconds + DEADLINE_S))[0])

    async def ages(self) -> Ages:
        count, *us = await self._ask("ages")
        return Ages(int(count), *(float(one) / 1000 for one in us))

    async def tally(self) -> Tally:
        return Tally(*map(int, await self._ask("tally")))

    def cpu_ns(self) -> int:
        return cpu_ns(self.pid)

    async def stop(self) -> None:
        if self._child.returncode is None:
            self._child.kill()
        await self._child.wait()
        shutil.rmtree(self._folder, ignore_errors=True)


def descriptors() -> int:
    """How many sockets a process may hold here."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard if hard > 0 else os.sysconf("SC_OPEN_MAX")
