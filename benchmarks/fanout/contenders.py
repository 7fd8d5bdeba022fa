"""Who is measured: a process, how its viewers get in, and how it is told a message.

Owns: the processes it started. Invariant: a server runs on the server's core, its stores do not.
"""

import asyncio
import os
import secrets
import sys
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import httpx2
import msgspec
import redis.asyncio
from relay import pin

from fanout import SHOW, TICK_S, chat, plain
from fanout.load import HERE, Load, build
from live.auth import Tokens
from live.pipeline import Pipeline
from live.stores import EmbeddedStores
from live.tickets import Tickets
from realtime.core.channel import glue, stamp
from realtime.core.frames import frame
from realtime.hub import Hub, Lane
from schema.ids import AccountId, ShowId, new_id
from schema.people import Principal, Role

TICKET_S = 600
START_S = 60


class World:
    """The stores and compiled programs of one run."""

    def __init__(self, folder: Path, stores: EmbeddedStores, client: redis.asyncio.Redis, redis_pid: int) -> None:
        self.folder, self.stores, self.client, self.redis_pid = folder, stores, client, redis_pid
        self.secret = secrets.token_urlsafe(32)
        self.tokens = Tokens(self.secret)

    def environment(self) -> dict[str, str]:
        return os.environ | {
            "PYTHONPATH": str(HERE.parent.parent),
            "REDIS_URL": self.stores.redis_url,
            "DATABASE_URL": self.stores.database_url,
            "SHOWFLOOR_TOKEN_SECRET": self.secret,
        }

    @classmethod
    @asynccontextmanager
    async def open(cls, folder: Path) -> "AsyncIterator[World]":
        async with EmbeddedStores(folder / "stores") as stores, redis.asyncio.from_url(stores.redis_url) as client:
            redis_pid = int((await client.info("server"))["process_id"])
            yield cls(folder, stores, client, redis_pid)


async def start(
    stack: AsyncExitStack, *command: str, env: dict[str, str] | None = None
) -> tuple[asyncio.subprocess.Process, int]:
    """A server on its core, and its port, which it prints."""
    pipe = asyncio.subprocess.PIPE
    child = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe, env=env)
    pin(child.pid, server=True)
    stack.push_async_callback(_end, child)
    async with asyncio.timeout(START_S):
        line = await child.stdout.readline()
    if not line:
        raise SystemExit(f"{command[1:3]} did not start; what it said stands above")
    pin(child.pid, server=True)  # the threads that it has started since
    return child, int(line)


async def _end(child: asyncio.subprocess.Process) -> None:
    if child.returncode is None:
        child.terminate()
        try:
            async with asyncio.timeout(20):
                await child.wait()
        except TimeoutError:
            child.kill()
    await child.wait()


class Contender:
    """`say` hands the server one stamped message for everybody; it may go out later, with others."""

    name: str
    pid: int
    url: str
    hello = ""
    first_frame = False

    async def paths(self, count: int) -> list[str]:  # noqa: ARG002 - some need a path a viewer
        return []

    async def say(self) -> None: ...

    async def viewers(self, world: World, count: int, **more: int) -> Load:
        """A load process that is ready to open so many."""
        paths = await self.paths(count)
        return await Load.start(world.folder, self.url, paths, hello=self.hello, first_frame=self.first_frame, **more)


class Ours(Contender):
    """The whole service; messages come from another process, by Redis."""

    name, first_frame = "ours", True

    def __init__(self, world: World, hub: Hub, child: asyncio.subprocess.Process, port: int) -> None:
        self._hub, self._tickets = hub, Tickets(Pipeline(world.client), ttl_s=TICKET_S)
        self.world, self.child, self.pid, self.port = world, child, child.pid, port
        self.url = f"ws://127.0.0.1:{port}/ws/{SHOW}"
        self.base = f"http://127.0.0.1:{port}"

    @classmethod
    async def start(cls, stack: AsyncExitStack, world: World, *, probe: bool = False) -> "Ours":
        env = world.environment() | ({"PROBE": "1"} if probe else {})
        command = [sys.executable, str(HERE / "service.py"), "0", str(world.folder / "data")]
        child, port = await start(stack, *command, env=env)
        made = cls(world, await stack.enter_async_context(Hub(world.client)), child, port)
        await made._schedule()
        return made

    async def _schedule(self) -> None:
        async with self.http(Role.OPERATOR) as http:
            body = {"title": "Benchmark", "starts_at_ms": time.time_ns() // 1_000_000, "show_id": SHOW}
            answer = await http.post("/api/v1/shows", json=body)
            if answer.status_code not in {201, 409}:
                raise SystemExit(f"no show: {answer.text}")

    def token(self, role: Role, account: str = "") -> str:
        who = Principal(account_id=AccountId(account or new_id("acct")), role=role, name=role.value, show_id=None)
        return self.world.tokens.issue(who, 3600)

    def http(self, role: Role) -> httpx2.AsyncClient:
        headers = {"Authorization": f"Bearer {self.token(role)}"}
        return httpx2.AsyncClient(base_url=self.base, headers=headers, timeout=30)

    async def paths(self, count: int) -> list[str]:
        async def one(number: int) -> str:
            account = AccountId(f"acc_{number:022}")
            who = Principal(account_id=account, role=Role.VIEWER, name=f"viewer {number}", show_id=ShowId(SHOW))
            return f"/ws/{SHOW}?ticket={(await self._tickets.issue(who, ShowId(SHOW))).ticket}"

        return await asyncio.gather(*(one(number) for number in range(count)))

    async def say(self) -> None:
        await self._hub.publish(ShowId(SHOW), chat(), lane=Lane.CHAT)

    async def held(self) -> tuple[int, float, float, float]:
        """Since the last call: how often the loop was looked at, and for how many ms it was held: p50, p99, most."""
        self.child.stdin.write(b"\n")
        async with asyncio.timeout(START_S):
            count, *us = map(int, (await self.child.stdout.readline()).split())
        return count, us[0] / 1000, us[1] / 1000, us[2] / 1000


class Loop(Contender):
    """loop.c: the frames that we would send, made here and sent there."""

    name = "C epoll loop, the same frames"

    def __init__(self, child: asyncio.subprocess.Process, port: int) -> None:
        self._child, self.pid = child, child.pid
        self.url = f"ws://127.0.0.1:{port}/"
        self._waiting: list[bytes] = []
        self._offset = 0
        self._flushed_at = 0.0
        self._timer: asyncio.TimerHandle | None = None

    @classmethod
    async def start(cls, stack: AsyncExitStack, world: World) -> "Loop":
        return cls(*await start(stack, str(build("loop", world.folder))))

    async def say(self) -> None:
        self._offset += 1
        self._waiting.append(stamp(self._offset, msgspec.json.encode(chat())))
        if self._timer is None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_at(max(loop.time(), self._flushed_at + TICK_S), self._flush)

    def _flush(self) -> None:
        data = frame(glue("c" * 16, self._offset, self._waiting, {}))
        self._waiting, self._timer, self._flushed_at = [], None, asyncio.get_running_loop().time()
        self._child.stdin.write(len(data).to_bytes(4, "little") + data)


class Common(Contender):
    """A server of servers.py."""

    def __init__(self, world: World, name: str, child: asyncio.subprocess.Process, port: int) -> None:
        self._client, self.name, self.pid = world.client, name, child.pid
        self.url = f"ws://127.0.0.1:{port}/ws"

    @classmethod
    async def start(cls, stack: AsyncExitStack, world: World, which: str) -> "Common":
        command = [sys.executable, str(HERE / "servers.py"), which, world.stores.redis_url]
        names = {"starlette": "Starlette, a loop of `send_text`", "websockets": "`websockets.broadcast`"}
        return cls(world, names[which], *await start(stack, *command))

    async def say(self) -> None:
        await self._client.publish("bench", plain())


class Publish(msgspec.Struct):
    """How a peer is told: `{message}` in the body becomes the message."""

    url: str
    body: str
    headers: dict[str, str] = {}


class Description(msgspec.Struct):
    """A peer's file: its address, its process, what a viewer says first, and how it is told."""

    name: str
    url: str
    pid: int
    publish: Publish
    hello: str = ""


class Peer(Contender):
    """Any server of WebSockets that runs already and is told by HTTP."""

    def __init__(self, of: Description, http: httpx2.AsyncClient) -> None:
        self.name, self.pid, self.url, self.hello = of.name, of.pid, of.url, of.hello
        self.first_frame = bool(of.hello)
        self._publish, self._http = of.publish, http

    @classmethod
    async def start(cls, stack: AsyncExitStack, path: Path) -> "Peer":
        of = msgspec.json.decode(path.read_bytes(), type=Description)  # noqa: ASYNC240 - nothing else runs yet
        http = await stack.enter_async_context(httpx2.AsyncClient(timeout=30))
        pin(of.pid, server=True)
        return cls(of, http)

    async def say(self) -> None:
        body = self._publish.body.replace("{message}", plain())
        answer = await self._http.post(self._publish.url, content=body, headers=self._publish.headers)
        answer.raise_for_status()
        if b'"error"' in answer.content:
            raise SystemExit(f"{self.name}: {answer.text}")


async def everybody(stack: AsyncExitStack, world: World, names: list[str], peers: list[Path]) -> list[Contender]:
    """Those named, started, in that order, then the peers."""
    found: list[Contender] = []
    for name in names:
        if name == "ours":
            found.append(await Ours.start(stack, world))
        elif name == "loop":
            found.append(await Loop.start(stack, world))
        else:
            found.append(await Common.start(stack, world, name))
    return [*found, *[await Peer.start(stack, path) for path in peers]]
