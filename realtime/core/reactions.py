"""How many reactions of each kind came in a show, until they are told.

Owns: what was counted and not taken yet, and what each account may still send. Reads no clock: `now_ms` comes in.
Invariant: nobody counts for more than `BURST` at once and one in `INTERVAL_MS` in the long run; accounts whose
allowance is whole again are forgotten.
"""

from schema.audience import Reaction
from schema.ids import AccountId

INTERVAL_MS = 100
BURST = 20
ACCOUNTS_MAX = 20_000


class Tally:
    """The reactions of one show in this process."""

    def __init__(self) -> None:
        self._counts: dict[Reaction, int] = {}
        self._spent_until_ms: dict[AccountId, int] = {}

    def add(self, account: AccountId, kind: Reaction, count: int, now_ms: int) -> int:
        """Count them all, or none: the answer is 0, or the milliseconds to wait (GCRA)."""
        until_ms = max(self._spent_until_ms.get(account, 0), now_ms) + count * INTERVAL_MS
        wait_ms = until_ms - now_ms - BURST * INTERVAL_MS
        if wait_ms > 0:
            return wait_ms
        self._spent_until_ms[account] = until_ms
        if len(self._spent_until_ms) > ACCOUNTS_MAX:
            self._forget(now_ms)
        self._counts[kind] = self._counts.get(kind, 0) + count
        return 0

    def take(self) -> dict[Reaction, int]:
        """What was counted since the last time."""
        counts, self._counts = self._counts, {}
        return counts

    def put_back(self, counts: dict[Reaction, int]) -> None:
        """What was taken and could not be told."""
        for kind, count in counts.items():
            self._counts[kind] = self._counts.get(kind, 0) + count

    def idle(self, now_ms: int) -> bool:
        """True if there is nothing to remember."""
        return not self._counts and all(until_ms <= now_ms for until_ms in self._spent_until_ms.values())

    def _forget(self, now_ms: int) -> None:
        kept = {one: until_ms for one, until_ms in self._spent_until_ms.items() if until_ms > now_ms}
        # A crowd of more than that within two seconds: the first of them may react anew.
        self._spent_until_ms = dict(list(kept.items())[-ACCOUNTS_MAX // 2 :])
