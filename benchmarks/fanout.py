"""Server CPU (user and system) to deliver one chat message of 200 bytes to one viewer.

Three servers, each in a process of its own, each with N viewers in a load process of its own, measured in turns:

- `gateway`: ours, end to end: published through Redis, one shared frame a tick of 100 ms, handed-off sockets;
- `starlette`: `await send_text` in a loop over everybody, stock uvicorn, each message as it comes from Redis;
- `sends`: the limit: a loop of `send` of frames as large and as many as ours, and nothing else.

usage: python benchmarks/fanout.py [--viewers 500,2000] [--windows 5] [--rate 50]
"""

import argparse
import asyncio
import os
import statistics
import sys
import tempfile
import time
from contextlib import AsyncExitStack
from pathlib import Path

import redis.asyncio

from live.stores import EmbeddedStores
from realtime.hub import Hub, Lane
from schema.ids import AccountId, MessageId, ShowId, new_id
from schema.people import Role
from schema.wire import Chat

HERE = Path(__file__).parent
TICK_S = 0.1
DEADLINE_S = 60
MESSAGE_BYTES = 200
WAYS = ("gateway", "starlette", "sends")


def chat() -> Chat:
    """An event of MESSAGE_BYTES on the wire, give or take the digits of its offset."""
    head = {"account_id": AccountId("acc_" + "a" * 26), "name": "viewer 12345", "role": Role.VIEWER, "at_ms": 10**12}
    return Chat(id=MessageId(new_id("msg")), text="x" * 23, **head)


class Program:
    """A child that answers one line for each line."""

    def __init__(self, child: asyncio.subprocess.Process) -> None:
        self.child = child

    @classmethod
    async def start(cls, stack: AsyncExitStack, name: str, *arguments: str) -> "Program":
        child = await asyncio.create_subprocess_exec(
            sys.executable,
            str(HERE / name),
            *arguments,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env=os.environ | {"PYTHONPATH": str(HERE.parent)},
        )
        made = cls(child)
        stack.push_async_callback(made.stop)
        return made

    async def line(self) -> list[str]:
        async with asyncio.timeout(DEADLINE_S):
            return (await self.child.stdout.readline()).decode().split()

    def tell(self, text: str = "") -> None:
        self.child.stdin.write(f"{text}\n".encode())

    async def ask(self, text: str = "") -> list[int]:
        self.tell(text)
        answer = await self.line()
        if not answer:
            raise SystemExit(f"a process of the benchmark ended with {self.child.returncode}")
        return [int(word) for word in answer]

    async def stop(self) -> None:
        if self.child.returncode is None:
            self.child.kill()
        await self.child.wait()


class Contender:
    """One way, with its server and its viewers."""

    def __init__(self, way: str, server: Program, viewers: Program, count: int, bytes_each: float) -> None:
        self.way, self.server, self.viewers, self.count, self.bytes_each = way, server, viewers, count, bytes_each
        self.us: list[float] = []

    @classmethod
    async def start(cls, stack: AsyncExitStack, way: str, url: str, count: int) -> "Contender":
        server = await Program.start(stack, "fanout_server.py", way, url)
        port = (await server.line())[0]
        path = "/ws/bench?ticket=viewer{n}" if way == "gateway" else "/ws"
        if way != "sends":
            warm = await Program.start(stack, "fanout_client.py", port, path, "20", '"t":"chat"')
            await warm.line()
            await warm.stop()
        before = (await server.ask())[1]
        viewers = await Program.start(stack, "fanout_client.py", port, path, str(count), '"t":"chat"')
        if way == "sends":
            server.tell(f"accept {count}")
        assert await viewers.line() == ["ready"], way
        bytes_each = ((await server.ask())[1] - before) / count
        return cls(way, server, viewers, count, bytes_each)

    async def received(self) -> int:
        return (await self.viewers.ask())[0]

    async def window(self, hub: Hub, client: redis.asyncio.Redis, rate: int) -> None:
        """One second of messages; CPU is read when the last one has arrived everywhere."""
        start, cpu = await self.received(), (await self.server.ask())[0]
        if self.way == "sends":
            per_tick = int(rate * TICK_S)
            cpu_end = (await self.server.ask(f"{int(1 / TICK_S)} {per_tick * MESSAGE_BYTES + 40}"))[0]
            self.us.append((cpu_end - cpu) / 1000 / (rate * self.count))
            return
        for _ in range(rate):
            began = time.monotonic()
            if self.way == "gateway":
                await hub.publish(ShowId("bench"), chat(), lane=Lane.CHAT)
            else:
                await client.publish("starlette", '"t":"chat"' + "x" * (MESSAGE_BYTES - 10))
            await asyncio.sleep(max(0, 1 / rate - (time.monotonic() - began)))
        async with asyncio.timeout(DEADLINE_S):
            while await self.received() - start < rate * self.count:
                await asyncio.sleep(0.05)  # asking costs the load process, not the server
        cpu_end = (await self.server.ask())[0]
        self.us.append((cpu_end - cpu) / 1000 / (rate * self.count))

    def row(self) -> str:
        low, high = min(self.us), max(self.us)
        memory = f"{self.bytes_each / 1024:6.1f} KB" if self.way != "sends" else "        -"
        return f"| {self.way:9} | {statistics.median(self.us):6.2f} | {low:6.2f} - {high:6.2f} | {memory} |"


async def measure(url: str, client: redis.asyncio.Redis, hub: Hub, count: int, windows: int, rate: int) -> None:
    async with AsyncExitStack() as stack:
        contenders = [await Contender.start(stack, way, url, count) for way in WAYS]
        for _ in range(windows):
            for one in contenders:
                await one.window(hub, client, rate)
        print(f"\n{count} viewers x {rate} messages/s of {MESSAGE_BYTES} B, {windows} windows of 1 s, in turns")
        print("| way       | us/msg |      range      | RSS/viewer |")
        for one in contenders:
            print(one.row())
        ours, theirs = (statistics.median(one.us) for one in contenders[:2])
        print(f"starlette / gateway = {theirs / ours:.1f}", flush=True)


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--viewers", default="500,2000")
    parser.add_argument("--windows", type=int, default=5)
    parser.add_argument("--rate", type=int, default=50)
    options = parser.parse_args()
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="fanout") as folder:
        async with (
            EmbeddedStores(Path(folder)) as stores,
            redis.asyncio.from_url(stores.redis_url) as client,
            Hub(client) as hub,
        ):
            for count in options.viewers.split(","):
                await measure(stores.redis_url, client, hub, int(count), options.windows, options.rate)
    print(f"\n{os.cpu_count()} CPUs, load {os.getloadavg()[0]:.1f}, {time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    asyncio.run(main())
