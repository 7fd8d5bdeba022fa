"""Taps that the gate admitted while the truth did not answer: promised to nobody, in the order they came.

Owns: what one process wrote down and has not decided yet. Reads no clock and no file: `now_ms` comes in.
Invariant: an entry leaves only by `end`, once the truth has decided it or fenced its id. Told no once, it is never
replayed any more.
"""

from collections.abc import Iterable

from msgspec import Struct

from checkout.core.taps import Tap
from schema.hold import Hold, HoldState
from schema.ids import AccountId, HoldId, ShowId, VariantId
from schema.money import Money

BOUND_MS = 60_000
"""So long a buyer may be left in doubt; then they are told no."""
LAST_CALL_MS = 5_000
"""No replay begins that could end after the buyer was told no."""
MOST = 10_000


class Entry(Struct, frozen=True, kw_only=True):
    """One admitted tap, as it is written down."""

    tap: Tap
    show_id: ShowId
    variant_id: VariantId
    price: Money
    at_ms: int
    until_ms: int

    @property
    def product(self) -> tuple[ShowId, VariantId]:
        """The line it stands in."""
        return self.show_id, self.variant_id

    def hold(self, state: HoldState = HoldState.CONFIRMING) -> Hold:
        """What the buyer is shown of it."""
        return Hold(
            hold_id=HoldId(self.tap.hold_id),
            show_id=self.show_id,
            variant_id=self.variant_id,
            buyer_id=AccountId(self.tap.buyer_id),
            quantity=self.tap.quantity,
            state=state,
            unit_price=self.price,
            total=self.price.times(self.tap.quantity),
            created_at_ms=self.at_ms,
            expires_at_ms=self.until_ms,
        )


class Undecided:
    """The entries of one process."""

    def __init__(self) -> None:
        self._entries: dict[str, Entry] = {}
        self._told_no: dict[str, HoldState] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, hold_id: str) -> bool:
        return hold_id in self._entries

    def add(self, entries: Iterable[Entry]) -> None:
        """At the end of the line; one that is there keeps its place."""
        for entry in entries:
            self._entries.setdefault(entry.tap.hold_id, entry)

    def end(self, hold_ids: Iterable[str]) -> None:
        """The truth has decided these."""
        for hold_id in hold_ids:
            self._entries.pop(hold_id, None)
            self._told_no.pop(hold_id, None)

    def refuse(self, hold_id: str, state: HoldState) -> None:
        """Tell the buyer no. The unit stays off the shelf until the id is fenced."""
        if hold_id in self._entries:
            self._told_no.setdefault(hold_id, state)

    def is_given_back(self, hold_id: str) -> bool:
        """True if its buyer does not want it any more; then it must not stand, whoever committed it."""
        return self._told_no.get(hold_id) is HoldState.RELEASED

    def due(self, now_ms: int) -> list[Entry]:
        """Who has been in doubt for too long, and was not told no yet."""
        return [e for e in self._entries.values() if now_ms >= e.until_ms and e.tap.hold_id not in self._told_no]

    def refuse_all(self, entries: Iterable[Entry]) -> None:
        """Their buyers do not get it: the truth has said so, or nobody in time."""
        for entry in entries:
            self.refuse(entry.tap.hold_id, HoldState.EXPIRED)

    def hold(self, hold_id: str) -> Hold | None:
        """What the buyer is shown; None if it is not one of these."""
        entry = self._entries.get(hold_id)
        return entry.hold(self._told_no.get(hold_id, HoldState.CONFIRMING)) if entry else None

    def products(self) -> list[tuple[ShowId, VariantId]]:
        """Each product that somebody waits for, the longest-waiting first."""
        return list(dict.fromkeys(entry.product for entry in self._entries.values()))

    def waits(self, show_id: str, variant_id: str) -> bool:
        """True while a tap on this product waits: later ones stand behind it. Who was told no waits for nothing."""
        product = (show_id, variant_id)
        return any(entry.product == product and name not in self._told_no for name, entry in self._entries.items())

    def to_replay(self, product: tuple[ShowId, VariantId], now_ms: int, most: int) -> list[Entry]:
        """The head of a product's line."""
        line = [
            entry
            for hold_id, entry in self._entries.items()
            if entry.product == product and hold_id not in self._told_no and now_ms < entry.until_ms - LAST_CALL_MS
        ]
        return line[:most]

    def to_fence(self, product: tuple[ShowId, VariantId]) -> list[Entry]:
        """Those of a product who were told no."""
        return [self._entries[hold_id] for hold_id in self._told_no if self._entries[hold_id].product == product]
