"""Lost packets: which to ask a publisher for again, and how much a subscriber may ask of us.

Reads no clock and does no I/O. Invariant: both sides are bounded: at most 256 gaps are remembered, each is
asked for at most 5 times, and a subscriber's resends cannot exceed its budget.
"""

from typing import Final

MAX_GAPS: Final = 256
MAX_ASKS: Final = 5
WAIT_MS: Final = 10
"""A packet this much out of order is late, not lost."""
AGAIN_MS: Final = 60
"""About one round trip before asking once more."""
GIVE_UP_MS: Final = 1000


class Gaps:
    """What is missing from one source, and when to ask for it."""

    def __init__(self) -> None:
        self._missing: dict[int, list[int]] = {}  # sequence -> [since_ms, asks, last_ms]
        self._highest: int | None = None

    def __len__(self) -> int:
        return len(self._missing)

    def arrived(self, sequence: int, now_ms: int) -> bool:
        """Note an extended sequence number. False if more is missing than can be mended: ask for a keyframe."""
        if self._highest is None:
            self._highest = sequence
            return True
        if sequence <= self._highest:
            self._missing.pop(sequence, None)
            return True
        lost = sequence - self._highest - 1
        if lost + len(self._missing) > MAX_GAPS:
            self._missing.clear()
            self._highest = sequence
            return False
        for number in range(self._highest + 1, sequence):
            self._missing[number] = [now_ms, 0, now_ms - AGAIN_MS + WAIT_MS]
        self._highest = sequence
        return True

    def due(self, now_ms: int) -> list[int]:
        """The numbers to ask for now; counts them as asked, and forgets the hopeless."""
        asked = []
        for number, gap in list(self._missing.items()):
            since_ms, asks, last_ms = gap
            if asks >= MAX_ASKS or now_ms - since_ms > GIVE_UP_MS:
                del self._missing[number]
            elif now_ms - last_ms >= AGAIN_MS:
                gap[1:] = [asks + 1, now_ms]
                asked.append(number)
        return asked


class ResendBudget:
    """A token bucket over the packets one subscriber may have sent again, and a pause for each of them.

    Without it one peer with a bad link, or a bad mind, turns every NACK of 17 packets into 17 sends, without end.
    """

    def __init__(self, *, per_second: int = 300, burst: int = 300, pause_ms: int = 20) -> None:
        self._per_second, self._burst, self._pause_ms = per_second, burst, pause_ms
        self._tokens, self._at_ms = float(burst), 0
        self._recent: dict[tuple[int, int], int] = {}

    def limit(self, per_second: int) -> None:
        """Another rate from now on: resends must not fill a narrow link."""
        self._per_second = per_second

    def allows(self, line: int, sequence: int, now_ms: int) -> bool:
        """True if the packet may go again now; then it counts against the budget."""
        self._tokens = min(self._burst, self._tokens + (now_ms - self._at_ms) * self._per_second / 1000)
        self._at_ms = now_ms
        key = (line, sequence)
        if self._tokens < 1 or now_ms - self._recent.get(key, -self._pause_ms) < self._pause_ms:
            return False
        self._tokens -= 1
        self._recent.pop(key, None)
        self._recent[key] = now_ms
        if len(self._recent) > self._burst:
            del self._recent[next(iter(self._recent))]
        return True


class ResendShare:
    """Resends as a share of what a subscriber is sent: a third of it, and a burst for its beginning.

    Who asks for everything again costs half as much again at most (plain resends count as sent, and a third of them is
    a third of that), where the budget in packets would let a slow picture be sent three times over.
    """

    def __init__(self, *, share: float = 1 / 3, burst_octets: int = 128 << 10) -> None:
        self._share, self._burst = share, burst_octets
        self._left, self._seen = float(burst_octets), 0

    def allows(self, octets: int, sent: int) -> bool:
        """True if a resend of `octets` fits; then it counts. `sent`: all octets sent so far, which only grows."""
        self._left = min(self._burst, self._left + (sent - self._seen) * self._share)
        self._seen = sent
        if octets > self._left:
            return False
        self._left -= octets
        return True
