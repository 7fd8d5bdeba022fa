"""The media room's one clock: wall time at start, moved on by the monotonic clock, so that it never steps."""

import time

START_NS = time.time_ns() - time.monotonic_ns()
"""The one thing in which the clocks of two processes of a machine differ."""


def now_ms() -> int:
    """Milliseconds since 1970 that never go back."""
    return (START_NS + time.monotonic_ns()) // 1_000_000
