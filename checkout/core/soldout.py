"""What one process knows of a product that is sold out, so that it refuses taps without asking anybody.

Owns: the gate's last word that nothing is to be had, for as long as it is trusted; and which taps were refused on it.
Invariant: a tap is refused here only if the gate, asked less than `TRUST_MS` ago, would have said the same: the hold
ids and buyers that it knows are left to it. A lost message can therefore hide stock for `TRUST_MS` at most.
"""

from msgspec import Struct

from checkout.core.taps import Tap

TRUST_MS = 250
KEEP_MS = 60_000
"""Refusals are remembered for one to two of these, as the gate does with its own."""
KEEP_MOST = 32_768
"""In each of the two; beyond that the older ones go first: a retry of theirs is decided anew."""


class SoldOut(Struct, frozen=True, kw_only=True):
    """The gate's word that nothing is to be had, and whom and what it knows."""

    epoch: int
    turn: int
    """Rises with each change that makes this word untrue (lua/sold_out.lua)."""
    limit: int
    holds: frozenset[str]
    buyers: frozenset[str]


class SoldOutHere:
    """One product. `news` counts what was heard: a word asked for before the last news may be older than it."""

    def __init__(self) -> None:
        self.news = 0
        self._word: SoldOut | None = None
        self._asked_ms = 0

    def forget(self) -> None:
        """Something may be had again."""
        self.news += 1
        self._word = None

    def learn(self, word: SoldOut | None, *, asked_ms: int, news: int) -> None:
        """The gate was asked at `asked_ms`, when `news` were heard."""
        if news == self.news:
            self._word, self._asked_ms = word, asked_ms

    def confirm(self, epoch: int, turn: int, *, asked_ms: int) -> bool:
        """The gate has said again that nothing is to be had. False if what is known here is not of this turn."""
        if self._word is None or (self._word.epoch, self._word.turn) != (epoch, turn):
            self._word = None
            return False
        self._asked_ms = max(self._asked_ms, asked_ms)
        return True

    def knows(self, now_ms: int) -> bool:
        """True while the gate's word is trusted."""
        return self._word is not None and now_ms - self._asked_ms < TRUST_MS

    def refuses(self, tap: Tap, now_ms: int) -> bool:
        """True if the gate need not be asked. What it may know, and whoever may be over the limit, is left to it."""
        word = self._word
        return (
            word is not None
            and now_ms - self._asked_ms < TRUST_MS
            and tap.quantity <= word.limit
            and tap.hold_id not in word.holds
            and tap.buyer_id not in word.buyers
        )


class Refusals:
    """Which taps were refused here, and for what: the gate has not heard of them, and a retry gets the same answer."""

    def __init__(self) -> None:
        self._now: dict[str, tuple[str, int]] = {}
        self._before: dict[str, tuple[str, int]] = {}
        self._turned_ms = 0

    def remember(self, tap: Tap, variant_id: str, now_ms: int) -> None:
        if now_ms - self._turned_ms >= KEEP_MS or len(self._now) >= KEEP_MOST:
            stale = now_ms - self._turned_ms >= 2 * KEEP_MS
            self._before, self._now, self._turned_ms = {} if stale else self._now, {}, now_ms
        self._now[tap.hold_id] = (variant_id, tap.quantity)

    def of(self, hold_id: str, now_ms: int) -> tuple[str, int] | None:
        """Variant and units of a tap that was refused here; None: it was not, or that is forgotten."""
        age_ms = now_ms - self._turned_ms
        if age_ms >= 2 * KEEP_MS:
            return None
        found = self._now.get(hold_id)
        return found if found or age_ms >= KEEP_MS else self._before.get(hold_id)
