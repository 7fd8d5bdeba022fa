"""WebSocket frames (RFC 6455, section 5): building what a server sends, parsing what a client sends.

Owns: the bytes of a message that has not arrived whole. Reads no socket.
Invariant: at most `MESSAGE_MAX_BYTES` and one frame header are ever buffered; after `Broken` the parser is done.

     0                   1
     0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5
    +-+-+-+-+-------+-+-------------+
    |F|R|R|R| opcode|M| length      |   126: two more bytes of length, 127: eight
    +-+-+-+-+-------+-+-------------+   M: four bytes of mask follow (always, from a client)
"""

from enum import IntEnum
from typing import NamedTuple

MESSAGE_MAX_BYTES = 16 * 1024
CONTROL_MAX_BYTES = 125
FRAMES_AT_ONCE_MAX = 256
"""A read of 256 KiB could hold 40,000 empty frames: a tenth of a second of everybody's time."""


class Op(IntEnum):
    """Opcodes, RFC 6455 section 11.8."""

    CONTINUATION = 0
    TEXT = 1
    BINARY = 2
    CLOSE = 8
    PING = 9
    PONG = 10


class Incoming(NamedTuple):
    """A whole message or control frame from a client. For CLOSE, `code` is the peer's (1005: it gave none)."""

    op: Op
    payload: bytes
    code: int = 0


class Broken(Exception):  # noqa: N818 - it is an event of the protocol, not a failure of ours
    """The peer broke the protocol; close with `code` (RFC 6455 section 7.4.1), after what came whole `before`."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.before: list[Incoming] = []


def frame(payload: bytes, op: Op = Op.TEXT) -> bytes:
    """A whole unmasked frame, as a server sends it."""
    size = len(payload)
    first = 0x80 | op
    if size < 126:
        return bytes((first, size)) + payload
    if size < 65536:
        return bytes((first, 126)) + size.to_bytes(2, "big") + payload
    return bytes((first, 127)) + size.to_bytes(8, "big") + payload


def close_frame(code: int, reason: str = "") -> bytes:
    """A close frame; the reason is cut to fit a control frame."""
    text = reason.encode()[: CONTROL_MAX_BYTES - 2].decode(errors="ignore").encode()
    return frame(code.to_bytes(2, "big") + text, Op.CLOSE)


PING = frame(b"", Op.PING)


def unmask(mask: bytes, data: bytes) -> bytes:
    """RFC 6455 section 5.3, as one wide XOR: 16 KiB in about 10 us where a loop takes 1 ms."""
    size = len(data)
    key = (mask * (size // 4 + 1))[:size]
    return (int.from_bytes(data, "little") ^ int.from_bytes(key, "little")).to_bytes(size, "little")


class FrameParser:
    """Feed it what arrives; it gives back whole messages. Strict: whatever RFC 6455 forbids raises `Broken`."""

    __slots__ = ("_buffer", "_done", "_op", "_parts", "_size")

    def __init__(self) -> None:
        self._buffer = b""
        self._op: Op | None = None
        self._parts: list[bytes] = []
        self._size = 0
        self._done = False

    @property
    def idle(self) -> bool:
        """True between messages: then the parser holds nothing and may be thrown away."""
        return not self._buffer and self._op is None

    def feed(self, data: bytes) -> list[Incoming]:
        """The messages that `data` completes, in order; bytes after a close frame are ignored.

        Raises Broken, with the messages before the mistake in it.
        """
        found: list[Incoming] = []
        try:
            self._read(data, found)
        except Broken as broken:
            broken.before = found
            raise
        return found

    def _read(self, data: bytes, found: list[Incoming]) -> None:
        if self._done:
            return
        self._buffer, at, count = self._buffer + data, 0, 0
        while not self._done and (cut := self._header(at)) is not None:
            op, final, start, size = cut
            if len(self._buffer) < start + size:
                break
            payload = unmask(self._buffer[start - 4 : start], self._buffer[start : start + size])
            at, count = start + size, count + 1
            if count > FRAMES_AT_ONCE_MAX:
                raise Broken(1008, "too many frames at once")
            whole = self._control(op, payload) if op >= Op.CLOSE else self._data(op, payload, final=final)
            if whole is not None:
                found.append(whole)
        # One cut at the end: a cut per frame would be quadratic in a chunk full of tiny frames.
        self._buffer = b"" if self._done else self._buffer[at:]

    def _header(self, at: int) -> tuple[Op, bool, int, int] | None:
        """Opcode, FIN, where the payload starts and its length; None until the header at `at` is whole."""
        if len(self._buffer) < at + 2:
            return None
        first, second = self._buffer[at], self._buffer[at + 1]
        final, op = bool(first & 0x80), _opcode(first)
        if not second & 0x80:
            raise Broken(1002, "a client's frame must be masked")
        if op >= Op.CLOSE:
            _check_control(final=final, size=second & 0x7F)
        length = _length(self._buffer, at, second & 0x7F)
        if length is None:
            return None
        size, end = length
        self._check_sequence(op)
        if size + (self._size if op < Op.CLOSE else 0) > MESSAGE_MAX_BYTES:
            raise Broken(1009, f"a message may have {MESSAGE_MAX_BYTES} bytes")
        return (op, final, end + 4, size) if len(self._buffer) >= end + 4 else None

    def _check_sequence(self, op: Op) -> None:
        if op is Op.CONTINUATION and self._op is None:
            raise Broken(1002, "there is nothing to continue")
        if op in {Op.TEXT, Op.BINARY} and self._op is not None:
            raise Broken(1002, "the last message is not finished")

    def _data(self, op: Op, payload: bytes, *, final: bool) -> Incoming | None:
        if op is not Op.CONTINUATION:
            self._op = op
        if payload:  # an endless row of empty fragments takes no memory
            self._parts.append(payload)
            self._size += len(payload)
        if not final:
            return None
        assert self._op is not None
        whole = Incoming(self._op, b"".join(self._parts))
        self._op, self._parts, self._size = None, [], 0
        if whole.op is Op.TEXT:
            _check_utf8(whole.payload)
        return whole

    def _control(self, op: Op, payload: bytes) -> Incoming:
        if op is not Op.CLOSE:
            return Incoming(op, payload)
        self._done, self._parts = True, []
        return Incoming(op, payload, _close_code(payload))


def _opcode(first: int) -> Op:
    if first & 0x70:
        raise Broken(1002, "a reserved bit is set and no extension was agreed")
    try:
        return Op(first & 0x0F)
    except ValueError:
        raise Broken(1002, "unknown opcode") from None


def _check_control(*, final: bool, size: int) -> None:
    if not final:
        raise Broken(1002, "a control frame must not be fragmented")
    if size > CONTROL_MAX_BYTES:
        raise Broken(1002, f"a control frame may have {CONTROL_MAX_BYTES} bytes")


def _length(buffer: bytes, at: int, short: int) -> tuple[int, int] | None:
    """Payload length and where it ended; None until it is whole. The shortest form is required (section 5.2)."""
    if short < 126:
        return short, at + 2
    end = at + (4 if short == 126 else 10)
    if len(buffer) < end:
        return None
    size = int.from_bytes(buffer[at + 2 : end], "big")
    if size < (126 if short == 126 else 65536) or size >> 63:
        raise Broken(1002, "the length is not in its shortest form")
    return size, end


def _check_utf8(payload: bytes) -> None:
    try:
        payload.decode()
    except UnicodeDecodeError:
        raise Broken(1007, "text must be UTF-8") from None


def _close_code(payload: bytes) -> int:
    """The code of a close frame (section 7.4); 1005 if it has none."""
    if not payload:
        return 1005
    if len(payload) == 1:
        raise Broken(1002, "half a close code")
    code = int.from_bytes(payload[:2], "big")
    if not (1000 <= code <= 1003 or 1007 <= code <= 1014 or 3000 <= code <= 4999):
        raise Broken(1002, "no such close code")
    _check_utf8(payload[2:])
    return code
