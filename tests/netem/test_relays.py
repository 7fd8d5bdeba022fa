"""The relays on real sockets: an echo behind each, and a WHEP session behind the whole."""

import asyncio
import contextlib
import json
import socket
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from netem.link import Conditions
from netem.tcp import TcpRelay
from netem.udp import MAX_FLOWS, UdpRelay, through

DEADLINE_S = 20


class Echo(asyncio.DatagramProtocol):
    """Sends back what comes, and remembers from where."""

    def __init__(self) -> None:
        self.clients: set[tuple[str, int]] = set()

    def connection_made(self, transport) -> None:
        self.transport = transport

    def datagram_received(self, data, addr) -> None:
        self.clients.add(addr)
        self.transport.sendto(data, addr)


@pytest.fixture
async def echo() -> AsyncIterator[tuple[Echo, tuple[str, int]]]:
    loop = asyncio.get_running_loop()
    transport, protocol = await loop.create_datagram_endpoint(Echo, local_addr=("127.0.0.1", 0))
    yield protocol, transport.get_extra_info("sockname")
    transport.close()


class Client:
    """A connected socket that waits for what it is sent."""

    def __init__(self, port: int) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setblocking(False)
        self.socket.connect(("127.0.0.1", port))

    def send(self, data: bytes) -> None:
        self.socket.send(data)

    async def receive(self, count: int) -> list[bytes]:
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(DEADLINE_S):
            return [await loop.sock_recv(self.socket, 2048) for _ in range(count)]


@contextlib.contextmanager
def clients(port: int, count: int = 1):
    made = [Client(port) for _ in range(count)]
    yield made
    for client in made:
        client.socket.close()


async def test_each_client_has_a_socket_of_its_own_and_hears_its_own_answers(echo):
    far, address = echo
    async with UdpRelay(address, seed=7) as relay:
        with clients(relay.port, 3) as three:
            for number, client in enumerate(three):
                client.send(b"from %d" % number)
            assert [await client.receive(1) for client in three] == [[b"from 0"], [b"from 1"], [b"from 2"]]
            assert len(far.clients) == 3


async def test_the_delay_is_added_in_both_directions(echo):
    _, address = echo
    conditions = Conditions(delay_ms=40)
    async with UdpRelay(address, seed=7, up=conditions, down=conditions) as relay:
        with clients(relay.port) as (client,):
            began = time.monotonic()
            client.send(b"there and back")
            await client.receive(1)
            assert time.monotonic() - began >= 0.08


async def test_a_seed_loses_the_same_datagrams_again(echo):
    _, address = echo

    async def survivors() -> list[bytes]:
        async with UdpRelay(address, seed=7, up=Conditions(loss=0.3)) as relay:
            with clients(relay.port) as (client,):
                for number in range(60):
                    client.send(b"%d" % number)
                relay_counts = await settled(relay, 60)
                return await client.receive(60 - relay_counts["up_lost"])

    first, second = await survivors(), await survivors()
    assert first == second
    assert 20 < len(first) < 60


async def settled(relay: UdpRelay, sent: int) -> dict[str, int]:
    async with asyncio.timeout(DEADLINE_S):
        while relay.counts()["up_sent"] < sent:
            await asyncio.sleep(0.005)
    return relay.counts()


async def test_the_network_changes_under_way(echo):
    _, address = echo
    async with UdpRelay(address, seed=7, down=Conditions(loss=1.0)) as relay:
        with clients(relay.port) as (client,):
            client.send(b"lost")
            async with asyncio.timeout(DEADLINE_S):
                while relay.counts()["down_lost"] < 1:
                    await asyncio.sleep(0.005)
            relay.set(down=Conditions())
            client.send(b"passed")
            assert await client.receive(1) == [b"passed"]


async def test_the_bottleneck_drops_what_its_queue_does_not_hold(echo):
    _, address = echo
    slow = Conditions(rate_bps=800_000, queue_bytes=5000)
    async with UdpRelay(address, seed=7, up=slow) as relay:
        with clients(relay.port) as (client,):
            for _ in range(20):
                client.send(bytes(1000))
            counts = await settled(relay, 20)
            assert counts["up_overflowed"] >= 10
            assert len(await client.receive(20 - counts["up_overflowed"])) >= 5


async def test_strangers_beyond_the_bound_are_refused(echo):
    _, address = echo
    async with UdpRelay(address, seed=7) as relay:
        with clients(relay.port, MAX_FLOWS + 3) as many:
            for client in many:
                client.send(b"x")
                await asyncio.sleep(0)
            async with asyncio.timeout(DEADLINE_S):
                while relay.counts()["flows"] + relay.refused < len(many):
                    await asyncio.sleep(0.005)
            assert relay.counts()["flows"] == MAX_FLOWS
            assert relay.refused == 3


def test_an_answer_is_pointed_at_the_relay():
    answer = (
        "a=candidate:1 1 udp 2130706431 192.0.2.1 7000 typ host\r\n"
        "a=candidate:2 1 tcp 1 192.0.2.1 7000 typ host tcptype passive\r\n"
        "a=end-of-candidates\r\n"
    )
    assert through(answer, 9) == (
        "a=candidate:1 1 udp 2130706431 127.0.0.1 9 typ host\r\n"
        "a=end-of-candidates\r\n"
    )  # fmt: skip


@pytest.fixture
async def tcp_echo() -> AsyncIterator[tuple[str, int]]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(4096):
                writer.write(data)
                await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    yield server.sockets[0].getsockname()
    server.close()


async def test_tcp_is_late_and_whole(tcp_echo):
    late = Conditions(delay_ms=40, loss=1.0)  # of which TCP knows the delay only
    async with TcpRelay(tcp_echo, seed=7, up=late, down=late) as relay, asyncio.timeout(DEADLINE_S):
        reader, writer = await asyncio.open_connection("127.0.0.1", relay.port)
        began, text = time.monotonic(), bytes(range(256)) * 400
        writer.write(text)
        writer.write_eof()
        assert await reader.read(-1) == text
        assert time.monotonic() - began >= 0.08
        writer.close()


async def test_tcp_stands_still_and_goes_on(tcp_echo):
    async with TcpRelay(tcp_echo, seed=7) as relay, asyncio.timeout(DEADLINE_S):
        reader, writer = await asyncio.open_connection("127.0.0.1", relay.port)
        writer.write(b"one")
        assert await reader.readexactly(3) == b"one"
        relay.stall()
        writer.write(b"two")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await reader.readexactly(3)
        relay.go_on()
        assert await reader.readexactly(3) == b"two"
        writer.close()


async def test_tcp_is_cut_and_taken_again(tcp_echo):
    async with TcpRelay(tcp_echo, seed=7) as relay, asyncio.timeout(DEADLINE_S):
        reader, writer = await asyncio.open_connection("127.0.0.1", relay.port)
        writer.write(b"one")
        await reader.readexactly(3)
        relay.cut()
        with contextlib.suppress(ConnectionError):
            assert await reader.read() == b""
        again, other = await asyncio.open_connection("127.0.0.1", relay.port)
        other.write(b"two")
        assert await again.readexactly(3) == b"two"
        for one in (writer, other):
            one.close()


async def test_as_a_process_it_says_its_seed_and_takes_orders(echo):
    _, address = echo
    program = str(Path(__file__).parent)
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, program, "udp", f"{address[0]}:{address[1]}", "--seed", "7", "--down", '{"loss": 1.0}'),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert child.stdin is not None
    assert child.stdout is not None
    async with asyncio.timeout(DEADLINE_S):
        ready = json.loads(await child.stdout.readline())
        assert ready["seed"] == 7
        with clients(ready["port"]) as (client,):
            counts = {"down_lost": 0}
            client.send(b"lost")
            while counts["down_lost"] < 1:
                child.stdin.write(b'{"counts": true}\n')
                counts = json.loads(await child.stdout.readline())
            child.stdin.write(b'{"down": {"delay_ms": 1}}\n{"counts": true}\n')
            await child.stdout.readline()
            client.send(b"passed")
            assert await client.receive(1) == [b"passed"]
        child.stdin.close()
        assert await child.wait() == 0
