"""What a subscriber got from which layer, for whoever asks for a packet of it again.

Invariant: a packet is sent again by the numbers it was sent with before: a span's line is a copy whose shifts never
change.
"""

from typing import TYPE_CHECKING, NamedTuple

from media.core.catchup import CatchUp
from media.core.history import Packet
from media.core.rewrite import Line
from media.peer import Peer

if TYPE_CHECKING:
    from media.layer import Layer

MAX_SPANS = 4
"""Those before are seconds old: nobody asks any more."""


class View:
    """A subscriber as the egress sees it by other numbers than the fan-out's."""

    def __init__(self, peer: Peer, line: Line) -> None:
        self.peer = peer
        self.line = line
        self.lines: tuple[Line | None, Line | None] = (None, line)

    def settle(self, line: Line) -> None:
        """Sender reports count all that was sent."""
        line.packets, line.octets = line.packets + self.line.packets, line.octets + self.line.octets
        self.line.packets = self.line.octets = 0


class Span(NamedTuple):
    """A stretch of a subscriber's picture that came from one layer."""

    layer: "Layer"
    line: Line
    first: int
    """Index of the first packet."""
    last: int
    catch_up: CatchUp | None
    """What came before the fan-out took over, with other timestamps."""

    def has(self, index: int) -> bool:
        return self.first <= index <= self.last

    def sent(self, index: int) -> Packet | None:
        """The packet as it was sent.

        What came while catching up had other timestamps: out of the history it would be a second text under one
        nonce.
        """
        sequence = index - self.line.shift
        if sequence >= self.line.first:
            return self.layer.track.history.get(sequence)
        return self.catch_up.get(sequence) if self.catch_up is not None else None


def kept(spans: list[Span], span: Span) -> list[Span]:
    """With one more, and those forgotten that nobody will ask for."""
    return [*spans, span][-MAX_SPANS:]
