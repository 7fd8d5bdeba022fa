"""How often a viewer gets sender reports (RFC 3550 section 6.4.1).

Reads no clock: `now_ms` comes in. Invariant: each beginning (a session's, a layer's, another host's) is reported every
time it is asked about for `SETTLING_MS`, then every second time.
"""

from typing import Final

SETTLING_MS: Final = 3_000
"""After two or three reports a player has sound and picture in step; later ones only hold them there."""
EVERY_MS: Final = 1_900
"""Less than two ticks of a second, which come a little early or late."""


class Cadence:
    """One viewer's."""

    def __init__(self) -> None:
        self._since_ms: int | None = None
        self._told_ms = 0

    def begin(self) -> None:
        """Numbers or clocks are others from now on."""
        self._since_ms = None

    def told(self, now_ms: int) -> None:
        """Reports go out."""
        self._told_ms = now_ms
        if self._since_ms is None:
            self._since_ms = now_ms

    def is_settled(self, now_ms: int) -> bool:
        return self._since_ms is not None and now_ms - self._since_ms >= SETTLING_MS

    def is_due(self, now_ms: int) -> bool:
        return not self.is_settled(now_ms) or now_ms - self._told_ms >= EVERY_MS
