"""One newcomer's way from the last keyframe to live: the cached pictures, hurried, then the fan-out's.

Owns: a place on the layer's reel, and the timestamps from there. Reads no clock: `now_ms` comes in.
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

from typing import Final, NamedTuple

from media.core.formats import CLOCK_HZ, Kind
from media.core.history import Packet
from media.core.press import Press, later, signed
from media.core.reel import Reel

STEP_MS: Final = 16
"""So often the port looks while somebody waits, or more often: a step leaves with each look, where a timer of its own
would be another wake. A look every 10 ms showed a newcomer the picture 15 ms sooner, and cost 0.4 ms of CPU a join,
most of it the fan-out's to two hundred others."""
STEP_PACKETS: Final = 40
"""30 Mb/s of full packets; a browser's socket buffer holds about 50 of them."""
MIN_MS: Final = 150
KEEP_MS: Final = 3000
"""How long after its last packet it can still be asked for one."""

_PLANNED_PACKETS: Final = 36
"""Of `STEP_PACKETS`: a step may come late, and live packets join in."""
_TICKS_PER_MS: Final = CLOCK_HZ[Kind.VIDEO] // 1000


class Step(NamedTuple):
    """What is due: packets that came late, and behind them a stretch of the reel, by its places."""

    late: list[Packet]
    begin: int
    end: int


class CatchUp:
    """From the keyframe on the reel, which has one, to the live edge."""

    def __init__(self, reel: Reel, edge: int, now_ms: int, rate_bps: int = 0) -> None:
        """`edge`: the timestamp that a packet arriving now would have. `rate_bps`: no faster than that; 0: any."""
        head = reel.head
        assert head is not None, "without a keyframe there is nothing to begin with"
        self.reel = reel
        self.first = head.sequence
        """The sequence at which the newcomer's line begins."""
        self._next = head.sequence
        """What lies before it has left, but for `_late`."""
        self._end: int | None = None
        """From there on nothing leaves by here; None: not decided."""
        self._late: list[Packet] = []
        self._is_repeated = self._is_live = False
        self.began_ms = self._sent_ms = now_ms
        self.rate_bps = rate_bps
        least_ms = max(MIN_MS, len(reel) * STEP_MS // _PLANNED_PACKETS)
        if rate_bps:
            least_ms = max(least_ms, reel.octets * 8000 // rate_bps)
        pressed = least_ms * _TICKS_PER_MS
        live = edge + pressed & 0xFFFFFFFF
        # At least as long as what it is pressed into: timestamps are never pulled apart.
        self.press = Press(live, pressed, max(pressed, signed(live - head.timestamp)))
        """Of the line that these packets leave by."""
        self._live = reel.stamp(self.first, live)

    @property
    def _until(self) -> int:
        return self.reel.end if self._end is None else self._end

    @property
    def last(self) -> int:
        """The highest sequence of all that came by here."""
        return self._until - 1

    @property
    def sent(self) -> int:
        """The highest sequence that has left."""
        return max(self.first, self._next - 1)

    @property
    def waits(self) -> bool:
        """True while packets wait for their step."""
        return bool(self._late) or self._next < self._until

    @property
    def is_done(self) -> bool:
        """True if whatever comes after `last` has the host's own timestamp, and can go by the fan-out."""
        return self._is_live and not self._late

    def is_overtaken(self, key: int, packets: int) -> bool:
        """True if so many packets or more wait before the keyframe that begins at sequence `key`."""
        return self.reel.place(key) - self.reel.place(self._next) >= packets

    def is_over(self, now_ms: int) -> bool:
        """True when nobody will ask any more."""
        return self.is_done and now_ms - self._sent_ms > KEEP_MS

    def missed(self, packet: Packet) -> bool:
        """Take one that the reel got late; True if those around it have left, and it leaves with the next step."""
        is_missed = self.first <= packet.sequence < self._next
        if is_missed:
            self._late.append(packet)
        return is_missed

    def step(self, now_ms: int) -> Step:
        """The packets that are due, for a line with `press`; at most `STEP_PACKETS`."""
        late, self._late = self._late[:STEP_PACKETS], self._late[STEP_PACKETS:]
        begin = end = 0
        if self._next < self._until:
            begin, end = self._stretch(STEP_PACKETS - len(late), now_ms)
        if end > begin:
            self._next = self.reel.packets[end - 1].sequence + 1
        if late or end > begin:
            self._sent_ms = now_ms
        if not self.waits and self._end is None and signed(self.reel.packets[-1].timestamp - self.press.live) >= 0:
            self._is_live, self._end = True, self._next
        return Step(late, begin, end)

    def _stretch(self, room: int, now_ms: int) -> tuple[int, int]:
        """As far as there is room, but to no picture that is not due yet."""
        reel = self.reel
        begin = reel.place(self._next)
        end = min(len(reel.packets), begin + room)
        least = self.press.pressed - (now_ms - self.began_ms) * _TICKS_PER_MS
        if least <= 0:
            return begin, end
        # As pressed, so long before live; a picture is due from there on.
        ago = -(-least * self.press.span // self.press.pressed)
        return begin, reel.until(self._live - ago, begin, end)

    def again(self) -> list[Packet]:
        """The first picture's packets, once, for a line with `press`; at most `STEP_PACKETS`."""
        origin = None if self._is_repeated else self.reel.get(self.first)
        self._is_repeated = True
        if origin is None:
            return []
        begin, end = self.reel.place(self.first), self.reel.place(self._next)
        left = self.reel.packets[begin : min(end, begin + STEP_PACKETS)]
        return [packet for packet in left if packet.timestamp == origin.timestamp and packet not in self._late]

    def end(self) -> None:
        """Nothing leaves any more."""
        self._end = self._next
        self._late.clear()

    def get(self, sequence: int) -> Packet | None:
        """A packet that has left, as it left: with the timestamp that `press` gave it."""
        packet = self.reel.get(sequence) if self.first <= sequence < self._next else None
        return None if packet is None or packet in self._late else self._stamped(packet)

    def _stamped(self, packet: Packet) -> Packet:
        shift = self.press.shift(packet.timestamp)
        stamp = packet.timestamp + shift & 0xFFFFFFFF
        return packet._replace(timestamp=stamp, capture=later(packet.capture, shift)) if shift else packet
