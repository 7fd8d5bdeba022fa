"""An SDP's lines, before they mean anything (RFC 8866).

Reads no clock and does no I/O. Invariant: whatever the bytes, `blocks` returns at most `MAX_SECTIONS` sections of
at most `MAX_LINES` lines, or raises BadRequest with the line at fault.
"""

import re
from typing import Final

from schema.errors import BadRequest

MAX_BYTES: Final = 32 * 1024
MAX_SECTIONS: Final = 16
MAX_LINES: Final = 2000
TOKEN: Final = re.compile(r"^[\x21-\x7e]{1,256}$")

_MOST_DIGITS: Final = 5


class Block:
    """The lines of one section, or of the session."""

    def __init__(self, head: str = "") -> None:
        self.head = head
        self.attributes: list[tuple[str, str]] = []

    def add(self, line: str) -> None:
        """Take an `a=` line."""
        name, _, value = line[2:].partition(":")
        self.attributes.append((name, value.strip()))

    def first(self, name: str) -> str | None:
        return next((value for key, value in self.attributes if key == name), None)

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.attributes if key == name]

    def table(self, name: str) -> dict[str, str]:
        """Attributes of the form `name:key value`."""
        pairs = (value.partition(" ") for value in self.all(name))
        return {key: value.strip() for key, _, value in pairs}


def text(body: bytes) -> str:
    """The body as text, if it is that and no longer than an offer may be."""
    if len(body) > MAX_BYTES:
        raise BadRequest(f"SDP: longer than {MAX_BYTES} bytes")
    try:
        return body.decode("utf-8")
    except UnicodeDecodeError:
        raise BadRequest("SDP: not UTF-8") from None


def blocks(whole: str) -> tuple[Block, list[Block]]:
    """The session's lines, and each section's."""
    lines = [line.rstrip("\r") for line in whole.split("\n")]
    if not lines or lines[0] != "v=0":
        raise BadRequest("SDP: the first line must be v=0")
    if len(lines) > MAX_LINES:
        raise BadRequest(f"SDP: more than {MAX_LINES} lines")
    session, sections = Block(), list[Block]()
    for at, line in enumerate(lines, 1):
        if not line:
            continue
        if len(line) < 3 or line[1] != "=" or not line[0].isalpha():
            raise BadRequest(f"SDP: line {at} is not of the form x=value")
        if line[0] == "m":
            sections.append(Block(line[2:]))
        elif line[0] == "a":
            (sections[-1] if sections else session).add(line)
    if not 1 <= len(sections) <= MAX_SECTIONS:
        raise BadRequest(f"SDP: {len(sections)} media sections; between 1 and {MAX_SECTIONS} are understood")
    return session, sections


def number(digits: str, most: int) -> int | None:
    """A decimal number from 0 to `most`; `isdigit` alone lets "²" through, and `int` refuses thousands of digits."""
    if not digits.isascii() or not digits.isdecimal() or len(digits) > _MOST_DIGITS or int(digits) > most:
        return None
    return int(digits)
