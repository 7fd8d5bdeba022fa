"""The media room's one clock: wall time at start, moved on by the monotonic clock, so that it never steps."""

import time

_START_NS = time.time_ns() - time.monotonic_ns()


def now_ms() -> int:
    """Milliseconds since 1970 that never go back."""
    return (_START_NS + time.monotonic_ns()) // 1_000_000
