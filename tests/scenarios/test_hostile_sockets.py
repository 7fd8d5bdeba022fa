"""Sockets of people who mean harm: fuzzed frames, a gigabyte announced, handshakes that are never finished.

FUZZ_FRAMES=100000 and HALF_OPEN=5000 make it as large as the promise. The seed is printed.
"""

import asyncio
import itertools
import os
import random
import secrets
import struct
from collections import Counter
from pathlib import Path

import pytest
from rfc6455.cases import MASK, TEXT
from rfc6455.fuzz import stream
from rfc6455.oracle import right_close, usual
from websockets.protocol import Protocol, Side

from realtime.client import ShowClient

SHOW = "hostile"
FRAMES = int(os.environ.get("FUZZ_FRAMES", "2000"))
HALF_OPEN = int(os.environ.get("HALF_OPEN", "200"))
FRAMES_A_SOCKET = 20
HANG_S = 60
GROWTH_MAX_BYTES = 24 * 1024 * 1024
"""Of the service's resident memory, after a first round of as many handshakes: what an allocator keeps serves again."""
UPGRADE = (
    "GET /ws/{show}?ticket={ticket} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)


def resident_bytes(pid):
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS"))


class Attacker:
    """One socket, opened with a ticket as anybody may have one."""

    def __init__(self, service, token):
        self.service, self.token = service, token

    async def open(self, http):
        headers = {"Authorization": f"Bearer {self.token}"}
        answer = await http.post(f"/api/v1/shows/{SHOW}/tickets", headers=headers)
        assert answer.status_code == 201, answer.text
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self.service.port)
        self.writer.write(UPGRADE.format(show=SHOW, ticket=answer.json()["ticket"]).encode())
        head = await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), HANG_S)
        assert b" 101 " in head
        self.peer = Protocol(Side.CLIENT, max_size=None)

    async def send(self, data):
        """All of it, and no more; answers the close code that came back, 0 for none."""
        self.writer.write(data)
        self.writer.write_eof()
        while more := await asyncio.wait_for(self.reader.read(65536), HANG_S):
            self.peer.receive_data(more)
        self.writer.close()
        return self.peer.close_rcvd.code if self.peer.close_rcvd else 0


async def attack(service, http, tokens, rng, frames):
    """So many frames, a few a socket; how often each close code came back."""
    codes = Counter()
    for number in range(-(-frames // FRAMES_A_SOCKET)):
        attacker = Attacker(service, tokens[number % len(tokens)])
        await attacker.open(http)
        data = stream(rng, FRAMES_A_SOCKET)
        code = await attacker.send(data)
        assert usual(code) == usual(right_close(data)), data.hex()
        codes[code] += 1
    return codes


async def half_open(service, count):
    """Handshakes that stop half way, or before their first byte; done when the server has ended all of them."""
    opened = []
    for number in range(count):
        reader, writer = await asyncio.open_connection("127.0.0.1", service.port)
        if number % 2:
            writer.write(UPGRADE.format(show=SHOW, ticket="none")[:100].encode())
        opened.append((reader, writer))
    for reader, writer in opened:
        assert await asyncio.wait_for(reader.read(), HANG_S) == b""
        writer.close()


async def a_gigabyte(service, http, token):
    """Announced, and begun."""
    attacker = Attacker(service, token)
    await attacker.open(http)
    return await attacker.send(bytes([0x80 | TEXT, 0xFF]) + struct.pack("!Q", 1 << 30) + MASK + b"x" * 65536)


class Listener:
    """An honest viewer, and what is said to it meanwhile by others."""

    def __init__(self, service, tokens):
        self.service, self.tokens, self.offsets, self.last = service, tokens, [], 0

    async def listen(self):
        async with ShowClient(self.service.base_url, SHOW) as self.client:
            async for told in self.client:
                if told.snapshot:
                    self.last = told.offset
                self.offsets += [at for at, _ in told.events if at is not None and not told.snapshot]

    async def talk(self):
        async with self.service.client() as http:
            for number, token in enumerate(itertools.cycle(self.tokens)):
                headers = {"Authorization": f"Bearer {token}"}
                path = f"/api/v1/shows/{SHOW}/chat"
                answer = await http.post(path, json={"text": f"message {number}"}, headers=headers)
                assert answer.status_code == 202, answer.text
                self.last = answer.json()["offset"]
                await asyncio.sleep(0.1)


@pytest.mark.timeout(900)
async def test_fuzzed_frames_a_gigabyte_and_half_handshakes_are_ended_and_the_room_hears_all(service):
    seed = secrets.randbits(32)
    print(f"seed {seed}")  # noqa: T201
    rng = random.Random(seed)
    await service.start()
    await service.sell(SHOW, "pot", stock=1)
    guests = await service.guests(SHOW, 20 + max(20, FRAMES // FRAMES_A_SOCKET // 5))
    tokens = [guest["viewer_token"] for guest in guests]
    listener = Listener(service, tokens[:20])
    hearing = [asyncio.create_task(listener.listen())]
    async with service.client() as http:
        fresh = resident_bytes(service.process.pid)
        await attack(service, http, tokens[20:], rng, 200)
        await half_open(service, HALF_OPEN)
        before = resident_bytes(service.process.pid)
        hearing.append(asyncio.create_task(listener.talk()))
        halves = asyncio.create_task(half_open(service, HALF_OPEN))
        assert await a_gigabyte(service, http, tokens[0]) == 1009
        codes = await attack(service, http, tokens[20:], rng, FRAMES)
        await halves
        grown = resident_bytes(service.process.pid) - before
    print(f"the first round took {before - fresh} bytes, the second {grown} more; {dict(codes)}")  # noqa: T201
    assert codes[1002] > 0, codes  # which others come depends on the seed
    assert grown < GROWTH_MAX_BYTES, f"{grown} bytes"
    hearing.pop().cancel()
    async with asyncio.timeout(HANG_S):
        while not listener.offsets or listener.offsets[-1] < listener.last:
            await asyncio.sleep(0.05)
    assert listener.client.connections == 1
    assert listener.offsets == list(range(listener.offsets[0], listener.last + 1))
    assert len(listener.offsets) > 20
    hearing[0].cancel()
    await asyncio.gather(*hearing, return_exceptions=True)
