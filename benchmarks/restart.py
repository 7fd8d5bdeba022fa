"""A rolling restart of two processes under a room that talks: who misses anything, or hears it twice.

    python benchmarks/restart.py                    # 1,000 viewers, about a minute
    python benchmarks/restart.py --viewers 200

`showfloor serve --workers 2`, every viewer a socket of `realtime.client` in this one process, ten chat messages a
second from all of them in turn. Each worker is ended with SIGTERM and replaced, as a deploy does; the second one
once everybody is back. `back` is the time from a viewer's closed socket to its first frame on the next. A gap is an
offset between two events of a viewer's that never came, a repeat one that came again; `anew` counts the snapshots
that somebody got for having lost its place.
"""

import argparse
import asyncio
import contextlib
import itertools
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx2
import uvloop

sys.path.insert(0, str(Path(__file__).parent.parent))

from realtime.client import Happened, ShowClient, Told
from realtime.client_tickets import TicketRefused

SHOW = "rolling"
HANG_S = 120.0
"""Only to catch what never comes."""
BACK_S = 5.0
WAVE = 50
SAID_MIN = 20
"""Messages during and after each restart."""
__all__ = ["Happened", "Told"]  # for the test of the count
Restart = Callable[[], Awaitable[None]]


class Office:
    """Tickets over a few kept connections and plain streams: a thousand of them within a second must cost little."""

    def __init__(self, base_url: str, connections: int = 32) -> None:
        self._host, _, port = base_url.removeprefix("http://").partition(":")
        self._port = int(port)
        self._free: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
        self._turns = asyncio.Semaphore(connections)

    async def ticket(self, token: str) -> str:
        """Raises TicketRefused."""
        async with self._turns:
            try:
                reader, writer = self._free.pop() if self._free else await self._connect()
                writer.write(
                    f"POST /api/v1/shows/{SHOW}/tickets HTTP/1.1\r\nHost: {self._host}\r\n"
                    f"Authorization: Bearer {token}\r\nContent-Length: 0\r\n\r\n".encode()
                )
                head = await reader.readuntil(b"\r\n\r\n")
                length = next(one for one in head.lower().split(b"\r\n") if one.startswith(b"content-length:"))
                body = await reader.readexactly(int(length.partition(b":")[2]))
            except (OSError, EOFError) as error:
                raise TicketRefused(0, repr(error)) from None
            if b"connection: close" not in head.lower():
                self._free.append((reader, writer))
        status = int(head.split(b" ", 2)[1])
        if status != 201:
            raise TicketRefused(status, body.decode())
        return str(json.loads(body)["ticket"])

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection(self._host, self._port)

    def close(self) -> None:
        for _, writer in self._free:
            writer.close()


class Seat:
    """One viewer: every offset it was given, and how long it was away."""

    def __init__(self, base_url: str, office: Office | None, token: str) -> None:
        ticket = (lambda: office.ticket(token)) if office else None
        self.client = ShowClient(base_url, SHOW, ticket=ticket, on_status=self._status)
        self.token = token
        self.offset: int | None = None
        self.gaps = self.repeats = self.anew = self.heard = 0
        self.away_s: list[float] = []
        self._lost_s: float | None = None

    def _status(self, status: str, _pause_ms: int) -> None:
        if status == "waiting" and self._lost_s is None:
            self._lost_s = time.monotonic()

    @property
    def here(self) -> bool:
        return self.offset is not None and self._lost_s is None

    async def sit(self) -> None:
        async with self.client:
            async for told in self.client:
                self._take(told)

    def _take(self, told: Told) -> None:
        if self._lost_s is not None:
            self.away_s.append(time.monotonic() - self._lost_s)
            self._lost_s = None
        if told.snapshot:
            self.anew += self.offset is not None
            self.offset = told.offset
            return
        for at, _ in told.events:
            if at is None or self.offset is None:
                continue
            self.gaps += at > self.offset + 1
            self.repeats += at <= self.offset
            self.offset = max(self.offset, at)
            self.heard += 1


class Room:
    """All viewers, and what is said meanwhile."""

    def __init__(self, base_url: str, tokens: list[str], *, rate: float = 10.0) -> None:
        self._office = Office(base_url)
        self._talking = httpx2.AsyncClient(base_url=base_url, timeout=30)
        self.seats = [Seat(base_url, self._office, token) for token in tokens]
        self.rate = rate
        self.said = self.refused = 0
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> "Room":
        for at in range(0, len(self.seats), WAVE):
            wave = self.seats[at : at + WAVE]
            self._tasks += [asyncio.create_task(seat.sit()) for seat in wave]
            await until(lambda: all(seat.here for seat in wave))  # noqa: B023 - awaited here
        self._talk = asyncio.create_task(self._go_on_talking())
        return self

    async def __aexit__(self, *_: object) -> None:
        await _end([self._talk, *self._tasks])
        self._office.close()
        await self._talking.aclose()

    async def _go_on_talking(self) -> None:
        """The viewers in turn, so that nobody's own limit is reached; a post that a restart cut off is not repeated."""
        for number, seat in enumerate(itertools.cycle(self.seats)):
            await self.say(seat.token, f"message {number}")
            await asyncio.sleep(1 / self.rate)

    async def say(self, token: str, text: str) -> int:
        headers = {"Authorization": f"Bearer {token}"}
        try:
            answer = await self._talking.post(f"/api/v1/shows/{SHOW}/chat", json={"text": text}, headers=headers)
        except httpx2.TransportError:
            self.refused += 1
            return 0
        if answer.status_code != 202:
            self.refused += 1
            return 0
        self.said += 1
        return int(answer.json()["offset"])

    async def come_through(self, restarts: list[Restart], last_word: str) -> None:
        """Each restart in turn, and the next when all are back; then everybody has heard the last word."""
        for restart in restarts:
            before, said = self.returns, self.said
            await restart()
            await until(lambda: self.returns > before and self.all_here)  # noqa: B023 - awaited here
            await until(lambda: self.said >= said + SAID_MIN)  # noqa: B023
        await _end([self._talk])
        last = 0
        async with asyncio.timeout(HANG_S):
            while not last:
                last = await self.say(last_word, "the last word")
                await asyncio.sleep(0.2)
        await until(lambda: all(seat.offset is not None and seat.offset >= last for seat in self.seats))

    @property
    def returns(self) -> int:
        return sum(len(seat.away_s) for seat in self.seats)

    @property
    def all_here(self) -> bool:
        return all(seat.here for seat in self.seats) and not any(task.done() for task in self._tasks)

    def report(self) -> dict[str, Any]:
        away = sorted(one for seat in self.seats for one in seat.away_s)
        return {
            "viewers": len(self.seats),
            "said": self.said,
            "posts refused": self.refused,
            "heard": sum(seat.heard for seat in self.seats),
            "gaps": sum(seat.gaps for seat in self.seats),
            "repeats": sum(seat.repeats for seat in self.seats),
            "anew": sum(seat.anew for seat in self.seats),
            "came back": len(away),
            "back ms: median": round(statistics.median(away) * 1000),
            "back ms: p99": round(away[int(len(away) * 0.99)] * 1000),
            "back ms: last": round(away[-1] * 1000),
            "back within 5 s %": round(100 * sum(one <= BACK_S for one in away) / len(away), 2),
        }


async def until(holds: Callable[[], Any]) -> None:
    async with asyncio.timeout(HANG_S):
        while not holds():
            await asyncio.sleep(0.05)


async def _end(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def workers_of(pid: int) -> list[int]:
    """The pids of a parent's workers."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(child) for child in children if b"live.worker" in _command(int(child))]


def _command(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


async def replace(parent: int, worker: int, base_url: str) -> None:
    """SIGTERM; its successor is there when two workers answer."""
    os.kill(worker, signal.SIGTERM)
    await until(lambda: worker not in workers_of(parent) and len(workers_of(parent)) == 2)
    async with asyncio.timeout(HANG_S):
        while len(await answering(base_url)) < 2:
            await asyncio.sleep(0.2)


async def answering(base_url: str) -> set[int]:
    """The workers that answer fresh connections."""
    seen = set()
    for _ in range(16):
        with contextlib.suppress(httpx2.TransportError):
            async with httpx2.AsyncClient(base_url=base_url) as http:
                seen.add((await http.get("/healthz")).json()["worker"])
    return seen


# -- the service ----------------------------------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def serving(folder: Path) -> AsyncIterator[tuple[subprocess.Popen[bytes], str]]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    base_url = f"http://127.0.0.1:{port}"
    options = ("--data-dir", str(folder / "data"), "--port", str(port), "--workers", "2", "--load")
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([*PROGRAM, "serve", *options], stdout=log, stderr=log)  # noqa: ASYNC220
    try:
        async with asyncio.timeout(HANG_S):
            while len(await answering(base_url)) < 2:
                await asyncio.sleep(0.2)
        yield process, base_url
    finally:
        process.terminate()
        process.wait(60)


PROGRAM = (sys.executable, "-m", "live")


def token(folder: Path, role: str = "operator") -> str:
    line = [*PROGRAM, "token", "--role", role, "--data-dir", str(folder / "data")]
    return subprocess.run(line, check=True, capture_output=True, text=True).stdout.strip()


async def guests(base_url: str, count: int) -> list[str]:
    """Their tokens."""
    async with httpx2.AsyncClient(base_url=base_url, timeout=30) as http:

        async def join() -> str:
            answer = await http.post(f"/api/v1/shows/{SHOW}/guests")
            answer.raise_for_status()
            return str(answer.json()["viewer_token"])

        tokens: list[str] = []
        while len(tokens) < count:
            tokens += await asyncio.gather(*(join() for _ in range(min(WAVE, count - len(tokens)))))
        return tokens


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--viewers", type=int, default=1000)
    parser.add_argument("--rate", type=float, default=10.0, help="messages a second")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        async with serving(folder) as (process, base_url):
            staff = {"Authorization": f"Bearer {token(folder)}"}
            async with httpx2.AsyncClient(base_url=base_url, headers=staff) as http:
                body = {"show_id": SHOW, "title": "Rolling", "starts_at_ms": 0}
                (await http.post("/api/v1/shows", json=body)).raise_for_status()
            tokens = await guests(base_url, asked.viewers + 1)
            async with Room(base_url, tokens[:-1], rate=asked.rate) as room:
                restarts = [
                    lambda worker=worker: replace(process.pid, worker, base_url) for worker in workers_of(process.pid)
                ]
                await room.come_through(restarts, tokens[-1])
                for what, value in room.report().items():
                    print(f"{what:20} {value}")


if __name__ == "__main__":
    uvloop.run(main())
