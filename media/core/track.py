"""A show's audio or video: a timeline that outlives its publishers, and the packets of the last seconds.

Owns: the splice, the history, the mapping to wall time. Reads no clock: `now_ms` comes in.
Invariant: each sequence number of the track is given to one packet, once.
"""

from typing import Final

from media.core.formats import CLOCK_HZ, Codec, Kind
from media.core.history import History, Packet, packet_of
from media.core.payloads import begins_keyframe
from media.core.reception import Mapping, ntp
from media.core.rewrite import Splice

CAPTURE_EVERY_MS: Final = 1000
"""Receivers interpolate between two capture times; a newcomer that begins in the middle waits this long for one."""

# A padding-only packet (a browser probing for bandwidth) keeps its number, or viewers would ask for it.
_ONLY_PADDING = b"\0\0\0\4"


class Track:
    """One kind of media in one show."""

    def __init__(self, kind: Kind, history_packets: int) -> None:
        self.kind = kind
        self.history = History(history_packets)
        self.highest = 0
        self._keyframe_timestamp: int | None = None
        self._splice = Splice(CLOCK_HZ[kind])
        self._mapping = Mapping(CLOCK_HZ[kind])
        self._captured = Mapping(CLOCK_HZ[kind])
        self._stamped_ms: int | None = None

    def begin(self) -> None:
        """The next packet comes from another source: another publisher, or another SSRC of the same."""
        self._splice.begin()
        self._mapping.begin()
        self._captured = Mapping(CLOCK_HZ[self.kind])
        self._stamped_ms = None

    def place(
        self,
        codec: Codec,
        sequence: int,
        timestamp: int,
        payload: bytes,
        *,
        marker: bool,
        now_ms: int,
        captured_ms: float | None = None,
    ) -> Packet | None:
        """The packet on the track's timeline, or None if it is older than its source's first.

        `captured_ms`: when the source says that it captured this, in our wall time.
        """
        newest = self._splice.newest
        placed = self._splice.place(sequence, timestamp, now_ms)
        if placed is None:
            return None
        number, stamp = placed
        is_first = number == self.highest + 1 and stamp != newest and bool(payload)
        self.highest = max(self.highest, number)
        self._mapping.guess(stamp, now_ms)
        if captured_ms is not None:
            self._captured.set(stamp, captured_ms)
        begins = begins_keyframe(codec, payload) and stamp != self._keyframe_timestamp
        if begins:  # one a picture: H264 sends parameter sets and several IDR slices of one, each by itself
            self._keyframe_timestamp = stamp
        is_stamped = begins or (is_first and self._is_due(now_ms))
        capture = self._capture(stamp, now_ms) if is_stamped else 0
        return packet_of(
            (self.kind, codec, number, stamp, marker, payload or _ONLY_PADDING, not payload, begins, capture)
        )

    def _is_due(self, now_ms: int) -> bool:
        """Only the first packet of a picture bears it: of the others a browser reads no playout delay.

        On whichever packet came after a second, it stayed behind the first for half a minute at a time: a picture every
        33 ms is at the same place of its packets after a second, and viewers that lose packets were not held back.
        """
        return self._stamped_ms is None or now_ms - self._stamped_ms >= CAPTURE_EVERY_MS

    def _capture(self, timestamp: int, now_ms: int) -> int:
        """What `Packet.capture` says: on a keyframe's first packet, and on that of one picture a second."""
        if self.kind is not Kind.VIDEO:
            return 0
        self._stamped_ms = now_ms
        return ntp(round(self.captured_ms(timestamp) or now_ms))

    def captured_ms(self, timestamp: int) -> float | None:
        """When what bears this timestamp was captured, in our wall time; None before anything arrived."""
        said = self._captured.wall(timestamp)
        return self._mapping.wall(timestamp) if said is None else said

    def told(self, timestamp: int, wall_ms: float) -> None:
        """The source says what its clock stood at (in our wall time)."""
        self._mapping.set(timestamp + self._splice.timestamp_shift & 0xFFFFFFFF, wall_ms)

    def edge(self, now_ms: int) -> int:
        """The timestamp of a packet that arrives now."""
        return self._splice.edge(now_ms)

    def newest_capture_ms(self) -> float | None:
        """When the newest packet's picture or sound was captured, in our wall time; None before there is one."""
        return self.captured_ms(self._splice.newest)

    def timestamp_at(self, now_ms: float) -> int | None:
        """The track's timestamp for a moment, for sender reports."""
        return self._mapping.at(now_ms)

    def wall_of(self, timestamp: int) -> float | None:
        """The moment of one of the track's timestamps, in ms of our wall time."""
        return self._mapping.wall(timestamp)
