"""From a tap to a durable "yours", over HTTP, as a buyer waits for it: 50 connections to a real `showfloor serve`.

First the capacity: 50 buyers, each tapping again as soon as it is answered. Then half of it, at instants fixed
beforehand; a tap's time counts from its instant, also while all 50 connections are busy (no coordinated omission).
Every tap is another key of the next of many accounts (an account may tap twice a second), on the one product that is
pinned or on one of several, says the price it saw, and must be answered 201.

The same, in turn, for `bare`: one row made durable by a Starlette route on uvicorn, on the same PostgreSQL, nothing
decided. Clients, servers and stores share the machine.

    python benchmarks/tap.py [--windows 5] [--seconds 4] [--accounts 3000] [--products 1]
"""

import argparse
import asyncio
import contextlib
import itertools
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from types import SimpleNamespace

import msgspec
import uvloop

from live.stores import running_or_started

SHOW, BUYERS, PRICE = "tap", 50, 4900
READY_S, ANSWER_S = 60.0, 30.0


class Line:
    """One connection of a buyer's."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    @classmethod
    async def to(cls, port: int) -> "Line":
        return cls(*await asyncio.open_connection("127.0.0.1", port))

    async def ask(self, request: bytes) -> tuple[int, bytes]:
        """Status and body."""
        self._writer.write(request)
        head = (await asyncio.wait_for(self._reader.readuntil(b"\r\n\r\n"), ANSWER_S)).lower()
        length = int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0] or 0)
        return int(head[9:12]), await self._reader.readexactly(length) if length else b""

    def close(self) -> None:
        self._writer.close()


def request(method: str, path: str, body: object, token: str = "", key: str = "") -> bytes:
    data = msgspec.json.encode(body)
    fields = f"Content-Type: application/json\r\nContent-Length: {len(data)}\r\nIdempotency-Key: {key}\r\n"
    bearer = f"Authorization: Bearer {token}\r\n" if token else ""
    return f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{fields}{bearer}\r\n".encode() + data


class Contender:
    """A server, 50 connections to it, and its taps, each another one."""

    def __init__(self, name: str, port: int, taps: Iterator[bytes]) -> None:
        self.name, self._port, self._taps = name, port, taps
        self._lines: list[Line] = []
        self.capacity: list[float] = []
        self.windows: list[list[float]] = []

    async def connect(self) -> None:
        self._lines = [await Line.to(self._port) for _ in range(BUYERS)]

    async def _tap(self, line: Line) -> None:
        status, body = await line.ask(next(self._taps))
        assert status == 201, (self.name, status, body[:200])

    async def closed(self, seconds: float) -> float:
        """Taps a second when each buyer taps again at once."""
        end, done = time.perf_counter() + seconds, 0

        async def buyer(line: Line) -> None:
            nonlocal done
            while time.perf_counter() < end:
                await self._tap(line)
                done += 1

        begin = time.perf_counter()
        await asyncio.gather(*(buyer(line) for line in self._lines))
        return done / (time.perf_counter() - begin)

    async def open(self, rate: float, seconds: float) -> list[float]:
        """The ms of each tap since its instant, at `rate` a second."""
        begin = time.perf_counter() + 0.05
        due = deque(begin + number / rate for number in range(int(rate * seconds)))
        took: list[float] = []

        async def buyer(line: Line) -> None:
            while due:
                at = due.popleft()
                if (wait := at - time.perf_counter()) > 0:
                    await asyncio.sleep(wait)
                await self._tap(line)
                took.append((time.perf_counter() - at) * 1000)

        await asyncio.gather(*(buyer(line) for line in self._lines))
        return took


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextlib.asynccontextmanager
async def running(command: list[str], port: int, folder: Path) -> AsyncIterator[None]:
    """A server of its own process, from its first answer to its end."""
    log_path = folder / f"{port}.log"
    with log_path.open("wb") as log:
        process = subprocess.Popen(  # noqa: ASYNC220
            command, stdout=log, stderr=log, env=os.environ | {"REDIS_URL": "", "DATABASE_URL": ""}
        )
    try:
        await answers(port, process, log_path)
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


async def answers(port: int, process: "subprocess.Popen[bytes]", log: Path) -> None:
    async with asyncio.timeout(READY_S):
        while True:
            assert process.poll() is None, log
            with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                line = await Line.to(port)
                status, _ = await line.ask(request("GET", "/readyz", None))
                line.close()
                if status in {200, 404}:
                    return
            await asyncio.sleep(0.1)


def live(data: Path, name: str, *more: str) -> list[str]:
    return [sys.executable, "-m", "live", name, "--data-dir", str(data), *more]


async def open_shop(port: int, data: Path, accounts: int, products: int) -> list[str]:
    """A live show with its products; tokens of so many guests."""
    make = live(data, "token", "--role", "operator")
    token = subprocess.run(make, capture_output=True, text=True, check=True).stdout.strip()  # noqa: ASYNC221
    line, api = await Line.to(port), "/api/v1"

    async def say(method: str, path: str, body: object) -> None:
        status, answer = await line.ask(request(method, f"{api}{path}", body, token, path))
        assert status in {200, 201}, answer

    await say("POST", "/shows", {"show_id": SHOW, "title": SHOW, "starts_at_ms": 0})
    for number in range(products):
        variant = {"variant_id": f"v{number}", "price_amount": PRICE}
        await say("POST", "/products", {"title": "Pot", "product_id": f"p{number}", "variants": [variant]})
        item = {"variant_id": f"v{number}", "opening_stock": 1_000_000, "limit_per_buyer": 1000}
        await say("POST", f"/shows/{SHOW}/items", item)
    await say("PUT", f"/shows/{SHOW}/state", {"state": "live"})
    line.close()
    return await guests(port, accounts)


async def guests(port: int, accounts: int) -> list[str]:
    tokens: list[str] = []

    async def join(line: Line) -> None:
        while len(tokens) < accounts:
            status, body = await line.ask(request("POST", f"/api/v1/shows/{SHOW}/guests", {}))
            assert status == 201, body
            tokens.append(msgspec.json.decode(body)["viewer_token"])

    lines = [await Line.to(port) for _ in range(20)]
    await asyncio.gather(*(join(line) for line in lines))
    for line in lines:
        line.close()
    return tokens


def our_taps(tokens: list[str], products: int) -> Iterator[bytes]:
    for number, token in enumerate(itertools.cycle(tokens)):
        body = {"variant_id": f"v{number % products}", "quantity": 1, "unit_price_amount": PRICE}
        yield request("POST", f"/api/v1/shows/{SHOW}/holds", body, token, f"k{number}")


def bare_taps() -> Iterator[bytes]:
    for number in itertools.count():
        yield request("POST", "/holds", {"variant_id": "v0", "quantity": 1}, key=f"k{number}")


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--windows", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--accounts", type=int, default=3000)
    parser.add_argument("--products", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        port, bare_port, data = free_port(), free_port(), folder / "data"
        async with running(live(data, "serve", "--port", str(port), "--load"), port, folder):
            tokens = await open_shop(port, data, options.accounts, options.products)
            at = SimpleNamespace(redis_url="", database_url="", data_dir=data)
            async with running_or_started(at) as stores:  # type: ignore[arg-type]
                program = str(Path(__file__).with_name("tap_bare.py"))
                command = [sys.executable, program, str(bare_port), stores.database_url]
                async with running(command, bare_port, folder):
                    ours = Contender("showfloor", port, our_taps(tokens, options.products))
                    bare = Contender("bare", bare_port, bare_taps())
                    await measure([ours, bare], options)


async def measure(contenders: list[Contender], options: argparse.Namespace) -> None:
    for each in contenders:
        await each.connect()
        await each.closed(1.0)  # warm
    for _ in range(3):
        for each in contenders:
            each.capacity.append(await each.closed(options.seconds))
    for _ in range(options.windows):
        for each in contenders:
            each.windows.append(await each.open(statistics.median(each.capacity) / 2, options.seconds))
    print(
        f"{BUYERS} buyers at once, products: {options.products}; {options.windows} windows of {options.seconds:g} s "
        "at half of what each can do"
    )
    print(f"{'':<12}{'taps/s, closed loop':>26}{'open at':>9}{'p50 ms':>20}{'p99 ms':>22}{'longest':>9}")
    for each in contenders:
        show(each)


def show(of: Contender) -> None:
    middle = [statistics.median(window) for window in of.windows]
    tail = [statistics.quantiles(window, n=100)[98] for window in of.windows]
    longest = max(map(max, of.windows))
    can = f"{statistics.median(of.capacity):,.0f} ({min(of.capacity):,.0f} - {max(of.capacity):,.0f})"
    cells = [f"{statistics.median(runs):.1f} ({min(runs):.1f} - {max(runs):.1f})" for runs in (middle, tail)]
    print(
        f"{of.name:<12}{can:>26}{statistics.median(of.capacity) / 2:>9,.0f}{cells[0]:>20}{cells[1]:>22}{longest:>9.0f}"
    )


if __name__ == "__main__":
    uvloop.run(main())
