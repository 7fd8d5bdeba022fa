"""How well one source arrives, and what its clock says (RFC 3550 sections 6.4 and A.8).

Owns: the counters behind a receiver report, and the source's clock in our wall time.
Reads no clock: `now_ms` comes in.
"""

from media.core.rtcp import ReportBlock, SenderReport
from media.core.rtp import Sequence

NTP_EPOCH_MS = 2_208_988_800_000
"""1900 to 1970."""


def ntp(wall_ms: int) -> int:
    """Wall time as NTP, 32.32 bits."""
    return (wall_ms + NTP_EPOCH_MS << 32) // 1000


def wall_ms_of(stamp: int) -> float:
    """The wall time of an NTP stamp, in ms."""
    return stamp * 1000 / (1 << 32) - NTP_EPOCH_MS


class Reception:
    """One source of one publisher."""

    def __init__(self, ssrc: int, clock_hz: int) -> None:
        self.ssrc = ssrc
        self.sequence = Sequence()
        self.packets = 0
        self.octets = 0
        self.arrived_ms = 0
        self._clock_hz = clock_hz
        self._first = 0
        self._reported = (0, 0)
        self._jitter = 0.0
        self._transit: float | None = None
        self._last_sr: tuple[int, int] | None = None

    def arrived(self, extended: int, timestamp: int, octets: int, now_ms: int) -> None:
        """Count a packet by its extended sequence number."""
        if self.packets == 0:
            self._first = extended
        self.packets += 1
        self.octets += octets
        self.arrived_ms = now_ms
        transit = now_ms * self._clock_hz / 1000 - timestamp
        if self._transit is not None:
            change = abs(transit - self._transit)
            if change < self._clock_hz:  # a timestamp that wrapped or jumped says nothing about the network
                self._jitter += (change - self._jitter) / 16
        self._transit = transit

    def told(self, report: SenderReport, now_ms: int) -> None:
        """Note a sender report, for the round-trip time that the publisher derives from our answer."""
        self._last_sr = (report.ntp >> 16 & 0xFFFFFFFF, now_ms)

    @property
    def expected(self) -> int:
        """Packets that the source has sent since its first here, by its numbers."""
        return (self.sequence.highest or 0) - self._first + 1 if self.packets else 0

    @property
    def jitter_ms(self) -> float:
        """Of arrival (RFC 3550 section 6.4.1)."""
        return self._jitter * 1000 / self._clock_hz

    def block(self, now_ms: int) -> ReportBlock:
        """A report since the last one."""
        highest, expected = self.sequence.highest or 0, self.expected
        expected_now, received_now = expected - self._reported[0], self.packets - self._reported[1]
        self._reported = (expected, self.packets)
        lost_now = max(0, expected_now - received_now)
        fraction = min(255, lost_now * 256 // expected_now) if expected_now > 0 else 0
        lost = max(-0x800000, min(0x7FFFFF, expected - self.packets))
        last_sr, delay = 0, 0
        if self._last_sr is not None:
            last_sr, delay = self._last_sr[0], min(0xFFFFFFFF, (now_ms - self._last_sr[1]) * 65536 // 1000)
        return ReportBlock(self.ssrc, fraction, lost, highest - 0x10000 & 0xFFFFFFFF, int(self._jitter), last_sr, delay)


class Mapping:
    """Which wall time a track's timestamp stands for.

    Until the publisher's first sender report it is guessed from arrival, so that viewers have audio and video
    in step from the first moment; then it is the publisher's own clock, shifted once to our wall clock
    (`shift_ms`, the same for its audio and video), so that a change of publisher does not throw viewers off.
    """

    def __init__(self, clock_hz: int) -> None:
        self._clock_hz = clock_hz
        self._wall_ms: float | None = None
        self._timestamp = 0
        self._is_new = True

    def begin(self) -> None:
        """Another source begins; what the last one said holds until it has come."""
        self._is_new = True

    def guess(self, timestamp: int, now_ms: int) -> None:
        if self._is_new:
            self.set(timestamp, now_ms)

    def set(self, timestamp: int, wall_ms: float) -> None:
        self._wall_ms, self._timestamp, self._is_new = wall_ms, timestamp, False

    def wall(self, timestamp: int) -> float | None:
        """The wall time of a timestamp; None before anything arrived."""
        if self._wall_ms is None:
            return None
        ticks = (timestamp - self._timestamp + 0x80000000 & 0xFFFFFFFF) - 0x80000000
        return self._wall_ms + ticks * 1000 / self._clock_hz

    def at(self, now_ms: float) -> int | None:
        """The track's timestamp for `now_ms`; None before anything arrived."""
        if self._wall_ms is None:
            return None
        return int(self._timestamp + (now_ms - self._wall_ms) * self._clock_hz / 1000) & 0xFFFFFFFF
