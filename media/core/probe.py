"""Is there more room on the way to a viewer than what is sent now? A short train of packets asks.

Owns: the size of the next train, when it may leave, which one is on its way. Reads no clock: `now_ms` comes in.
Invariant: one train at a time, at most `MAX_OCTETS`, sized so that it holds up what comes behind it for about
`HOLD_UP_MS`; a link that has no room is asked at growing intervals.

A REMB cannot tell: it grows with what arrives, and of a low layer little arrives. To try the higher layer is to freeze
whoever has no room for it. So packets that the viewer has already are sent once more, the same bits (SRTP drops them
as replays: RFC 3711 section 3.3.2), and a sender report right behind them. The report that answers tells the round
trip of that one, and how much longer it is than the shortest is the time for which the link was busy with the train:

    shortest round trip 40 ms; a train of 6,000 bytes; the report behind it takes 120 ms
    (6,000 - 3,000) x 8 / 80 ms = 300 kb/s                3,000: what a shaper lets pass at once
"""

from typing import Final

HOLD_UP_MS: Final = 80
"""Short enough not to show: a browser calls a picture 150 ms late a freeze."""
MIN_OCTETS: Final = 5_000
MAX_OCTETS: Final = 36_000
FREE_OCTETS: Final = 3_000
LEAST_MS: Final = 12
"""Clocks of a millisecond and event loops say no less."""
FAR_OVER: Final = 3
"""A train that says so much more than what is wanted is believed alone."""
LOST_MS: Final = 2_500
"""Without an answer for so long there will be none."""
FIRST_MS: Final = 1_500
"""After the picture has begun: by then what was hurried to a newcomer has left the queue."""
LONGEST_MS: Final = 4_000
"""A viewer whose limit is lifted finds out within this time, and is up within ten seconds."""


class Probe:
    """One viewer's trains."""

    def __init__(self) -> None:
        self.octets = MIN_OCTETS
        """Of the next train."""
        self.octets_sent = 0
        """By all so far."""
        self._mark: int | None = None
        self._size = 0
        self._sent_ms = 0
        self._due_ms = 0
        self._interval_ms = FIRST_MS
        self._last_bps = 0

    def is_under_way(self, now_ms: int) -> bool:
        """True while the report behind a train may still be answered; another one now would hide it."""
        return self._mark is not None and now_ms - self._sent_ms < LOST_MS

    def begin(self, now_ms: int) -> None:
        """The picture has begun."""
        self._due_ms = now_ms + FIRST_MS

    def is_due(self, now_ms: int) -> bool:
        """True if a train may leave now."""
        return now_ms >= self._due_ms and not self.is_under_way(now_ms)

    def sent(self, octets: int, mark: int, now_ms: int) -> None:
        """A train has left; `mark` is the middle of its sender report's NTP time."""
        self._mark, self._size, self._sent_ms = mark, octets, now_ms
        self.octets_sent += octets
        self._due_ms = now_ms + self._interval_ms

    def answered(self, mark: int, rtt_ms: int, shortest_ms: int) -> int | None:
        """What the link carries in b/s, if this report answers the train."""
        if mark != self._mark:
            return None
        self._mark = None
        bps = max(1000, self._size - FREE_OCTETS) * 8000 // max(LEAST_MS, rtt_ms - shortest_ms)
        self.octets = max(MIN_OCTETS, min(MAX_OCTETS, FREE_OCTETS + bps * HOLD_UP_MS // 8000))
        return bps

    def judged(self, bps: int, wanted_bps: int, now_ms: int) -> int:
        """What two trains in a row agree on, 0 if there is no such thing yet; sets when the next may leave."""
        agreed, self._last_bps = min(bps, self._last_bps), bps
        if bps >= FAR_OVER * wanted_bps:
            agreed = max(agreed, bps // 2)
        if bps >= wanted_bps:
            self._interval_ms, self._due_ms = FIRST_MS, now_ms
            return agreed
        self._interval_ms = min(LONGEST_MS, self._interval_ms * 3 // 2)
        self._due_ms = max(self._due_ms, self._sent_ms + self._interval_ms)
        self._last_bps = 0
        return 0
