"""Opaque cursors of a list.

Owns: their encoding. Invariant: what was not made here is BadRequest.
"""

import base64
import binascii

from schema.errors import BadRequest

_SEPARATOR = "\x1f"


def cursor(*parts: object) -> str:
    """Where the next page begins: after the row with these sort keys."""
    return base64.urlsafe_b64encode(_SEPARATOR.join(map(str, parts)).encode()).decode().rstrip("=")


def parts(text: str | None, count: int) -> list[str] | None:
    """The sort keys in a cursor; None for the first page. Raises BadRequest."""
    if not text:
        return None
    try:
        found = (
            base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True).decode().split(_SEPARATOR)
        )
    except (binascii.Error, ValueError):
        found = []
    if len(found) != count or any("\x00" in part for part in found):
        raise BadRequest("The cursor is not one of ours")
    return found
