"""What a peer may send after the handshake, case by case: a corpus equal to Autobahn's, sections 1 to 7 and 9.

Owns: the bytes. Each case is numbered by the section of Autobahn's list that it stands in, described in our words, and
given as a list of frames; what is right is not written here: `websockets` says it, fed the same bytes (`oracle.py`).
"""

import struct
from collections.abc import Iterator
from typing import NamedTuple

from realtime.core.frames import MESSAGE_MAX_BYTES, unmask

MASK = b"\x9a\x03\xf1\x5c"
CONT, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
VALID_CLOSE = (1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999)
INVALID_CLOSE = (0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535)


class Case(NamedTuple):
    """`binary`: which of our two subprotocols may hear it, since one takes text alone and the other binary alone."""

    number: str
    what: str
    data: bytes
    binary: bool = False

    @property
    def name(self) -> str:
        return f"{self.number} {self.what}"


def masked(op: int, payload: bytes = b"", *, final: bool = True, rsv: int = 0) -> bytes:
    """One frame as a client sends it."""
    size, first = len(payload), (0x80 if final else 0) | rsv << 4 | op
    if size < 126:
        head = bytes([first, 0x80 | size])
    elif size < 65536:
        head = bytes([first, 0x80 | 126]) + struct.pack("!H", size)
    else:
        head = bytes([first, 0x80 | 127]) + struct.pack("!Q", size)
    return head + MASK + unmask(MASK, payload)


def text(said: str) -> bytes:
    return masked(TEXT, said.encode())


def close(code: int | None = 1000, reason: bytes = b"") -> bytes:
    return masked(CLOSE, b"" if code is None else struct.pack("!H", code) + reason)


def pieces(op: int, payload: bytes, size: int, between: bytes = b"") -> bytes:
    """One message in fragments of `size` bytes, with `between` after each but the last."""
    cut = [payload[at : at + size] for at in range(0, len(payload), size)] or [b""]
    frames = [
        masked(op if at == 0 else CONT, part, final=at == len(cut) - 1) + (between if at < len(cut) - 1 else b"")
        for at, part in enumerate(cut)
    ]
    return b"".join(frames)


def framing() -> Iterator[Case]:
    """1: messages of every form of length."""
    for section, op, unit in (("1.1", TEXT, b"*"), ("1.2", BINARY, b"\xfe")):
        for at, size in enumerate((0, 1, 125, 126, 127, 128, 4096, MESSAGE_MAX_BYTES), 1):
            frame = masked(op, unit * size) + close()
            yield Case(f"{section}.{at}", f"{size} bytes", frame, binary=op == BINARY)
        for size in (MESSAGE_MAX_BYTES + 1, 65535, 65536):
            yield Case(f"{section}.9", f"{size} bytes, over the limit", masked(op, unit * size), binary=op == BINARY)


def pings() -> Iterator[Case]:
    """2: pings and pongs."""
    for at, payload in enumerate((b"", b"hello", b"\x00\xff\xfe\xfd\xfc\xfb\x00\xff", b"\xfe" * 125, b"\xfe" * 126), 1):
        yield Case(f"2.{at}", f"ping of {len(payload)} bytes", masked(PING, payload) + close())
    yield Case("2.7", "a pong that nobody asked for", masked(PONG) + close())
    yield Case("2.8", "such a pong with a payload", masked(PONG, b"unsolicited") + close())
    yield Case("2.9", "such a pong, then a ping", masked(PONG, b"unsolicited") + masked(PING, b"ping") + close())
    ten = b"".join(masked(PING, b"payload-%d" % at) for at in range(10))
    yield Case("2.10", "ten pings", ten + close())


def reserved_bits() -> Iterator[Case]:
    """3: reserved bits, with no extension agreed."""
    hello = text("hello")
    for rsv in range(1, 8):
        for op, what in ((TEXT, "text"), (BINARY, "binary"), (PING, "ping"), (CLOSE, "close"), (CONT, "continuation")):
            bad = masked(op, b"" if op == CLOSE else b"x", rsv=rsv)
            yield Case(f"3.{rsv}", f"{what} with reserved bits {rsv}", bad, binary=op == BINARY)
        yield Case(
            f"3.{rsv}", f"a message, then reserved bits {rsv}", hello + masked(TEXT, b"x", rsv=rsv) + masked(PING)
        )


def opcodes() -> Iterator[Case]:
    """4: opcodes that mean nothing."""
    for section, unknown in (("4.1", range(3, 8)), ("4.2", range(11, 16))):
        for at, op in enumerate(unknown, 1):
            for payload in (b"", b"payload"):
                what = f"opcode {op} with {len(payload)} bytes"
                yield Case(f"{section}.{at}", what, masked(op, payload) + masked(PING))
                yield Case(f"{section}.{at}", f"a message, then {what}", text("hello") + masked(op, payload))


def fragments() -> Iterator[Case]:
    """5: fragmentation."""
    yield Case("5.1", "a ping in two fragments", masked(PING, b"a", final=False) + masked(CONT, b"b"))
    yield Case("5.2", "a pong in two fragments", masked(PONG, b"a", final=False) + masked(CONT, b"b"))
    for at, size in enumerate((1, 2, 5), 3):
        yield Case(f"5.{at}", f"text in fragments of {size}", pieces(TEXT, b"fragment1fragment2", size) + close())
        between = masked(PING, b"ping")
        whole = pieces(TEXT, b"fragment1fragment2", size, between) + close()
        yield Case(f"5.{at + 3}", f"the same with pings between, fragments of {size}", whole)
    for at, final in ((9, True), (11, False), (13, False)):
        lone = masked(CONT, b"non-continuation", final=final)
        yield Case(f"5.{at}", f"a continuation of nothing, final: {final}", lone + text("hello"))
        yield Case(f"5.{at + 1}", f"a message, then such a one, final: {final}", text("hello") + lone)
    two = pieces(TEXT, b"fragment1fragment2", 9)
    again = masked(CONT, b"fragment3", final=False) + masked(CONT, b"fragment4")
    yield Case("5.15", "a message in fragments, then a continuation", two + again)
    for at, final in ((16, False), (17, True)):
        lone = masked(CONT, b"fragment1", final=final) + masked(TEXT, b"fragment2", final=False) + masked(CONT, b"3")
        yield Case(f"5.{at}", f"continuation, text, continuation; final: {final}", lone * 2)
    started = masked(TEXT, b"fragment1", final=False)
    yield Case("5.18", "a text begins within a text", started + masked(TEXT, b"fragment2"))
    yield Case("5.18", "a binary begins within a text", started + masked(BINARY, b"fragment2"))
    many = pieces(TEXT, b"fragment1fragment2fragment3fragment4fragment5", 9, masked(PING, b"ping"))
    yield Case("5.19", "five fragments with pings between", many + close())
    yield Case("5.20", "empty fragments", pieces(TEXT, b"", 1) + masked(TEXT, final=False) + masked(CONT) + close())
    yield Case("5.21", "a binary message in fragments", pieces(BINARY, bytes(range(256)), 50) + close(), binary=True)


UTF8 = {
    "6.1": [b""],
    "6.2": ["κόσμε grüße 日本 \U0001f600".encode(), "Hello-\xb5@\xdf\xf6\xe4\xfc\xe0\xe1-UTF-8!!".encode()],
    "6.3": [b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80edited"],
    "6.4": [b"\xf4\x90\x80\x80", b"ok\xf4\x90\x80\x80never"],
    "6.6": ["κόσμε".encode()[:size] for size in range(1, 12)],
    "6.7": [b"\x00", b"\xc2\x80", b"\xe0\xa0\x80", b"\xf0\x90\x80\x80"],
    "6.8": [b"\xf8\x88\x80\x80\x80", b"\xfc\x84\x80\x80\x80\x80"],
    "6.9": [b"\x7f", b"\xdf\xbf", b"\xef\xbf\xbf", b"\xf4\x8f\xbf\xbf"],
    "6.10": [b"\xf7\xbf\xbf\xbf", b"\xfb\xbf\xbf\xbf\xbf", b"\xfd\xbf\xbf\xbf\xbf\xbf"],
    "6.11": [b"\xed\x9f\xbf", b"\xee\x80\x80", b"\xef\xbf\xbd", b"\xf4\x8f\xbf\xbf", b"\xf4\x90\x80\x80"],
    "6.12": [b"\x80" * count for count in range(1, 7)] + [b"\xbf", bytes(range(0x80, 0xC0))],
    "6.13": [
        b"".join(bytes([lead, 0x20]) for lead in range(*span))
        for span in ((0xC0, 0xE0), (0xE0, 0xF0), (0xF0, 0xF8), (0xF8, 0xFC), (0xFC, 0xFE))
    ],
    "6.14": [b"\xc0", b"\xe0\x80", b"\xf0\x80\x80", b"\xdf", b"\xef\xbf", b"\xf7\xbf\xbf", b"\xf8\x80\x80\x80"],
    "6.15": [b"\xc0\xe0\x80\xf0\x80\x80\xdf\xef\xbf"],
    "6.16": [b"\xfe", b"\xff", b"\xfe\xfe\xff\xff"],
    "6.17": [b"\xc0\xaf", b"\xe0\x80\xaf", b"\xf0\x80\x80\xaf", b"\xf8\x80\x80\x80\xaf"],
    "6.18": [b"\xc1\xbf", b"\xe0\x9f\xbf", b"\xf0\x8f\xbf\xbf"],
    "6.19": [b"\xc0\x80", b"\xe0\x80\x80", b"\xf0\x80\x80\x80"],
    "6.20": [bytes([0xED, second, last]) for second in range(0xA0, 0xC0) for last in (0x80, 0xBF)],
    "6.21": [b"\xed\xa0\x80\xed\xb0\x80", b"\xed\xaf\xbf\xed\xbf\xbf"],
    "6.22": [chr(plane << 16 | low).encode() for plane in range(17) for low in (0xFFFE, 0xFFFF)],
    "6.23": [chr(one).encode() for one in range(0xFFF0, 0x10000)],
}  # fmt: skip


def utf8() -> Iterator[Case]:
    """6: texts that are UTF-8, and that are not; whole, byte by byte, and cut within a character."""
    for section, samples in UTF8.items():
        for at, sample in enumerate(samples, 1):
            number, what = f"{section}.{at}", sample[:12].hex() or "nothing"
            yield Case(number, f"{what} whole", masked(TEXT, sample) + close())
            yield Case(number, f"{what} in fragments of one byte", pieces(TEXT, sample, 1) + close())
            half = max(1, len(sample) // 2)
            yield Case(number, f"{what} in two", pieces(TEXT, sample, half, masked(PING, b"between")) + close())


def closing() -> Iterator[Case]:
    """7: the closing handshake."""
    yield Case("7.1.1", "a message, then the end", text("hello") + close())
    yield Case("7.1.2", "the end, twice", close() + close())
    yield Case("7.1.3", "a ping after the end", close() + masked(PING, b"late"))
    yield Case("7.1.4", "a message after the end", close() + text("late"))
    yield Case("7.1.5", "the rest of a message after the end", masked(TEXT, b"a", final=False) + close() + masked(CONT))
    yield Case("7.1.6", "a large message, the end, a ping", masked(TEXT, b"z" * 16000) + close() + masked(PING))
    yield Case("7.3.1", "the end without a code", close(None))
    yield Case("7.3.2", "half a code", masked(CLOSE, b"\x03"))
    yield Case("7.3.3", "a code", close())
    yield Case("7.3.4", "a code and a reason", close(1000, b"hello world"))
    yield Case("7.3.5", "the longest reason", close(1000, b"*" * 123))
    yield Case("7.3.6", "a longer one", close(1000, b"*" * 124))
    yield Case("7.5.1", "a reason that is not UTF-8", close(1000, b"\xce\xba\xe1\xbd\xb9\xcf\x83\xed\xa0\x80"))
    for at, code in enumerate(VALID_CLOSE, 1):
        yield Case(f"7.7.{at}", f"code {code}", close(code))
    for at, code in enumerate(INVALID_CLOSE, 1):
        yield Case(f"7.9.{at}", f"code {code}", close(code))
        yield Case(f"7.9.{at}", f"code {code} with a reason", close(code, b"reason"))


def limits() -> Iterator[Case]:
    """9: large messages, whole and in fragments, up to our limit and beyond."""
    for at, size in enumerate((1024, 4096, MESSAGE_MAX_BYTES), 1):
        for op in (TEXT, BINARY):
            for cut in (64, 256, 1024, size):
                number = f"9.{at}" if op == TEXT else f"9.{at + 3}"
                what = f"{size} bytes in fragments of {cut}"
                yield Case(number, what, pieces(op, b"*" * size, cut) + close(), binary=op == BINARY)
    over = pieces(TEXT, b"*" * (MESSAGE_MAX_BYTES + 1), 1024)
    yield Case("9.7", "one byte over the limit, in fragments", over)
    for power in (20, 30, 40, 62):
        head = bytes([0x80 | TEXT, 0xFF]) + struct.pack("!Q", 1 << power) + MASK
        yield Case("9.8", f"a header that announces 2^{power} bytes", head)
    yield Case("9.9", "a length of 64 bits", bytes([0x80 | TEXT, 0xFF]) + struct.pack("!Q", 1 << 63) + MASK)


def masking() -> Iterator[Case]:
    """5.1 of the RFC: a client masks."""
    yield Case("mask", "a frame that is not masked", b"\x81\x05hello")
    yield Case("mask", "a message, then a ping that is not masked", text("hello") + b"\x89\x00")


CASES = [
    case
    for section in (framing, pings, reserved_bits, opcodes, fragments, utf8, closing, limits, masking)
    for case in section()
]
