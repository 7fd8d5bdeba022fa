"""How many reports of one peer are heard.

Reads no clock: `now_ms` comes in. Invariant: at most `BURST` at once, and `A_SECOND` a second in the long run.

Whoever has the keys may send as many authentic reports as it likes, and each costs a decryption, a parse and perhaps an
answer. A browser sends one or two a second, and where much is lost a NACK every 20 ms.
"""

from typing import Final

A_SECOND: Final = 200
BURST: Final = 400


class Quota:
    """One peer's."""

    def __init__(self) -> None:
        self.refused = 0
        """Reports that were not heard."""
        self._left, self._at_ms = float(BURST), 0

    def allows(self, now_ms: int) -> bool:
        """True if one more is heard; then it counts."""
        self._left = min(BURST, self._left + max(0, now_ms - self._at_ms) * A_SECOND / 1000)
        self._at_ms = now_ms
        if self._left < 1:
            self.refused += 1
            return False
        self._left -= 1
        return True
