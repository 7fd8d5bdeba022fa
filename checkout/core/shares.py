"""How much of one item the guests of one network may hold unpaid, and what of it counts no more.

Owns: nothing. Invariant: a share is at least one unit; a hold that the truth knows counts until it has ended.
"""

from checkout.core.reservation import TERMINAL
from schema.hold import HoldState

LEAST = 10
"""So many units of an item whatever there is of it, but never more than half."""
QUARTER = 4
ON_ITS_WAY_MS = 15_000
"""A hold that the truth does not know yet is on its way there for so long."""


def share_of(stocked: int) -> int:
    """How many units of `stocked` one network may have: a quarter, or ten if that is more, but not above half."""
    return max(stocked // QUARTER, min(LEAST, -(-stocked // 2)))


def is_over(state: HoldState | None, *, age_ms: float) -> bool:
    """Whether what was counted `age_ms` ago counts no more. `state` is the truth's; None: it knows no such hold."""
    return age_ms > ON_ITS_WAY_MS if state is None else state in TERMINAL
