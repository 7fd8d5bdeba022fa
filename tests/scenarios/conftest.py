"""A service of its own process on a data directory of its own, and buyers who talk to it as strangers would."""

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx2
import msgspec
import pytest
from playwright.async_api import expect

READY_S = 60

expect.set_options(timeout=20_000)  # only to catch a hang


class Reply(msgspec.Struct):
    """An HTTP answer."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self):
        return msgspec.json.decode(self.body)


class Buyer:
    """One connection of one buyer; `send` can hold its last byte back so that many go off at the same instant."""

    def __init__(self, host, port, token):
        self.host, self.port, self.token = host, port, token

    async def connect(self):
        self.reader, self.writer = await asyncio.open_connection(self.host, self.port)

    def prepare(self, method, path, body, key):
        """Write all but the last byte."""
        data = msgspec.json.encode(body)
        head = (
            f"{method} {path} HTTP/1.1\r\nHost: {self.host}:{self.port}\r\nAuthorization: Bearer {self.token}\r\n"
            f"Content-Type: application/json\r\nIdempotency-Key: {key}\r\nContent-Length: {len(data)}\r\n\r\n"
        )
        whole = head.encode() + data
        self.writer.write(whole[:-1])
        self.last = whole[-1:]

    def release(self):
        self.writer.write(self.last)

    async def answer(self) -> Reply:
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode()
        first, *lines = head.strip().split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        body = await self.reader.readexactly(int(headers.get("content-length", 0)))
        return Reply(int(first.split()[1]), headers, body)

    def close(self):
        self.writer.close()


class Service:
    """`showfloor serve` as an operator runs it."""

    def __init__(self, data_dir: Path, *options: str):
        self.data_dir, self.options = data_dir, options
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.base_url = f"http://127.0.0.1:{self.port}"
        self.log = data_dir.parent / f"{data_dir.name}.log"
        self.process = None

    def launch(self):
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command("serve", "--port", str(self.port), *self.options),
                stdout=log,
                stderr=log,
                env=os.environ | {"REDIS_URL": "", "DATABASE_URL": ""},
            )

    async def start(self):
        self.launch()
        async with httpx2.AsyncClient(base_url=self.base_url) as http:
            end = time.monotonic() + READY_S
            while True:
                with contextlib.suppress(httpx2.TransportError):
                    if (await http.get("/readyz")).status_code == 200:
                        return self
                assert self.process.poll() is None, self.log.read_text()
                assert time.monotonic() < end, self.log.read_text()
                await asyncio.sleep(0.05)

    def command(self, name, *more):
        return [sys.executable, "-m", "live", name, "--data-dir", str(self.data_dir), *more]

    def run(self, name, *more):
        return subprocess.run(self.command(name, *more), capture_output=True, text=True, timeout=60, check=False)

    def token(self, role, show):
        made = self.run("token", "--role", role, "--show", show)
        assert made.returncode == 0, made.stderr
        return made.stdout.strip()

    def kill(self):
        """kill -9: nothing of the program runs any more, its stores do."""
        self.process.kill()
        self.process.wait(timeout=10)

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(timeout=40)
            except subprocess.TimeoutExpired:
                self.process.kill()
                raise

    def client(self, token=""):
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return httpx2.AsyncClient(base_url=self.base_url, headers=headers, timeout=30)

    async def guests(self, show, count):
        """Join `count` guests, in waves; their answers."""
        async with self.client() as http:

            async def join():
                answer = await http.post(f"/api/v1/shows/{show}/guests")
                assert answer.status_code == 201, answer.text
                return answer.json()

            joined = []
            while len(joined) < count:
                joined += await asyncio.gather(*(join() for _ in range(min(50, count - len(joined)))))
            return joined

    def buyer(self, guest):
        return Buyer("127.0.0.1", self.port, guest["viewer_token"])

    @contextlib.asynccontextmanager
    async def crowd(self, guests) -> AsyncIterator[list[Buyer]]:
        """A connected buyer for each guest."""
        buyers = [self.buyer(guest) for guest in guests]
        for at in range(0, len(buyers), 100):
            await asyncio.gather(*(buyer.connect() for buyer in buyers[at : at + 100]))
        try:
            yield buyers
        finally:
            for buyer in buyers:
                buyer.close()

    async def sell(self, show, variant, *, stock, limit=1, price=1800):
        """A live show with one product of one variant; tokens of its host and operator."""
        operator, host = self.token("operator", show), self.token("host", show)
        async with self.client(self.token_for_all()) as http:
            for path, body in (
                ("/api/v1/shows", {"show_id": show, "title": show, "starts_at_ms": 0}),
                (
                    "/api/v1/products",
                    {
                        "title": variant,
                        "product_id": f"p-{variant}",
                        "variants": [{"variant_id": variant, "price_amount": price}],
                    },
                ),
                (
                    f"/api/v1/shows/{show}/items",
                    {"variant_id": variant, "opening_stock": stock, "limit_per_buyer": limit},
                ),
            ):
                answer = await http.post(path, json=body)
                assert answer.status_code == 201, answer.text
        async with self.client(host) as http:
            answer = await http.put(f"/api/v1/shows/{show}/state", json={"state": "live"})
            assert answer.status_code == 200, answer.text
        return host, operator

    def token_for_all(self):
        made = self.run("token", "--role", "operator")
        assert made.returncode == 0, made.stderr
        return made.stdout.strip()

    async def stock(self, show, variant):
        async with self.client() as http:
            items = (await http.get(f"/api/v1/shows/{show}")).json()["items"]
        return next(item["stock"] for item in items if item["variant_id"] == variant)


@pytest.fixture
def service(tmp_path) -> Iterator[Service]:
    """Not started yet; stopped, with its stores, at the end."""
    made = Service(tmp_path / "data", "--load")
    yield made
    if made.process and made.process.poll() is not None and made.process.returncode == -signal.SIGKILL:
        pytest.fail("the test left the service killed; its stores would stay: start it again")
    made.stop()
