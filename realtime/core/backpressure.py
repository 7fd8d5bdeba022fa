"""What becomes of a viewer that reads too slowly.

Owns: how far one viewer has come, and the allowance of commands on its socket.
Invariant: a frame is written to a viewer whole, in order and once; one that was skipped is caught up from the
ring before it gets another. A viewer holds at most `UNSENT_MAX_BYTES` plus one frame of the process's memory.
"""

UNSENT_MAX_BYTES = 64 * 1024
BEHIND_MAX_MS = 10_000
COMMANDS_PER_SECOND = 30


class Progress:
    """One viewer's place in the row of frames. `serial` counts the frames of a room, whatever is in them.

    A viewer is one (it inherits): another object for each would be another miss of the cache a frame.
    """

    __slots__ = ("_epoch", "_offset", "behind_since_ms", "paused", "serial")

    def __init__(self, serial: int) -> None:
        self.serial = serial
        self.paused = False
        self.behind_since_ms: int | None = None
        self._epoch = ""
        self._offset = 0

    def offer(self, serial: int, epoch: str, before: int, now_ms: int) -> bool:
        """True: write this frame. False: it has it already, or it is skipped, and stands at `before` from now on."""
        if serial <= self.serial:
            return False
        if not self.paused:
            self.serial = serial
            return True
        if self.behind_since_ms is None:
            self.behind_since_ms = now_ms
            self._epoch, self._offset = epoch, before
        return False

    def resumed(self, serial: int) -> tuple[str, int] | None:
        """It reads again: the epoch and offset to catch up from, after which it stands at `serial`; None: no need."""
        self.paused = False
        if self.behind_since_ms is None:
            return None
        self.behind_since_ms = None
        self.serial = serial
        return self._epoch, self._offset

    def stands_at(self, serial: int) -> bool:
        """True if it was given every frame up to `serial`."""
        return self.serial == serial and not self.paused

    def overdue(self, now_ms: int) -> bool:
        """True when it has been behind for too long: close it with the come-back code of TooSlow."""
        return self.behind_since_ms is not None and now_ms - self.behind_since_ms >= BEHIND_MAX_MS


class Allowance:
    """So many commands a second on one socket, counted in whole seconds: two integers, no timer."""

    __slots__ = ("_second", "_used")

    def __init__(self) -> None:
        self._second = -1
        self._used = 0

    def spend(self, now_ms: int) -> int:
        """0: go ahead; else the milliseconds until the next command is welcome."""
        second = now_ms // 1000
        if second != self._second:
            self._second, self._used = second, 0
        self._used += 1
        return 0 if self._used <= COMMANDS_PER_SECOND else 1000 - now_ms % 1000
