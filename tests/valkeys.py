"""A Valkey of a test's own: to be killed, frozen and started again while a service depends on it."""

import asyncio
import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import redis.asyncio
from redis.crc import key_slot

from live.stores.binaries import find

UP_S = 30


class Valkey:
    """One server; `options` are its own. What was written to it survives `kill` and `start`, unless it `forget`s."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.folder = folder
        self.options = options or ("--port", "0", "--unixsocket", str(folder / "s"))
        self.url = f"unix://{folder / 's'}"
        self.process: subprocess.Popen[bytes] | None = None

    async def start(self) -> None:
        kept = ("--dir", str(self.folder), "--appendonly", "yes", "--appendfsync", "always", "--save", "")
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(  # noqa: ASYNC220 - it forks and returns
                [find().valkey, *self.options, *kept], stdout=log, stderr=log
            )
        async with asyncio.timeout(UP_S), redis.asyncio.from_url(self.url) as client:
            while True:
                with contextlib.suppress(redis.RedisError, OSError):
                    if await client.ping():
                        return
                assert self.process.poll() is None, (self.folder / "log").read_text()
                await asyncio.sleep(0.02)

    def freeze(self) -> None:
        os.kill(self.process.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        os.kill(self.process.pid, signal.SIGCONT)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def forget(self) -> None:
        """Between `kill` and `start`: nothing is left of what it knew."""
        for path in self.folder.glob("appendonlydir/*"):
            path.unlink()


@contextlib.asynccontextmanager
async def own_valkey() -> AsyncIterator[Valkey]:
    """Running, in a folder whose name is short enough for a socket."""
    folder = Path(tempfile.mkdtemp(prefix="vk"))
    made = Valkey(folder)
    try:
        await made.start()
        yield made
    finally:
        if made.process is not None:
            made.kill()
        shutil.rmtree(folder, ignore_errors=True)


class Cluster:
    """Three servers that share the slots; each is killed, frozen and started like any other."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ports = free_ports(6)
        self.nodes = [
            ClusterNode(folder / str(number), self.ports[number], self.ports[number + 3]) for number in range(3)
        ]
        self.url = self.nodes[0].url

    async def start(self) -> None:
        await asyncio.gather(*(node.start() for node in self.nodes))
        async with redis.asyncio.from_url(self.url) as first:
            for node in self.nodes[1:]:
                await first.execute_command("CLUSTER", "MEET", "127.0.0.1", node.port, node.bus_port)
        for number, node in enumerate(self.nodes):
            async with node.client() as client:
                slots = number * 5461, (number + 1) * 5461 - 1 if number < 2 else 16_383
                await client.execute_command("CLUSTER", "ADDSLOTSRANGE", *slots)
        async with asyncio.timeout(UP_S):
            while not all([await node.knows_all() for node in self.nodes]):
                await asyncio.sleep(0.05)

    async def add_replica(self, of: "ClusterNode") -> "ClusterNode":
        """Another server, that has all that `of` has."""
        port, bus_port = free_ports(2)
        made = ClusterNode(self.folder / "replica", port, bus_port)
        self.nodes.append(made)
        await made.start()
        async with of.client() as primary, made.client() as replica:
            await replica.execute_command("CLUSTER", "MEET", "127.0.0.1", of.port, of.bus_port)
            name = (await primary.execute_command("CLUSTER", "MYID")).decode()
            async with asyncio.timeout(UP_S):
                while True:
                    with contextlib.suppress(redis.ResponseError):  # it has not heard of it yet
                        await replica.execute_command("CLUSTER", "REPLICATE", name)
                        break
                    await asyncio.sleep(0.05)
                while (await replica.info("replication")).get("master_link_status") != "up":
                    await asyncio.sleep(0.05)
        return made

    async def owner(self, key: str) -> "ClusterNode":
        """Who has the slot of `key`."""
        slot = key_slot(key.encode())
        for node in self.nodes:
            async with node.client() as client:
                for begin, end, first, *_ in await client.execute_command("CLUSTER", "SLOTS"):
                    if begin <= slot <= end:
                        return next(one for one in self.nodes if one.port == first[1])
        raise AssertionError(f"nobody has slot {slot}")

    async def move(self, key: str, target: "ClusterNode") -> None:
        """The slot of `key`, with all that is in it, from its owner to `target`, as an operator does it."""
        async with self.moving(key, target):
            pass

    @contextlib.asynccontextmanager
    async def moving(self, key: str, target: "ClusterNode") -> AsyncIterator[None]:
        """In the block the keys are there already, and the slot is still the old owner's."""
        slot, source = key_slot(key.encode()), await self.owner(key)
        async with source.client() as giver, target.client() as taker:
            ids = [(await one.execute_command("CLUSTER", "MYID")).decode() for one in (giver, taker)]
            await taker.execute_command("CLUSTER", "SETSLOT", slot, "IMPORTING", ids[0])
            await giver.execute_command("CLUSTER", "SETSLOT", slot, "MIGRATING", ids[1])
            while keys := await giver.execute_command("CLUSTER", "GETKEYSINSLOT", slot, 100):
                await giver.execute_command("MIGRATE", "127.0.0.1", target.port, "", 0, 5000, "KEYS", *keys)
            yield
            for one in (taker, giver):
                await one.execute_command("CLUSTER", "SETSLOT", slot, "NODE", ids[1])


class ClusterNode(Valkey):
    """One of a cluster, on loopback."""

    def __init__(self, folder: Path, port: int, bus_port: int) -> None:
        folder.mkdir()
        self.port, self.bus_port = port, bus_port
        cluster = ("--cluster-enabled", "yes", "--cluster-port", str(bus_port), "--cluster-node-timeout", "3000")
        super().__init__(folder, "--bind", "127.0.0.1", "--port", str(port), *cluster)
        self.url = f"redis://127.0.0.1:{port}"

    def client(self) -> redis.asyncio.Redis:
        return redis.asyncio.from_url(self.url)

    async def knows_all(self) -> bool:
        async with self.client() as client:
            said = (await client.execute_command("CLUSTER", "INFO")).decode()
        return "cluster_state:ok" in said and "cluster_known_nodes:3" in said and "cluster_slots_ok:16384" in said


def free_ports(count: int) -> list[int]:
    """Nobody's at this moment."""
    with contextlib.ExitStack() as stack:
        probes = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [probe.getsockname()[1] for probe in probes]


@contextlib.asynccontextmanager
async def own_cluster() -> AsyncIterator[Cluster]:
    """Running, with every slot covered."""
    folder = Path(tempfile.mkdtemp(prefix="vkc"))
    made = Cluster(folder)
    try:
        await made.start()
        yield made
    finally:
        for node in made.nodes:
            if node.process is not None:
                node.kill()
        shutil.rmtree(folder, ignore_errors=True)
