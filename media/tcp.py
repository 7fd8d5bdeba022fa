"""ICE over TCP, for networks that let no UDP through: one listening port, and a link for each connection (RFC 6544).

Owns: the listening socket, the links, what waits for a slow one.
Invariant: a connection whose first packet is not an authentic check is closed at once, and one that says nothing after
`PENDING_S`; of those who have not proven themselves there are at most `MAX_PENDING`, and `MAX_PENDING_EACH` from one
address; a link that does not read costs itself its old video, and nobody else anything.
"""

import asyncio
import contextlib
import socket
from collections import Counter, deque
from collections.abc import Callable
from typing import Final, cast

from media.core.backlog import Backlog, Send
from media.core.demux import OverTcp
from media.core.framing import Deframer, FramingError, framed

MAX_LINKS: Final = 2048
MAX_PENDING: Final = 128
MAX_PENDING_EACH: Final = 16
PENDING_S: Final = 5.0
IDLE_S: Final = 30.0
"""A link without a packet from the far end; a browser checks its consent every few seconds (RFC 7675)."""
GRACE_S: Final = 2.0
"""For the last words of a link that is being closed."""
WAITING: Final = 64
"""Sends that wait for a slow link: half a second of a show."""
_SEND_BUFFER: Final = 128 << 10
"""The kernel's: it would grow to megabytes, which is seconds of stale video."""
_SWEEP_S: Final = 1.0


class TcpLink(asyncio.BufferedProtocol):
    """One connection. It is the address of its far end: nobody else can send from it."""

    def __init__(self, port: "TcpPort") -> None:
        self.is_proven = False
        self.deadline = 0.0
        self.host = ""
        self._port = port
        self._deframer = Deframer()
        self._waiting = Backlog(WAITING)
        self._is_paused = False

    # From the transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        far = transport.get_extra_info("peername")
        if not far:  # gone before we looked
            self._transport.abort()
            return
        self.host = far[0]
        self.address = OverTcp(far[0], far[1], b"", self)
        # Our own queue decides what is dropped: nothing may pile up in the transport's.
        self._transport.set_write_buffer_limits(high=0)
        with contextlib.suppress(OSError):
            near = transport.get_extra_info("socket")
            near.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._port.admit(self)

    def connection_lost(self, _error: Exception | None) -> None:
        self._port.lost(self)

    def get_buffer(self, _hint: int) -> memoryview:
        return self._deframer.room

    def buffer_updated(self, count: int) -> None:
        try:
            packets = self._deframer.took(count)
        except FramingError:
            self._port.counts["dropped_framing"] += 1
            self._transport.abort()
            return
        for packet in packets:
            self._port.take(packet, self.address)
            if not self.is_proven:
                self._transport.abort()
                return
        if not self._transport.is_closing():
            self.deadline = self._port.now() + IDLE_S if self.is_proven else self.deadline

    def pause_writing(self) -> None:
        self._is_paused = True

    def resume_writing(self) -> None:
        self._is_paused = False
        while not self._is_paused and (send := self._waiting.head()) is not None:
            self._waiting.pop()
            self._transport.write(framed(send.data, send.segment_bytes))

    # From the port

    def prove(self) -> None:
        """An authentic check came over this link."""
        if not self.is_proven:
            self.is_proven = True
            self._port.proved(self)

    def send(
        self, data: bytes | memoryview, *, segment_bytes: int = 0, packets: int = 1, has_audio: bool = True
    ) -> None:
        """Send now, or as soon as the far end has read; a full queue lets go of its oldest video."""
        if self._transport.is_closing():
            return
        if not self._is_paused:
            self._transport.write(framed(data, segment_bytes))
            return
        before = self._waiting.dropped_packets
        self._waiting.push(Send(bytes(data), segment_bytes, self.address, packets, has_audio))
        self._port.counts["dropped_slow"] += self._waiting.dropped_packets - before

    def close(self) -> None:
        """Say what is still to be said, for a moment, and hang up."""
        self.deadline = min(self.deadline, self._port.now() + GRACE_S)
        self._transport.close()

    def abort(self) -> None:
        """Hang up at once."""
        self._transport.abort()


class TcpPort:
    """Listens; `await open()`, and `close` it."""

    def __init__(
        self, take: Callable[[bytes, OverTcp], None], lost: Callable[[OverTcp], None], counts: Counter[str]
    ) -> None:
        self.take = take
        self.counts = counts
        self._gone = lost
        self._links: dict[TcpLink, None] = {}
        self._pending: dict[str, deque[TcpLink]] = {}
        self._loop = asyncio.get_running_loop()
        self._server: asyncio.Server | None = None
        self._sweeping: asyncio.TimerHandle | None = None
        self.now = self._loop.time

    def __len__(self) -> int:
        return len(self._links)

    @property
    def pending(self) -> int:
        """Links that have not proven themselves."""
        return sum(len(links) for links in self._pending.values())

    async def open(self, host: str, port: int, *, preferred: int = 0) -> None:
        """Listen on `port`; where that is 0 on `preferred` if it is free, else on any. Raises OSError."""
        listener = _listener(host, port, preferred)
        self._server = await self._loop.create_server(lambda: TcpLink(self), sock=listener, backlog=MAX_PENDING)
        self._sweeping = self._loop.call_later(_SWEEP_S, self._sweep)

    @property
    def number(self) -> int | None:
        """None while it is closed."""
        if self._server is None:
            return None
        number: int = self._server.sockets[0].getsockname()[1]
        return number

    def close(self) -> None:
        if self._sweeping:
            self._sweeping.cancel()
        if self._server:
            self._server.close()
            self._server = None
        for link in list(self._links):
            link.abort()

    # From the links

    def admit(self, link: TcpLink) -> None:
        """Room for a new one is made by those who have not proven themselves for longest."""
        link.deadline = self.now() + PENDING_S
        if len(self._links) >= MAX_LINKS:
            self.counts["refused_links"] += 1
            link.abort()
            return
        same = self._pending.setdefault(link.host, deque())
        if len(same) >= MAX_PENDING_EACH:
            self._refuse(same[0])
        elif self.pending >= MAX_PENDING:
            self._refuse(min((links[0] for links in self._pending.values() if links), key=lambda one: one.deadline))
        self._pending.setdefault(link.host, same).append(link)
        self._links[link] = None

    def _refuse(self, link: TcpLink) -> None:
        self.counts["refused_links"] += 1
        self._no_longer_pending(link)
        link.abort()

    def _no_longer_pending(self, link: TcpLink) -> None:
        same = self._pending.get(link.host)
        if same is not None and link in same:
            same.remove(link)
        if same is not None and not same:
            del self._pending[link.host]

    def proved(self, link: TcpLink) -> None:
        self._no_longer_pending(link)
        link.deadline = self.now() + IDLE_S

    def lost(self, link: TcpLink) -> None:
        if link in self._links:
            del self._links[link]
            self._no_longer_pending(link)
            self._gone(link.address)

    def _sweep(self) -> None:
        now = self.now()
        for link in [link for link in self._links if now > link.deadline]:
            link.abort()
        self._sweeping = self._loop.call_later(_SWEEP_S, self._sweep)


def _listener(host: str, port: int, preferred: int) -> socket.socket:
    try:
        return _bound(host, port or preferred)
    except OSError:
        if port or not preferred:
            raise
        return _bound(host, 0)


def _bound(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setblocking(False)  # noqa: FBT003 - the library's signature
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)  # those it accepts inherit it
        listener.bind((host, port))
    except OSError:
        listener.close()
        raise
    return listener
