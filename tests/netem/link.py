"""One direction of a bad network: when each packet leaves it, if it does.

Owns: the random streams, the state of the burst, the fill of the queue. Does no I/O and reads no clock: `now_ms`
comes in, the times at which copies leave come out.
Invariant: the same seed and the same calls give the same answers; each kind of fault draws from a stream of its own,
once a packet, so that the packets a seed loses are the same ones whatever the delay is.

    packet -> lost? -> queue of the bottleneck (full: dropped) -> delay and jitter -> held back? -> copies
"""

import math
import random
from typing import Final, NamedTuple

BURST_BYTES: Final = 3000
"""What the bottleneck lets pass at once, as a shaper of an access network does."""


class Conditions(NamedTuple):
    """What a link does to packets. Shares are 0..1; the default does nothing."""

    loss: float = 0.0
    """Share lost, each packet for itself."""
    burst: float = 0.0
    """Share lost in bursts besides (Gilbert's model: all is lost in the bad state, nothing in the good one)."""
    burst_packets: float = 4.0
    """Mean length of a burst."""
    delay_ms: float = 0.0
    jitter_ms: float = 0.0
    """Added to the delay, uniform from 0; a packet never overtakes another because of it."""
    reorder: float = 0.0
    """Share held back by `reorder_ms`, while those behind overtake."""
    reorder_ms: float = 20.0
    duplicate: float = 0.0
    """Share that arrives twice."""
    rate_bps: int = 0
    """Of the bottleneck, over UDP payloads; 0: none."""
    queue_bytes: int = 32_000
    """What waits at the bottleneck; the packet that does not fit is dropped."""


class Link:
    """`send` every packet of the direction; change `conditions` at any time."""

    def __init__(self, seed: object, conditions: Conditions = Conditions()) -> None:  # noqa: B008 - immutable
        self.conditions = conditions
        self.sent = self.lost = self.overflowed = self.duplicated = 0
        names = ("loss", "burst", "jitter", "reorder", "duplicate")
        self._draw = {name: random.Random(f"{seed}/{name}").random for name in names}
        self._in_burst = False
        self._free_ms = -math.inf
        """When the bottleneck has sent all that is queued; at most a burst behind the clock."""
        self._last_ms = 0.0

    def send(self, now_ms: float, size_bytes: int) -> list[float]:
        """The times (ms) at which copies of a packet that enters now leave; none: it is lost."""
        draws = {name: draw() for name, draw in self._draw.items()}
        self.sent += 1
        if self._is_lost(draws["loss"], draws["burst"]):
            self.lost += 1
            return []
        leaves_ms = self._through_bottleneck(now_ms, size_bytes)
        if leaves_ms is None:
            self.overflowed += 1
            return []
        at_ms = leaves_ms + self.conditions.delay_ms + draws["jitter"] * self.conditions.jitter_ms
        if draws["reorder"] < self.conditions.reorder:
            at_ms += self.conditions.reorder_ms
        else:
            at_ms = self._last_ms = max(at_ms, self._last_ms)
        if draws["duplicate"] >= self.conditions.duplicate:
            return [at_ms]
        self.duplicated += 1
        return [at_ms, at_ms]

    def _is_lost(self, alone: float, turn: float) -> bool:
        share, leave = self.conditions.burst, 1 / self.conditions.burst_packets
        enter = leave * share / (1 - share) if share < 1 else 1.0
        self._in_burst = share > 0 and (turn >= leave if self._in_burst else turn < enter)
        return self._in_burst or alone < self.conditions.loss

    def _through_bottleneck(self, now_ms: float, size_bytes: int) -> float | None:
        rate = self.conditions.rate_bps
        if rate == 0:
            return now_ms
        per_byte_ms = 8000 / rate
        free_ms = max(self._free_ms, now_ms - BURST_BYTES * per_byte_ms)
        if (free_ms - now_ms) / per_byte_ms + size_bytes > self.conditions.queue_bytes:
            return None
        self._free_ms = free_ms + size_bytes * per_byte_ms
        return max(now_ms, self._free_ms)
