"""How long one viewer's player should hold its pictures back, so that a packet sent again is there in time.

Owns: when packets were missed. Reads no clock and does no I/O: `now_ms` comes in.
Invariant: a viewer that misses nothing, or now and then one packet, is asked for nothing; the delay asked for is at
most `MOST_MS`, and it ends `CALM_MS` after the last packet that was missed.

A browser's buffer follows the jitter, and 40 ms of it are over before a packet that was lost can have come again: the
picture stands still. With a round trip of 50 ms, from the packet that shows the gap:

    0 the request leaves    50 the packet is there    100 asked again, if that was lost too    150 there
                                                      (a receiver that knows no round trip waits 100 ms)

So one request more than needed, and its answer, must fit: 100 ms, a round trip, and the half for what is late itself.
Above `LOSSY` one more: of 200 packets lost in 20 s at 5 % each way, two are lost with their first two answers.
"""

from collections import deque
from typing import Final

AGAIN_MS: Final = 100
"""Between two requests of a browser for the same packet."""
LOSSY: Final = 0.03
MOST_MS: Final = 500
OFTEN: Final = 3
"""Requests within `WINDOW_MS` that mean a lossy way, and not an accident."""
WINDOW_MS: Final = 10_000
CALM_MS: Final = 20_000


class Hold:
    """One viewer's."""

    def __init__(self) -> None:
        self._asked: deque[int] = deque(maxlen=OFTEN)
        self._least_ms = 0

    def missed(self, loss: float, rtt_ms: int, now_ms: int) -> None:
        """It asks for packets again; the share it loses, as of its last report; `rtt_ms` 0: not known."""
        self._asked.append(now_ms)
        if len(self._asked) == OFTEN and now_ms - self._asked[0] <= WINDOW_MS:
            again_ms = AGAIN_MS if loss < LOSSY else 2 * AGAIN_MS
            self._least_ms = max(self._least_ms, min(MOST_MS, again_ms + 3 * rtt_ms // 2))

    def least_ms(self, now_ms: int) -> int:
        """The delay to ask for now."""
        if self._least_ms and now_ms - self._asked[-1] > CALM_MS:
            self._least_ms = 0
        return self._least_ms
