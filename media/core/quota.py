"""How much of one peer is heard: of its reports, and of its handshake.

Reads no clock: `now_ms` comes in. Invariant: at most `burst` at once, and `a_second` a second in the long run.

Whoever has the keys may send as many authentic reports as it likes, and each costs a decryption, a parse and perhaps an
answer. A browser sends one or two a second, and where much is lost a NACK every 20 ms.
"""

from typing import Final

A_SECOND: Final = 200
BURST: Final = 400


class Quota:
    """One peer's: of its reports, unless told otherwise."""

    def __init__(self, a_second: int | None = None, burst: int | None = None) -> None:
        self.refused = 0
        """What was not heard."""
        self._a_second = A_SECOND if a_second is None else a_second
        self._burst = BURST if burst is None else burst
        self._left, self._at_ms = float(self._burst), 0

    def allows(self, now_ms: int) -> bool:
        """True if one more is heard; then it counts."""
        self._left = min(self._burst, self._left + max(0, now_ms - self._at_ms) * self._a_second / 1000)
        self._at_ms = now_ms
        if self._left < 1:
            self.refused += 1
            return False
        self._left -= 1
        return True
