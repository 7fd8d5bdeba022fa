"""How fast something flows: octets over the last two seconds.

Owns: eight buckets of a quarter of a second. Reads no clock: `now_ms` comes in.
"""

from collections import deque
from typing import Final

BUCKET_MS: Final = 250
BUCKETS: Final = 8


class Meter:
    """One flow's."""

    def __init__(self) -> None:
        self._buckets: deque[list[int]] = deque(maxlen=BUCKETS + 1)  # [number, octets]
        self._began_ms: int | None = None

    def count(self, octets: int, now_ms: int) -> None:
        number = now_ms // BUCKET_MS
        if self._began_ms is None:
            self._began_ms = now_ms
        if self._buckets and self._buckets[-1][0] >= number:
            self._buckets[-1][1] += octets
        else:
            self._buckets.append([number, octets])

    def bps(self, now_ms: int) -> int:
        """Over the last two seconds, or since the first octet if that was later."""
        if self._began_ms is None:
            return 0
        since_ms = max(self._began_ms, (now_ms // BUCKET_MS - BUCKETS + 1) * BUCKET_MS)
        octets = sum(octets for number, octets in self._buckets if number * BUCKET_MS + BUCKET_MS > since_ms)
        return octets * 8000 // max(BUCKET_MS, now_ms - since_ms)
