"""From a publisher's numbers to a subscriber's, without a seam.

Owns: the lasting timeline of a track (`Splice`), and one subscriber's view of it (`Line`).
Invariant: no number of a track is ever given to two packets, and both numbers only go forward with the
publisher, across any change of publisher. Reads no clock: `now_ms` comes in.

Publisher A sends sequences 65534, 65535, 0 and stops; B takes over 2 s later with 700, 701, at 90 kHz:

    publisher   A 65534   A 65535   A 0       | 2000 ms |   B 700       B 701
    track         131070    131071    131072                  131073      131074
    timestamp     1000      4000      7000                    187000      190000     7000 + 2 s x 90,000
    subscriber    17        18        19                      20          21         track - 131053
"""

import struct
from array import array
from typing import Final

from media.core.extensions import BLANK
from media.core.formats import Codec
from media.core.press import Press

NEVER: Final = 1 << 62
"""The first sequence of a line that has not begun."""

pack_header: Final = struct.Struct("!BBHII").pack
"""First byte, marker and payload type, sequence, timestamp, SSRC: the twelve bytes of an RTP header."""


class Splice:
    """Places one publisher's packets behind another's on a track that never ends."""

    def __init__(self, clock_hz: int) -> None:
        self._clock_hz = clock_hz
        self._highest: int | None = None
        self._timestamp = 0
        self._at_ms = 0
        self._first: int | None = None
        self._sequence_shift = 0
        self._timestamp_shift = 0

    def begin(self) -> None:
        """The next packet comes from another source."""
        self._first = None

    @property
    def timestamp_shift(self) -> int:
        """What turns the present source's timestamps into the track's (modulo 2**32)."""
        return self._timestamp_shift

    @property
    def newest(self) -> int:
        """The track's timestamp of the newest packet so far."""
        return self._timestamp

    def edge(self, now_ms: int) -> int:
        """The track's timestamp of a packet that arrives now, if the source goes on in its time."""
        return self._timestamp + (now_ms - self._at_ms) * self._clock_hz // 1000 & 0xFFFFFFFF

    def place(self, sequence: int, timestamp: int, now_ms: int) -> tuple[int, int] | None:
        """The track's extended sequence and timestamp for a packet.

        None for a packet older than its source's first: its number may be taken by the source before.
        """
        if self._first is None:
            self._join(sequence, timestamp, now_ms)
        assert self._first is not None
        if sequence < self._first:
            return None
        placed = sequence + self._sequence_shift
        stamp = timestamp + self._timestamp_shift & 0xFFFFFFFF
        if self._highest is None or placed > self._highest:
            self._highest, self._timestamp, self._at_ms = placed, stamp, now_ms
        return placed, stamp

    def _join(self, sequence: int, timestamp: int, now_ms: int) -> None:
        self._first = sequence
        if self._highest is None:
            return
        # Wall clock, and at least one tick: a receiver must not take the new picture for a part of the old.
        passed = max(1, (now_ms - self._at_ms) * self._clock_hz // 1000)
        self._sequence_shift = self._highest + 1 - sequence
        self._timestamp_shift = self._timestamp + passed - timestamp & 0xFFFFFFFF


FIRST, SHIFT, TIMESTAMP_SHIFT, SSRC, PACKETS, OCTETS = range(6)
"""The places in `Line.numbers`; media/native counts on them."""


class _Number:
    """One of a line's numbers, by its name."""

    __slots__ = ("_place",)

    def __init__(self, place: int) -> None:
        self._place = place

    def __get__(self, line: "Line", _owner: object = None) -> int:
        return line.numbers[self._place]

    def __set__(self, line: "Line", value: int) -> None:
        line.numbers[self._place] = value


class Line:
    """One track as one subscriber receives it: constant shifts, so that a packet sent twice has the same bits.

    `index` is the SRTP index (cycles << 16 | sequence). It starts below 2**15, because a receiver takes the
    first packet it sees for cycle 0 (RFC 3711 section 3.3.1).

    Whatever a flush reads and counts of each line lies in one array that is never replaced and never changes its size:
    media/native keeps its address, and asks the interpreter for none of it (twelve look-ups a line and flush were a
    sixth of the relay's time). `payload_types` is replaced as a whole or not at all, for the same reason.
    """

    __slots__ = ("_start", "extensions", "numbers", "payload_types", "press", "repair")
    first = _Number(FIRST)
    shift = _Number(SHIFT)
    timestamp_shift = _Number(TIMESTAMP_SHIFT)
    ssrc = _Number(SSRC)
    packets = _Number(PACKETS)
    octets = _Number(OCTETS)

    def __init__(self, ssrc: int, payload_types: dict[Codec, int], start: int, timestamp_shift: int) -> None:
        assert 0 <= start < 1 << 15
        self.extensions = BLANK
        """The block of `extensions.template`."""
        self.press: Press | None = None
        """Which timestamps this line gives besides the shift: a newcomer's, until it is live. Given before anything is
        sent by it, or never."""
        self.repair: Repair | None = None
        """The line that retransmissions go by (RFC 4588); None: they go by this one, with the same bits."""
        self.payload_types = payload_types
        self.numbers = array("q", (NEVER, 0, timestamp_shift, ssrc, 0, 0))
        self._start = start

    @property
    def has_begun(self) -> bool:
        return self.first != NEVER

    @property
    def is_repaired(self) -> bool:
        """True if nothing ever goes by it twice, whichever codec comes: its extensions may change then.

        They are authenticated: the same number with others would be two tags under one nonce, which gives away the key
        that they are made with.
        """
        return self.repair is not None and self.payload_types.keys() <= self.repair.payload_types.keys()

    def begin(self, sequence: int) -> None:
        """Start at the track's `sequence`; nothing before it will ever be sent."""
        self.reserve(sequence)
        self.first = sequence

    def reserve(self, sequence: int) -> None:
        """Number from the track's `sequence` on, while somebody else than the fan-out sends what comes first."""
        self.shift = self._start - sequence

    def go_on(self, sequence: int) -> None:
        """The fan-out sends from `sequence` on, in the numbering that was reserved."""
        self.first = sequence

    def enter(self, sequence: int, index: int, timestamp_shift: int) -> None:
        """Go on with another track's `sequence` as our `index`."""
        self.first, self.shift, self.timestamp_shift = sequence, index - sequence, timestamp_shift

    def leave(self) -> None:
        """Get nothing until `enter`."""
        self.first = NEVER

    def count(self, packets: int, octets: int) -> None:
        """So much has been sent by it."""
        self.numbers[PACKETS] += packets
        self.numbers[OCTETS] += octets

    def copy(self) -> "Line":
        """The same numbers and bits, counted by itself."""
        line = Line(self.ssrc, self.payload_types, self._start, self.timestamp_shift)
        line.first, line.shift = self.first, self.shift
        line.extensions, line.repair = self.extensions, self.repair
        return line

    def ahead(self, sequence: int) -> "Line":
        """This line as the fan-out does not see it yet: the same numbers and bits, sent from `sequence` on."""
        line = self.copy()
        line.first = sequence
        return line


class Repair(Line):
    """The stream of a line's retransmissions: numbers of its own, one for each packet that goes by it."""

    __slots__ = ("_taken",)

    def __init__(self, ssrc: int, payload_types: dict[Codec, int], start: int) -> None:
        super().__init__(ssrc, payload_types, start, 0)
        self.begin(0)
        self._taken = 0

    def take(self) -> int:
        """The next sequence of this line; nobody gets it again."""
        self._taken += 1
        return self._taken - 1


def nearest(number: int, reference: int) -> int:
    """The extended number with the low 16 bits of `number` that lies nearest to `reference`."""
    step = (number - reference) & 0xFFFF
    return reference + (step if step < 0x8000 else step - 0x10000)
