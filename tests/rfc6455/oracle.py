"""One stream of bytes, heard by `websockets` and by us: what was delivered, what was answered, and how it closed."""

import asyncio
import itertools
from collections.abc import Iterator
from typing import Any, NamedTuple

import redis.asyncio
from websockets.frames import Opcode
from websockets.protocol import Protocol, Side

from realtime.core.frames import MESSAGE_MAX_BYTES, unmask
from realtime.hub import Hub
from realtime.room import Room
from realtime.viewer import Viewer
from schema.ids import AccountId, ShowId
from schema.people import Principal, Role


class Outcome(NamedTuple):
    """`close`: the code that was sent; 0: none was."""

    messages: list[bytes]
    pongs: list[bytes]
    close: int


def by_websockets(chunks: list[bytes]) -> Outcome:
    """What the server of `websockets` does: its protocol, and the UTF-8 that its connection checks."""
    peer = Protocol(Side.SERVER, max_size=MESSAGE_MAX_BYTES)
    messages: list[bytes] = []
    kind, parts = Opcode.TEXT, b""
    for chunk in chunks:
        peer.receive_data(chunk)
        for frame in peer.events_received():
            if frame.opcode in {Opcode.PING, Opcode.PONG, Opcode.CLOSE}:
                continue
            if frame.opcode is not Opcode.CONT:
                kind, parts = frame.opcode, b""
            parts += frame.data
            if not frame.fin:
                continue
            try:
                if kind is Opcode.TEXT:
                    parts.decode()
            except UnicodeDecodeError:
                # Frames behind the bad one were already taken by the protocol; its connection would not have.
                return Outcome(messages, _pongs(peer), 1007)
            messages.append(parts)
    sent = read(b"".join(peer.data_to_send()))
    return Outcome(messages, sent.pongs, sent.close)


def _pongs(peer: Protocol) -> list[bytes]:
    return read(b"".join(peer.data_to_send())).pongs


def usual(code: int) -> int:
    """A close without a code may be answered without one, or with 1000."""
    return 1000 if code == 1005 else code


def right_close(data: bytes) -> int:
    """With which code a viewer of text has to close after `data`.

    `websockets` is asked, but where it is laxer than RFC 6455 (a length that is not in its shortest form, section 5.2,
    is 1002, and so is a long control frame, 5.5), stricter (a close between two fragments, section 5.4, is a
    close), looks at the end first (a close whose code is none and whose reason is no text is 1002 for the code) or
    cannot know our subprotocol (a binary message is 1003).
    """
    for start, end, code in _exceptions(data):
        if not (earlier := by_websockets([data[:start]]).close):
            return code or by_websockets([data[start:end]]).close
        return earlier
    return by_websockets([data]).close


def _exceptions(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Where a frame begins and ends that is one, and its code; 0: as if it stood alone."""
    at, kind = 0, None
    while at + 2 <= len(data):
        op, final, short = data[at] & 15, data[at] & 0x80, data[at + 1] & 127
        if op >= Opcode.CLOSE and short > 125:
            yield at, at, 1002
            return
        head = {126: 4, 127: 10}.get(short, 2)
        size = int.from_bytes(data[at + 2 : at + head], "big") if short > 125 else short
        if len(data) < at + head:
            return
        end = at + head + (4 if data[at + 1] & 0x80 else 0) + size
        if (short == 126 and size < 126) or (short == 127 and (size < 65536 or size >> 63)):
            yield at, end, 1002
        elif end > len(data):
            return
        elif op == Opcode.CLOSE and _no_code(unmask(data[end - size - 4 : end - size], data[end - size : end])):
            yield at, end, 1002
        elif op == Opcode.CLOSE and kind is not None:
            yield at, end, 0
        elif op < Opcode.CLOSE:
            kind = op if op != Opcode.CONT else kind
            if final and kind == Opcode.BINARY:
                yield end, end, 1003
            kind = None if final else kind
        at = end


def _no_code(payload: bytes) -> bool:
    """Whether a close frame's code is none that a peer may send (sections 7.4.1 and 7.4.2)."""
    code = int.from_bytes(payload[:2], "big")
    return len(payload) > 1 and not (code in range(1000, 1004) or code in range(1007, 1015) or 3000 <= code < 5000)


def by_us(chunks: list[bytes], *, binary: bool) -> Outcome:
    """What one of our viewers does, with memory for a transport."""
    transport, heard = Memory(), Heard()
    clock = itertools.count(0, 1000)  # a second a look: how many commands a second are allowed is not asked here
    hub = Hub(redis.asyncio.Redis(), clock=lambda: next(clock))
    room = Room(ShowId("corpus"), tick_ms=100, clock=lambda: 0, reload=lambda _room: None)
    who = Principal(account_id=AccountId("acc_corpus"), role=Role.VIEWER, name="corpus")
    viewer = Viewer(transport, set(), hub=hub, room=room, principal=who, commands=heard, binary=binary)
    for chunk in chunks:
        viewer.data_received(chunk)
    sent = read(transport.sent)
    return Outcome(heard.messages, sent.pongs, sent.close)


class Heard:
    """In the place of the commands: takes whatever message a viewer hands on."""

    def __init__(self) -> None:
        self.messages: list[bytes] = []

    def start(self, viewer: Viewer) -> None:
        self._viewer = viewer
        viewer._inbox = self

    def __len__(self) -> int:
        return 0

    def append(self, incoming: Any) -> None:
        self.messages.append(incoming.payload)


class Memory(asyncio.Transport):
    """Remembers what was sent."""

    def __init__(self) -> None:
        super().__init__()
        self.sent = b""
        self.closed = False

    def write(self, data: bytes) -> None:
        self.sent += bytes(data)

    def get_write_buffer_size(self) -> int:
        return 0

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed

    def resume_reading(self) -> None:
        pass


def read(sent: bytes) -> Outcome:
    """Frames of a server, as a client of `websockets` reads them."""
    peer = Protocol(Side.CLIENT)
    peer.receive_data(sent)
    pongs, messages = [], []
    for frame in peer.events_received():
        if frame.opcode is Opcode.PONG:
            pongs.append(bytes(frame.data))
        elif frame.opcode is not Opcode.CLOSE:
            messages.append(bytes(frame.data))
    assert peer.parser_exc is None
    closed = peer.close_rcvd
    return Outcome(messages, pongs, closed.code if closed else 0)


def whole(data: bytes) -> list[bytes]:
    return [data]


def octets(data: bytes) -> list[bytes]:
    return [data[at : at + 1] for at in range(len(data))]


def chops(data: bytes, size: int = 997) -> list[bytes]:
    return [data[at : at + size] for at in range(0, len(data), size)]
