"""Which items stand beside the video, oldest pin first.

Owns: the rules of pinning. Reads no clock and does no I/O: `now_ms` comes in.
Invariant: an item is pinned at most once, and no board holds more than `PINS_MAX`.
"""

from schema.errors import Conflict
from schema.ids import VariantId
from schema.show import Pin

PINS_MAX = 10
"""What a phone can still show, and what one frame of the snapshot carries without thought."""


def pin(board: list[Pin], variant_id: VariantId, now_ms: int) -> tuple[list[Pin], Pin]:
    """The board with `variant_id` on it, and its pin; an item already there keeps its place and time.

    Raises Conflict when the board is full.
    """
    for there in board:
        if there.variant_id == variant_id:
            return board, there
    if len(board) >= PINS_MAX:
        raise Conflict(f"{PINS_MAX} items are pinned already; unpin one first", limit=PINS_MAX)
    fresh = Pin(variant_id=variant_id, pinned_at_ms=now_ms)
    return [*board, fresh], fresh
