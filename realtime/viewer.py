"""One viewer's socket after the handshake: no task, no scope and no queue of its own.

Owns: the transport, its progress through the frames, and its commands in flight.
Invariant: whatever the peer sends, the answer is a reply, a close frame or nothing; never an exception into the
loop. While the peer does not read, it is not read from either, so replies cannot pile up.
"""

import asyncio
import os
import socket
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from realtime.commands import Commands
from realtime.core.backpressure import UNSENT_MAX_BYTES, Allowance, Progress
from realtime.core.frames import PING, Broken, FrameParser, Incoming, Op, close_frame, frame
from realtime.room import Room
from schema.errors import ShowfloorError
from schema.people import Principal

if TYPE_CHECKING:
    from realtime.hub import Hub

KERNEL_BUFFER_BYTES = 64 * 1024
"""Linux would let the send buffer of a peer that does not read grow to 4 MB."""
MISSES_MAX = 2
INBOX_MAX = 30


class Viewer(Progress, asyncio.Protocol):
    """Made with the socket already open; joins its room at once."""

    __slots__ = (
        "_allowance",
        "_commands",
        "_connections",
        "_hub",
        "_inbox",
        "_parser",
        "binary",
        "closing_since_ms",
        "fd",
        "misses",
        "principal",
        "room",
        "transport",
    )

    def __init__(
        self,
        transport: asyncio.Transport,
        connections: set[Any],
        *,
        hub: "Hub",
        room: Room,
        principal: Principal,
        commands: Commands,
        binary: bool,
    ) -> None:
        super().__init__(room.serial)
        self.transport = transport
        self.room: Room | None = room
        self.principal = principal
        self.binary = binary
        self.misses = 0
        self.closing_since_ms: int | None = None
        self.fd = -1
        """The socket, while whole frames may go into it past the transport: it sits in its room, nothing waits before
        them, there is no TLS, and the socket is not lost."""
        self._connections = connections
        self._hub = hub
        self._commands = commands
        self._parser: FrameParser | None = None
        self._allowance: Allowance | None = None
        self._inbox: deque[Incoming] | None = None
        connections.add(self)

    def welcome(self, epoch: str | None, offset: int, head: bytes = b"") -> None:
        """Send the first frame, behind the `head` of the handshake's answer, and join the row."""
        transport, room = self.transport, self.room
        assert room is not None
        plain = transport.get_extra_info("sslcontext") is None
        # Whether anything waits is to be known of a plain socket; with TLS something always does.
        transport.set_write_buffer_limits(high=0 if plain else UNSENT_MAX_BYTES)
        sock = transport.get_extra_info("socket")
        if sock is not None:
            number = sock.fileno()
            _bound(number)
            self.fd = number if plain else -1
        first = room.welcome(binary=self.binary, epoch=epoch, offset=offset)
        self.serial = room.serial
        self._hub.joined(self, room)
        self.send(head + first)

    # -- asyncio.Protocol ---------------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        self.misses = 0
        parser = self._parser or FrameParser()
        try:
            incoming = parser.feed(data)
        except Broken as broken:
            self._parser = None
            for one in broken.before:
                self._take(one)
            self.close(broken.code, str(broken))
            return
        self._parser = None if parser.idle else parser
        for one in incoming:
            self._take(one)

    def eof_received(self) -> bool:
        return False  # close

    def pause_writing(self) -> None:
        """Something waits in the transport: nothing may pass it."""
        self.fd = -1
        if self.transport.get_write_buffer_size() >= UNSENT_MAX_BYTES:
            self._stall()

    def _stall(self) -> None:
        self.paused = True
        self._hub.slow.add(self)
        if not self.transport.is_closing():
            self.transport.pause_reading()

    def resume_writing(self) -> None:
        """Nothing waits any more; if it was stalled, it is caught up."""
        self._hub.slow.discard(self)
        room = self.room
        if room is None or self.closing_since_ms is not None:
            self.paused = False
            return
        if self.transport.get_extra_info("sslcontext") is None:
            self.fd = self.transport.get_extra_info("socket").fileno()
        if self.paused:
            self.transport.resume_reading()
        behind = self.resumed(room.serial)
        if behind is not None:
            epoch, offset = behind
            self.send(room.catch_up(binary=self.binary, epoch=epoch, offset=offset))

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's name
        self.fd = -1  # closed right after this, and soon somebody else's
        self._connections.discard(self)
        self._hub.left(self)
        self.room = None
        self._inbox = None

    # -- what others do with a viewer ---------------------------------------------------------------------------

    def send(self, data: bytes) -> None:
        """Write frames: straight into the socket where nothing waits before them, 3 us less than uvloop's transport.

        What the kernel does not take is the transport's, and so is any error. Beyond UNSENT_MAX_BYTES it is stalled.
        """
        sent = 0
        if self.fd >= 0:
            with suppress(OSError):
                sent = os.write(self.fd, data)
            if sent == len(data):
                return
        self.transport.write(data[sent:])
        if not self.paused and self.transport.get_write_buffer_size() >= UNSENT_MAX_BYTES:
            self._stall()

    def ping(self) -> None:
        """Called once every round of the shared timer: a peer that missed two is gone."""
        if self.misses >= MISSES_MAX:
            self.transport.abort()
            return
        self.misses += 1
        if not self.paused and self.closing_since_ms is None:
            self.send(PING)

    def refuse(self, error: ShowfloorError) -> None:
        """Close with the error's close code."""
        self.close(error.close_code, error.detail)

    def shutdown(self) -> None:
        """Called by uvicorn for every connection when it ends."""
        self._hub.send_home(self)

    def close(self, code: int, reason: str = "") -> None:
        """Send a close frame; the connection ends when the peer answers, at the latest after five seconds."""
        if self.closing_since_ms is not None:
            return
        self.closing_since_ms = self._hub.now_ms()
        room, self.room = self.room, None
        if room is not None:
            self._hub.left(self, room)
        self._hub.closing.add(self)
        self.fd = -1
        self.transport.write(close_frame(code, reason))
        if self.paused:
            self.transport.resume_reading()

    def reply(self, payload: bytes) -> None:
        """Write the answer to one command."""
        if self.room is not None:
            self.send(frame(payload, Op.BINARY if self.binary else Op.TEXT))

    # -- what the peer says -------------------------------------------------------------------------------------

    def _take(self, incoming: Incoming) -> None:
        if incoming.op is Op.CLOSE:
            self._answer_close(incoming.code)
        elif self.closing_since_ms is not None or incoming.op is Op.PONG:
            return
        elif incoming.op is (Op.TEXT if self.binary else Op.BINARY):
            self.close(1003, "this subprotocol speaks the other kind of frame")
        else:
            self._admit(incoming)

    def _answer_close(self, code: int) -> None:
        if self.closing_since_ms is None:
            self.close(1000 if code == 1005 else code)
        self.transport.close()

    def _admit(self, incoming: Incoming) -> None:
        self._allowance = self._allowance or Allowance()
        wait_ms = self._allowance.spend(self._hub.now_ms())
        if incoming.op is Op.PING:
            if not wait_ms:
                self.send(frame(incoming.payload, Op.PONG))
            return
        if wait_ms:
            self.reply(self._commands.too_many(incoming.payload, wait_ms, binary=self.binary))
            return
        if self._inbox is None:
            self._inbox = deque(maxlen=INBOX_MAX)
            self._commands.start(self)
        if len(self._inbox) == INBOX_MAX:
            self.reply(self._commands.too_many(incoming.payload, 1000, binary=self.binary))
            return
        self._inbox.append(incoming)

    def next_command(self) -> bytes | None:
        """The next command waiting, in order; None ends the row."""
        if self._inbox:
            return self._inbox.popleft().payload
        self._inbox = None
        return None


def _bound(number: int) -> None:
    """Bound what the kernel keeps for one socket; uvloop's own way to set an option takes five times as long."""
    sock = socket.SocketType(socket.AF_INET, socket.SOCK_STREAM, 0, number)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, KERNEL_BUFFER_BYTES)
    finally:
        sock.detach()
