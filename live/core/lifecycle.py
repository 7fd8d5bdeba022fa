"""The life of a show: scheduled, live, paused, ended.

Owns: the table of moves. Reads no clock and does no I/O.
Invariant: ENDED is never left (its replay goes on selling); a move to the state a show is in changes nothing.
"""

from schema.errors import Conflict
from schema.show import ShowState

SCHEDULED, LIVE, PAUSED, ENDED = ShowState.SCHEDULED, ShowState.LIVE, ShowState.PAUSED, ShowState.ENDED

MOVES: dict[ShowState, frozenset[ShowState]] = {
    # Straight to ENDED: a show that was called off.
    SCHEDULED: frozenset({LIVE, ENDED}),
    LIVE: frozenset({PAUSED, ENDED}),
    PAUSED: frozenset({LIVE, ENDED}),
    # Nothing leads back to SCHEDULED: viewers were told when it starts, and it did.
    ENDED: frozenset(),
}

SELLING = frozenset({LIVE, PAUSED, ENDED})
"""Before a show nothing is sold; in a pause and after its end the stock stays buyable."""


def move(state: ShowState, wanted: ShowState) -> ShowState:
    """The state after asking for `wanted`. Raises Conflict where the table has no such move."""
    if wanted is state or wanted in MOVES[state]:
        return wanted
    after = ", ".join(sorted(MOVES[state])) or "nothing"
    raise Conflict(f"A show that is {state} cannot become {wanted}; after {state} comes {after}", state=state)


def sells(state: ShowState, *, sales_open: bool) -> bool:
    """True if new holds may be taken: the show is past its start and the kill switch is not thrown."""
    return sales_open and state in SELLING
