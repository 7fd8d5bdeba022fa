"""How often a publisher may be asked for a keyframe.

Reads no clock and does no I/O. Invariant: at most one request a second goes upstream, however many viewers
ask, and none that was asked is forgotten until a keyframe has come.
"""

from typing import Final

INTERVAL_MS: Final = 1000


class KeyframeRequests:
    """When to ask one publisher for a keyframe."""

    def __init__(self) -> None:
        self._asked_ms: int | None = None
        self._wanted = False

    def want(self) -> None:
        """Somebody cannot go on without a keyframe."""
        self._wanted = True

    def arrived(self) -> None:
        """A keyframe came; everybody waiting has it."""
        self._wanted = False

    def due(self, now_ms: int) -> bool:
        """True if a request must go upstream now; counts it as sent. It stays wanted until `arrived`."""
        if not self._wanted or (self._asked_ms is not None and now_ms - self._asked_ms < INTERVAL_MS):
            return False
        self._asked_ms = now_ms
        return True
