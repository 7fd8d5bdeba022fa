"""How often a publisher may be asked for a keyframe.

Reads no clock and does no I/O. Invariant: at most one request a second goes upstream, however many viewers
ask, and none that was asked is forgotten until a keyframe has come.
"""

from typing import Final

INTERVAL_MS: Final = 1000
PATIENT_MS: Final = 2000
"""For who has a picture and wants a better one: a keyframe costs everybody who watches the layer."""


class KeyframeRequests:
    """When to ask one publisher for a keyframe of one layer."""

    def __init__(self) -> None:
        self._asked_ms: int | None = None
        self._wanted = False
        self._is_patient = True

    def want(self, *, patiently: bool = False) -> None:
        """Somebody cannot go on without a keyframe; or, patiently, would like to move here."""
        self._is_patient = patiently and (self._is_patient or not self._wanted)
        self._wanted = True

    def arrived(self) -> None:
        """A keyframe came; everybody waiting has it."""
        self._wanted = False

    def due(self, now_ms: int) -> bool:
        """True if a request must go upstream now; counts it as sent. It stays wanted until `arrived`."""
        interval_ms = PATIENT_MS if self._is_patient else INTERVAL_MS
        if not self._wanted or (self._asked_ms is not None and now_ms - self._asked_ms < interval_ms):
            return False
        self._asked_ms = now_ms
        return True


class KeyframeBudget:
    """How often one viewer's wish for a keyframe is heard: a keyframe costs all who watch.

    Without it a single broken or ill-meaning viewer has the host send one a second for the whole show.
    """

    def __init__(self, *, every_ms: int = 3000, burst: int = 3) -> None:
        self._every_ms, self._burst = every_ms, burst
        self._tokens, self._at_ms = float(burst), 0

    def allows(self, now_ms: int) -> bool:
        """True if the wish counts; then it counts against the budget."""
        self._tokens = min(self._burst, self._tokens + (now_ms - self._at_ms) / self._every_ms)
        self._at_ms = now_ms
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True
