"""What an Idempotency-Key means: the same request once, whatever the network does.

Owns: fingerprints, and ids that follow from a key, so that a retry names the same thing before anything is stored.
Invariant: one (account, operation, key) stands for one request body for good.
"""

from hashlib import sha256

from schema.errors import IdempotencyInFlight, IdempotencyMismatch
from schema.ids import ulid_of

_SEPARATOR = "\x1f"
IN_FLIGHT_RETRY_MS = 500


def _digest(parts: tuple[object, ...]) -> bytes:
    return sha256(_SEPARATOR.join([part if type(part) is str else str(part) for part in parts]).encode()).digest()


def fingerprint(*parts: object) -> str:
    """Two requests with one key are the same request if and only if this agrees."""
    return _digest(parts).hex()


def derived_id(prefix: str, *parts: object) -> str:
    """An id in the house's shape that follows from `parts`, such as account, operation and key.

    It does not sort by birth; the row behind it has its time. It opens nothing by itself: the owner
    stands in every WHERE.
    """
    return f"{prefix}_{ulid_of(_digest(parts)[:16])}"


def may_answer(code: str) -> bool:
    """True if this request is the one to be answered, false if the saved answer is to be replayed.

    `code` is claim_key()'s, which decides under the row's lock. Raises IdempotencyMismatch, IdempotencyInFlight.
    """
    if code == "mismatch":
        raise IdempotencyMismatch
    if code == "in_flight":
        raise IdempotencyInFlight(retry_after_ms=IN_FLIGHT_RETRY_MS)
    assert code in {"mine", "replay"}, code
    return code == "mine"
