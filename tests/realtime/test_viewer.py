import asyncio
import json
import os
import socket
import struct

import pytest
import uvloop

from realtime.core.backpressure import UNSENT_MAX_BYTES, Progress
from realtime.core.frames import MESSAGE_MAX_BYTES, Op, unmask
from realtime.room import FRAME_MAX_BYTES
from realtime.viewer import INBOX_MAX, MISSES_MAX
from schema.ids import AccountId, MessageId, ShowId
from schema.people import Role
from schema.wire import Chat

MASK = b"\x01\x02\x03\x04"
UPGRADE = (
    "GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)


def masked(op: int, payload: bytes = b"", *, final: bool = True) -> bytes:
    head = bytes([(0x80 if final else 0) | op])
    if len(payload) < 126:
        head += bytes([0x80 | len(payload)])
    else:
        head += b"\xfe" + struct.pack("!H", len(payload))
    return head + MASK + unmask(MASK, payload)


class Raw:
    """A client of bytes, with a small receive buffer, that reads only when told to."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.data = b""
        self.offset = 0
        self.events: list[dict] = []
        self.breaks = 0

    @classmethod
    async def open(cls, running, show: str, name: str = "slow") -> "Raw":
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(sock, ("127.0.0.1", running.port))
        path = f"/ws/{show}?ticket={running.tickets.issue(name)}"
        await loop.sock_sendall(sock, UPGRADE.format(path=path).encode())
        made = cls(sock)
        while b"\r\n\r\n" not in made.data:
            await made.fill()
        made.data = made.data.partition(b"\r\n\r\n")[2]
        return made

    async def send(self, data: bytes) -> None:
        await asyncio.get_running_loop().sock_sendall(self.sock, data)

    async def fill(self) -> bool:
        async with asyncio.timeout(10):
            more = await asyncio.get_running_loop().sock_recv(self.sock, 65536)
        self.data += more
        return bool(more)

    async def read(self) -> tuple[int, bytes]:
        """The next frame: opcode and payload."""
        while True:
            if len(self.data) >= 2:
                size, head = self.data[1], 2
                if size == 126:
                    size, head = int.from_bytes(self.data[2:4], "big"), 4
                elif size == 127:
                    size, head = int.from_bytes(self.data[2:10], "big"), 10
                if len(self.data) >= head + size and len(self.data) >= head:
                    op, payload = self.data[0] & 15, self.data[head : head + size]
                    self.data = self.data[head + size :]
                    return op, payload
            if not await self.fill():
                raise ConnectionResetError

    async def close_code(self) -> int:
        while True:
            op, payload = await self.read()
            if op == Op.CLOSE:
                return int.from_bytes(payload[:2], "big")

    async def read_to(self, offset: int) -> None:
        """Apply frames as a page does until it stands at `offset`; every row must be gapless."""
        while self.offset < offset:
            op, payload = await self.read()
            if op != Op.TEXT:
                continue
            frame = json.loads(payload)
            if frame.get("snapshot"):
                self.breaks += self.offset > 0
                self.events = []
            else:
                assert [one["o"] for one in frame["ev"]] == list(range(self.offset + 1, frame["o"] + 1))
            self.events += frame["ev"]
            self.offset = frame["o"]


def message(text: str) -> Chat:
    return Chat(id=MessageId("msg_1"), account_id=AccountId("a"), name="ann", role=Role.VIEWER, text=text, at_ms=0)


async def flood(running, show: str, count: int) -> None:
    for _ in range(count // 50):
        await asyncio.gather(*(running.hub.publish(ShowId(show), message("x" * 400)) for _ in range(50)))


def viewer_named(running, show: str, name: str):
    return next(one for one in running.hub._rooms[ShowId(show)].viewers if one.principal.name == name)


async def test_a_viewer_that_does_not_read_costs_nobody_a_frame_and_little_memory(running, show, until):
    slow, healthy = await Raw.open(running, show), await running.join(show, "ann")
    await until(lambda: len(running.hub._rooms[ShowId(show)].viewers) == 2)
    viewer = viewer_named(running, show, "slow")
    await flood(running, show, 3000)
    await healthy.until(lambda it: it.offset == 3000)
    assert healthy.offsets() == list(range(1, 3001))
    assert viewer.behind_since_ms is not None
    assert viewer.transport.get_write_buffer_size() <= UNSENT_MAX_BYTES + FRAME_MAX_BYTES + 2048
    await slow.read_to(3000)
    assert slow.breaks == 1  # 3,000 messages do not fit the ring: it is told so
    await until(lambda: viewer.behind_since_ms is None)
    await flood(running, show, 50)
    await slow.read_to(3050)
    assert slow.breaks == 1
    slow.sock.close()


async def test_without_the_policy_the_memory_of_a_viewer_that_does_not_read_grows(running, show, monkeypatch, until):
    """The negative control of the test above."""
    monkeypatch.setattr(Progress, "offer", lambda *_: True)
    slow = await Raw.open(running, show)
    await until(lambda: running.hub._rooms[ShowId(show)].viewers)
    viewer = viewer_named(running, show, "slow")
    await flood(running, show, 3000)
    room = running.hub._rooms[ShowId(show)]
    await until(lambda: room.channel.sent == 3000)
    assert viewer.transport.get_write_buffer_size() > 4 * (UNSENT_MAX_BYTES + FRAME_MAX_BYTES)
    slow.sock.close()


async def test_a_socket_that_is_lost_is_written_to_no_more(running, show, until):
    """Its number is soon somebody else's."""
    raw = await Raw.open(running, show)
    await until(lambda: running.hub._rooms[ShowId(show)].viewers)
    viewer = viewer_named(running, show, "slow")
    number = viewer.fd
    assert os.fstat(number)
    raw.sock.close()
    await until(lambda: viewer.room is None)
    viewer.send(b"for nobody")
    assert viewer.fd == -1 != number


async def test_a_short_pause_is_caught_up_from_the_ring_without_a_break(running, show, until):
    slow = await Raw.open(running, show)
    await until(lambda: running.hub._rooms[ShowId(show)].viewers)
    viewer = viewer_named(running, show, "slow")
    sent = 0
    while viewer.behind_since_ms is None:
        await flood(running, show, 50)
        sent += 50
        assert sent < 5000
    await flood(running, show, 50)
    await slow.read_to(sent + 50)
    assert slow.breaks == 0
    assert [one["o"] for one in slow.events] == list(range(1, sent + 51))
    slow.sock.close()


async def test_ten_seconds_behind_is_closed_with_a_come_back_code(running, show, until):
    slow = await Raw.open(running, show)
    await until(lambda: running.hub._rooms[ShowId(show)].viewers)
    viewer = viewer_named(running, show, "slow")
    while viewer.behind_since_ms is None:
        await flood(running, show, 50)
    running.hub._close_slow(running.hub.now_ms() + 9_000)
    assert viewer.closing_since_ms is None
    viewer.behind_since_ms -= 10_000
    running.hub._close_slow(running.hub.now_ms())
    assert await slow.close_code() == 4004
    assert not running.hub._rooms[ShowId(show)].viewers
    slow.sock.close()
    await until(lambda: not any(running.hub._slots))


async def test_a_peer_that_answers_no_ping_is_dropped(running, show, until):
    silent, client = await Raw.open(running, show), await running.join(show)
    await until(lambda: len(running.hub._rooms[ShowId(show)].viewers) == 2)
    viewers = list(running.hub._rooms[ShowId(show)].viewers)
    for _ in range(MISSES_MAX + 1):
        for viewer in viewers:
            viewer.ping()
        healthy = viewer_named(running, show, "ann")
        await until(lambda healthy=healthy: healthy.misses == 0)
    await until(lambda: len(running.hub._rooms[ShowId(show)].viewers) == 1)
    assert client.code is None
    silent.sock.close()


async def test_the_shared_timer_pings_each_viewer_once_a_round(running, show, monkeypatch):
    monkeypatch.setattr("realtime.hub.SWEEP_S", 0.001)
    silent = await Raw.open(running, show)
    async with asyncio.timeout(10):
        while (await silent.read())[0] != Op.PING:
            pass
    silent.sock.close()


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        (b"\x81\x02hi", 1002),
        (masked(Op.TEXT, b"\xff\xff"), 1007),
        (masked(Op.BINARY, b"x"), 1003),
        (b"\x81\xff" + (MESSAGE_MAX_BYTES + 10**6).to_bytes(8, "big"), 1009),
        (masked(Op.PING, b"x", final=False), 1002),
        (masked(Op.CLOSE, struct.pack("!H", 1001)), 1001),
        (masked(Op.CLOSE), 1000),
        (masked(Op.CLOSE, b"\x00"), 1002),
    ],
)
async def test_bad_frames_are_answered_with_their_close_code_and_the_room_plays_on(
    running, show, say, sent, code, until
):
    bad, good = await Raw.open(running, show), await running.join(show)
    await bad.send(sent)
    assert await bad.close_code() == code
    await until(lambda: len(running.hub._rooms[ShowId(show)].viewers) == 1)
    await say("still here")
    await good.until(lambda it: it.texts() == ["still here"])
    bad.sock.close()


async def test_a_ping_is_answered_with_its_own_payload(running, show):
    raw = await Raw.open(running, show)
    await raw.send(masked(Op.PING, b"abc"))
    async with asyncio.timeout(10):
        while (got := await raw.read())[0] != Op.PONG:
            pass
    assert got == (Op.PONG, b"abc")
    raw.sock.close()


async def test_a_peer_that_never_answers_a_close_is_cut_off(running, show, monkeypatch, until):
    monkeypatch.setattr("realtime.hub.CLOSE_DEADLINE_MS", 0)
    raw = await Raw.open(running, show)
    await until(lambda: running.hub._rooms[ShowId(show)].viewers)
    viewer_named(running, show, "slow").close(4000)
    assert await raw.close_code() == 4000
    await until(lambda: not any(running.hub._slots))
    raw.sock.close()


async def test_a_flood_of_small_pings_is_not_answered_beyond_the_allowance(running, show, monkeypatch):
    now = running.hub.now_ms()
    monkeypatch.setattr(running.hub, "now_ms", lambda: now)
    raw = await Raw.open(running, show)
    await raw.send(masked(Op.PING, b"x") * 200 + masked(Op.CLOSE))
    pongs = 0
    while True:
        op, _ = await raw.read()
        pongs += op == Op.PONG
        if op == Op.CLOSE:
            break
    assert pongs == 30
    raw.sock.close()


async def test_commands_that_wait_are_bounded_and_the_one_too_many_is_refused(running, show, monkeypatch, until):
    gate, now = asyncio.Event(), [running.hub.now_ms()]
    say = running.chat.say

    async def slowly(*arguments):
        await gate.wait()
        return await say(*arguments)

    monkeypatch.setattr(running.chat, "say", slowly)
    monkeypatch.setattr(running.hub, "now_ms", lambda: now[0])
    client = await running.join(show)
    await client.until(lambda it: it.frames)
    (viewer,) = running.hub._rooms[ShowId(show)].viewers

    async def send(ref: int) -> None:
        await client.connection.send(json.dumps({"t": "chat", "ref": str(ref), "text": "hi"}))

    await send(0)
    await until(lambda: viewer._inbox is not None and not viewer._inbox)  # the first is being answered
    now[0] += 1000
    for ref in range(1, INBOX_MAX + 1):
        await send(ref)
    await until(lambda: len(viewer._inbox) == INBOX_MAX)
    now[0] += 1000
    await send(99)
    await client.until(lambda it: it.replies)
    (refused,) = client.replies
    assert (refused["re"], refused["error"]["code"]) == ("99", "rate_limited")
    gate.set()
    await client.until(lambda it: len(it.replies) == INBOX_MAX + 2)
    assert [one["re"] for one in client.replies[1:]] == [str(ref) for ref in range(INBOX_MAX + 1)]


class Clogged(asyncio.Protocol):
    """Hears when something waits in its transport, and when nothing does any more."""

    def connection_made(self, transport):
        self.transport, self.heard = transport, []
        transport.set_write_buffer_limits(high=0)
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)

    def pause_writing(self):
        self.heard.append(("waits", self.transport.get_write_buffer_size() > 0))

    def resume_writing(self):
        self.heard.append(("empty", self.transport.get_write_buffer_size() == 0))


async def clog():
    made = Clogged()
    server = await asyncio.get_running_loop().create_server(lambda: made, "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    while not hasattr(made, "transport"):
        await asyncio.sleep(0)
    made.transport.write(b"x" * 10)
    assert made.heard == []
    made.transport.write(b"x" * 16_000_000)
    assert made.heard == [("waits", True)]
    made.transport.write(b"y")
    assert made.heard == [("waits", True)]
    async with asyncio.timeout(60):
        assert await reader.readexactly(16_000_011) == b"x" * 16_000_010 + b"y"
        while len(made.heard) < 2:
            await asyncio.sleep(0)
    writer.close()
    made.transport.close()
    server.close()
    return made.heard


@pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop])
async def test_a_transport_whose_high_water_mark_is_0_says_at_once_that_something_waits(new_loop):
    """What `fd` leans on, of asyncio's loop and of uvloop's."""

    def run():
        with asyncio.Runner(loop_factory=new_loop) as runner:
            return runner.run(clog())

    assert await asyncio.to_thread(run) == [("waits", True), ("empty", True)]
