"""When a delivery that was refused is tried again.

Owns: the schedule. Reads no clock and draws no chance: `jitter` comes in.
Invariant: the pauses grow, to a bound, and no two receivers that failed together are asked together for long.
"""

BASE_MS = 5_000
FACTOR = 4
CAP_MS = 6 * 3_600_000
ATTEMPTS = 12
"""Over some 34 hours: 5 s, 20 s, 80 s, 5 min, 21 min, 85 min, 5.7 h, then every 6 h."""
PATIENCE_MS = 24 * 3_600_000
"""An endpoint that took nothing for so long is given up."""


def pause_ms(attempts: int, jitter: float, base_ms: int = BASE_MS) -> int:
    """How long to wait after the `attempts`-th try; `jitter` from 0 to 1 spreads it by a quarter each way."""
    pause = min(base_ms * FACTOR ** min(attempts - 1, 10), CAP_MS)
    return int(pause * (0.75 + jitter / 2))
