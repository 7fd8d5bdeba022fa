"""A clock that machines can read back from the picture: one row of 40 black and white blocks.

Owns: the code. Pure: luma values go in and come out.
Invariant: a row that was not drawn by `blocks`, or was damaged on the way, reads as None (4 check bits, 4 markers).

      1 0 | 32 bits: milliseconds since 1970, modulo 2^32, highest first | 4 bits: check | 1 0
"""

from collections.abc import Sequence

BLOCKS = 40
MODULUS_MS = 1 << 32
BLACK, WHITE = 16, 235
"""Luma of limited range, as video carries it (BT.601)."""


def blocks(now_ms: int) -> list[bool]:
    """The 40 blocks, left to right; True is white."""
    value = now_ms % MODULUS_MS
    code = (value << 4) | _check(value)
    return [True, False, *(bool(code >> shift & 1) for shift in range(35, -1, -1)), True, False]


def read(row: Sequence[int]) -> int | None:
    """The milliseconds modulo 2^32 in one row of luma, across the whole picture; None if there is no such clock."""
    seen = [row[int((index + 0.5) * len(row) / BLOCKS)] for index in range(BLOCKS)]
    white, black = min(seen[0], seen[38]), max(seen[1], seen[39])
    if white - black < 64:
        return None
    middle = (white + black) / 2
    code = int("".join("1" if luma > middle else "0" for luma in seen[2:38]), 2)
    value, check = code >> 4, code & 15
    return value if _check(value) == check else None


def _check(value: int) -> int:
    """The exclusive or of all nibbles, turned over so that all black is not valid."""
    folded = 15
    while value:
        folded ^= value & 15
        value >>= 4
    return folded
