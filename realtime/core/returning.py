"""How a client of the socket comes back: where it stood, whether it may, and after what pause.

Owns: a client's place in a show's sequence. Reads no clock and draws no lots.
Invariant: an event is new once; none is skipped but by a snapshot that says so.
`live/web/static/js/socket.js` decides the same for pages.
"""

BASE_MS = 250
CAP_MS = 15_000
DIRECTED_MAX_MS = 60_000
"""A longer direction is a mistake, or somebody else's server."""


class Position:
    """Where a client stands; `epoch` is None before its first frame."""

    __slots__ = ("epoch", "offset")

    def __init__(self, epoch: str | None = None, offset: int = 0) -> None:
        self.epoch = epoch
        self.offset = offset

    def advance(self, epoch: str, offset: int, *, snapshot: bool) -> int:
        """Take a frame's `e`, `o` and `snapshot`; those of its events are new whose offset is above the answer."""
        if snapshot or epoch != self.epoch:
            self.epoch, self.offset = epoch, offset
            return -1
        before, self.offset = self.offset, max(self.offset, offset)
        return before

    @property
    def query(self) -> dict[str, str]:
        """What the address of the next socket says; nothing on the first visit."""
        return {} if self.epoch is None else {"epoch": self.epoch, "offset": str(self.offset)}


def stays_away(close_code: int) -> bool:
    """True if the server asks this client not to return."""
    return 4500 <= close_code <= 4999


def pause_ms(attempt: int, chance: float, *, directed_ms: int | None = None, at_least_ms: int = 0) -> int:
    """How long to wait before attempt number `attempt` (from 0); `chance` is drawn from [0, 1).

    The server's direction counts once, for the first attempt: it has given every client another moment. Without one,
    or when that did not help, the pause grows and is drawn anew, so that a crowd does not return as one.
    """
    if directed_ms is not None and attempt == 0:
        return min(max(directed_ms, 0), DIRECTED_MAX_MS)
    grown = min(CAP_MS, BASE_MS << min(attempt, 16))
    return max(round(grown * (0.2 + 0.8 * chance)), at_least_ms)
