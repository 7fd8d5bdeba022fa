"""The wall clock, for whoever is given no other.

Owns: nothing. Expiry goes by Postgres's clock; this one only names the gate's buckets of memory and ages its orphans.
"""

import time


def wall_ms() -> int:
    """Now, in milliseconds since 1970."""
    return time.time_ns() // 1_000_000
