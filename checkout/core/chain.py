"""A hash chain: each entry names all before it, so that none can be changed, moved or left out unseen.

Owns: how fields become a hash. SQL computes the same (0002_checkout.sql, 0007_hands.sql), and a public ledger's reader.
Invariant: no field holds the separator, so that two different entries never read the same.
"""

import hashlib
from collections.abc import Iterable

GENESIS = bytes(32)
"""What the first entry follows."""
SEPARATOR = "\x1f"


def link(prev_hash: bytes, fields: Iterable[object]) -> bytes:
    """sha256 over the predecessor's hash and the fields, joined by 0x1f, None as the empty string."""
    text = SEPARATOR.join("" if field is None else str(field) for field in fields)
    return hashlib.sha256(prev_hash + text.encode()).digest()
