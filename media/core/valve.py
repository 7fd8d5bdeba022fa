"""What a link that falls behind still gets: sound, and of a layer nothing until its next keyframe.

Reads no clock and does no I/O. Invariant: behind a packet of a layer that was left out comes none of that layer but
from a keyframe on. (The oldest packets are with the kernel already: what can be left out is what comes.)
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

from media.core.formats import Kind
from media.feed import Incoming, Stream

SHUT_BYTES: Final = 2 << 20
"""More than this waiting to be read, and video is left out: seconds of it."""
OPEN_BYTES: Final = 256 << 10
FULL_BYTES: Final = 6 << 20
"""And now sound as well."""


class Piece(NamedTuple):
    """One packet on its way over a link."""

    stream: Stream
    packet: Incoming
    begins_keyframe: bool


class Valve:
    """One link's."""

    def __init__(self) -> None:
        self._shut: set[int] = set()

    @property
    def shut(self) -> frozenset[int]:
        """The layers that wait for a keyframe."""
        return frozenset(self._shut)

    def through(self, pieces: Sequence[Piece], waiting_bytes: int) -> Sequence[Piece]:
        """Those of `pieces` that may go while so many bytes wait."""
        if not self._shut and waiting_bytes <= SHUT_BYTES:
            return pieces
        return [piece for piece in pieces if self._may_go(piece, waiting_bytes)]

    def _may_go(self, piece: Piece, waiting_bytes: int) -> bool:
        if piece.stream.kind is Kind.AUDIO:
            return waiting_bytes <= FULL_BYTES
        layer = piece.stream.layer
        if waiting_bytes > SHUT_BYTES:
            self._shut.add(layer)
        elif piece.begins_keyframe and waiting_bytes <= OPEN_BYTES:
            self._shut.discard(layer)
        return layer not in self._shut
