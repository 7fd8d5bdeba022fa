"""Pages of a list: their size, and opaque cursors, which say where the next one begins and promise nothing.

Owns: the encoding of a cursor, and the words in which a page that cannot be is refused.
Invariant: a cursor that we did not write is refused, never guessed at.
"""

import base64
import binascii
from typing import TypeVar

import msgspec
from starlette.datastructures import QueryParams

from schema.errors import Invalid

T = TypeVar("T")

CURSOR_MAX_CHARS = 512


def to_cursor(position: tuple[object, ...]) -> str:
    """The cursor that leads on from `position`."""
    return base64.urlsafe_b64encode(msgspec.msgpack.encode(position)).decode().rstrip("=")


def from_cursor(cursor: str | None, kind: type[T]) -> T | None:
    """The position a cursor stands for; None without one. Raises Invalid."""
    if not cursor:
        return None
    if len(cursor) > CURSOR_MAX_CHARS:
        raise _not_ours()
    try:
        data = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        return msgspec.msgpack.decode(data, type=kind)
    except (ValueError, binascii.Error, msgspec.DecodeError):
        raise _not_ours() from None


def _not_ours() -> Invalid:
    return Invalid("The cursor is not one of ours", pointer="/cursor")


def page_size(query: QueryParams, *, usual: int = 20, most: int = 100) -> int:
    """`limit` of a query, `usual` without one. Raises Invalid outside 1 to `most`, which is below 1000."""
    asked = query.get("limit", str(usual))
    if not (asked.isascii() and asked.isdigit() and len(asked) <= 3 and 1 <= int(asked) <= most):
        raise Invalid(f"limit is a number from 1 to {most}", pointer="/limit")
    return int(asked)
