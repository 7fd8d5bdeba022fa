"""One newcomer's way from the last keyframe to live: the cached pictures, hurried, then the fan-out's.

Owns: which packets still wait, and their timestamps. Reads no clock: `now_ms` comes in.
Invariant: every packet leaves once, in order but for those that came late; the timestamps are those of `press`, also
of a packet that is asked for again; at most `STEP_PACKETS` a step.

The packets of a step are the fan-out's own, with the host's timestamps: who sends them gives them those of `press`, as
it writes the headers. A join has some five hundred packets; an object for each, and for each newcomer, was half of the
time that they took.

A burst with the host's timestamps would be played for seconds at normal speed, or fast-forward, and apart from
the sound. So the pictures between the keyframe and live are pressed together, and each leaves when its new
timestamp is due: to the browser they are a camera of some 500 pictures a second, without jitter, whose clock
agrees with the sender reports. It decodes all and shows the last. A keyframe 4 s old, 150 ms to catch up, time
in ms on the host's clock, joined at 4000:

    host's timestamp       0   1000   2000   3000   4000   4060   4150 (live)   4200
    the newcomer's      4000   4036   4072   4108   4145   4147   4150          4200
    leaves at           4000   4036   4072   4108   4145   4147   4150          when it comes
"""

from bisect import bisect_left, insort
from collections.abc import Iterable, Sequence
from typing import Final

from media.core.formats import CLOCK_HZ, Kind
from media.core.gop import sequence_of
from media.core.history import Packet
from media.core.press import Press, later, signed

STEP_MS: Final = 10
"""So often the port looks while somebody waits: a step leaves with each look, where a timer of its own would be another
wake."""
STEP_PACKETS: Final = 40
"""48 Mb/s of full packets; a browser's socket buffer holds about 50 of them."""
MIN_MS: Final = 150
MAX_PACKETS: Final = 4096
"""Waiting and kept for resends; beyond it the oldest go (a host whose clock stands still never gets live)."""
KEEP_MS: Final = 3000
"""How long after its last packet it can still be asked for one."""

_PLANNED_PACKETS: Final = 36
"""Of `STEP_PACKETS`: a step may come late, and live packets join in."""
_TICKS_PER_MS: Final = CLOCK_HZ[Kind.VIDEO] // 1000


class CatchUp:
    """From `packets` (a keyframe's first at the head) to the live edge."""

    def __init__(self, packets: Sequence[Packet], edge: int, now_ms: int, rate_bps: int = 0) -> None:
        """`edge`: the timestamp that a packet arriving now would have. `rate_bps`: no faster than that; 0: any."""
        self._packets = list(packets)
        self.first = packets[0].sequence
        """The sequence at which the newcomer's line begins."""
        self._next = 0
        self._late: list[Packet] = []
        self._is_repeated = False
        self.began_ms = now_ms
        self.rate_bps = rate_bps
        self._sent_ms = now_ms
        least_ms = max(MIN_MS, len(packets) * STEP_MS // _PLANNED_PACKETS)
        if rate_bps:
            least_ms = max(least_ms, sum(len(packet.payload) for packet in packets) * 8000 // rate_bps)
        pressed = least_ms * _TICKS_PER_MS
        live = edge + pressed & 0xFFFFFFFF
        # At least as long as what it is pressed into: timestamps are never pulled apart.
        self.press = Press(live, pressed, max(pressed, signed(live - packets[0].timestamp)))
        """Of the line that these packets leave by."""

    @property
    def last(self) -> int:
        """The highest sequence of all that came by here."""
        return self._packets[-1].sequence

    @property
    def sent(self) -> int:
        """The highest sequence that has left."""
        return self._packets[max(0, self._next - 1)].sequence

    @property
    def waits(self) -> bool:
        """True while packets wait for their step."""
        return bool(self._late) or self._next < len(self._packets)

    @property
    def is_done(self) -> bool:
        """True if whatever comes after `last` has the host's own timestamp, and can go by the fan-out."""
        return not self.waits and signed(self._packets[-1].timestamp - self.press.live) >= 0

    def is_overtaken(self, key: int, packets: int) -> bool:
        """True if so many packets or more wait before the keyframe that begins at sequence `key`."""
        at = self._next + packets - 1
        return at < len(self._packets) and self._packets[at].sequence < key

    def is_over(self, now_ms: int) -> bool:
        """True when nobody will ask any more."""
        return self.is_done and now_ms - self._sent_ms > KEEP_MS

    def add(self, packets: Iterable[Packet]) -> None:
        """What the fan-out has just taken: it follows in order; what came late leaves with the next step."""
        for packet in packets:
            if packet.sequence < self.first:
                continue
            if packet.sequence > self.last:
                self._packets.append(packet)
                continue
            at = bisect_left(self._packets, packet.sequence, key=sequence_of)
            insort(self._packets, packet, key=sequence_of)
            if at < self._next:
                self._next += 1
                self._late.append(packet)
        excess = len(self._packets) - MAX_PACKETS
        if excess > 0:
            del self._packets[:excess]
            self._next = max(0, self._next - excess)

    def step(self, now_ms: int) -> list[Packet]:
        """The packets that are due, for a line with `press`; at most `STEP_PACKETS`."""
        due, self._late = self._late[:STEP_PACKETS], self._late[STEP_PACKETS:]
        begin, self._next = self._next, self._end(STEP_PACKETS - len(due), now_ms)
        due += self._packets[begin : self._next]
        if due:
            self._sent_ms = now_ms
        return due

    def _end(self, room: int, now_ms: int) -> int:
        """How far the step goes: to the first picture that is not due yet, or as far as there is room."""
        packets, picture = self._packets, -1
        least = self.press.pressed - (now_ms - self.began_ms) * _TICKS_PER_MS
        end = min(len(packets), self._next + room)
        for at in range(self._next, end):
            timestamp = packets[at].timestamp
            if timestamp != picture:
                picture = timestamp
                if self.press.before_live(picture) < least:
                    return at
        return end

    def again(self) -> list[Packet]:
        """The first picture's packets, once, for a line with `press`; at most `STEP_PACKETS`."""
        if self._is_repeated:
            return []
        self._is_repeated = True
        origin, left = self._packets[0], self._packets[: self._next]
        is_whole = origin.sequence == self.first
        first = [packet for packet in left[:STEP_PACKETS] if is_whole and packet.timestamp == origin.timestamp]
        return [packet for packet in first if packet not in self._late]

    def end(self) -> None:
        """Nothing leaves any more."""
        del self._packets[self._next :]
        self._late.clear()

    def get(self, sequence: int) -> Packet | None:
        """A packet that has left, as it left: with the timestamp that `press` gave it."""
        at = bisect_left(self._packets, sequence, 0, self._next, key=sequence_of)
        if at == self._next or self._packets[at].sequence != sequence or self._packets[at] in self._late:
            return None
        return self._stamped(self._packets[at])

    def _stamped(self, packet: Packet) -> Packet:
        shift = self.press.shift(packet.timestamp)
        stamp = packet.timestamp + shift & 0xFFFFFFFF
        return packet._replace(timestamp=stamp, capture=later(packet.capture, shift)) if shift else packet
