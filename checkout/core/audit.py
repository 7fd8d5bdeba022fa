"""The audit log's chain: who did what, provably in this order and nothing else.

Owns: the canonical form of an entry (0007_hands.sql computes the same in SQL).
Invariant: no text of an entry holds the chain's separator.
"""

from collections.abc import Iterable, Iterator

from msgspec import Struct

from checkout.core.chain import GENESIS, SEPARATOR, link


class Entry(Struct, frozen=True, kw_only=True):
    """One row of `audit`."""

    seq: int
    act_id: str
    phase: str
    show_id: str | None
    account_id: str
    role: str
    name: str
    action: str
    object: str
    before: str | None
    after: str | None
    at_ms: int
    prev_hash: bytes
    hash: bytes


def plain(text: str) -> str:
    """A text without what would blur the borders of an entry's fields, or what Postgres cannot keep."""
    return text.replace(SEPARATOR, " ").replace("\0", "")


def entry_hash(prev_hash: bytes, entry: Entry) -> bytes:
    """What an entry's hash must be."""
    return link(
        prev_hash,
        (
            entry.seq,
            entry.act_id,
            entry.phase,
            entry.show_id,
            entry.account_id,
            entry.role,
            entry.name,
            entry.action,
            entry.object,
            entry.before,
            entry.after,
            entry.at_ms,
        ),
    )


class Chain:
    """Looks at entries one after the other, so that a log of any length can be verified in pages."""

    def __init__(self) -> None:
        self._seq, self._hash = 0, GENESIS

    def problems(self, entries: Iterable[Entry]) -> Iterator[str]:
        """What is wrong with these entries, which follow those seen before."""
        for entry in entries:
            if entry.seq != self._seq + 1:
                yield f"audit entry {self._seq + 1} is missing: found {entry.seq}"
            if entry.prev_hash != self._hash:
                yield f"audit entry {entry.seq} does not follow its predecessor"
            if entry.hash != entry_hash(entry.prev_hash, entry):
                yield f"audit entry {entry.seq} was changed after it was written"
            self._seq, self._hash = entry.seq, entry.hash

    def ends(self, last_seq: int, last_hash: bytes) -> Iterator[str]:
        """What is wrong with where it ends."""
        if (self._seq, self._hash) != (last_seq, last_hash):
            yield f"the audit log ends at {self._seq}, its head says {last_seq}"
