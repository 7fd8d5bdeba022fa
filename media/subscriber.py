"""One viewer's side of a show: lines, resends, sender reports.

Owns: the lines and the budget of one WHEP session.
Invariant: a NACK is answered from the history only, within the budget, with the bits that were sent before.
"""

import random
from collections.abc import Mapping
from typing import Protocol

from media.core import rtcp
from media.core.catchup import CatchUp
from media.core.extensions import template
from media.core.formats import Codec, Kind
from media.core.history import Packet
from media.core.nack import ResendBudget
from media.core.reception import ntp
from media.core.rewrite import Line, Repair, nearest
from media.core.rtcp import Nack, SenderReport
from media.core.rtp import Header
from media.core.sdp import Terms
from media.core.track import Track
from media.peer import Peer

CNAME = "show"


class Stage(Protocol):
    """The show, as a subscriber sees it."""

    tracks: tuple[Track, Track]

    def joined(self, subscriber: "Subscriber") -> None: ...

    def want_keyframe(self) -> None: ...

    def resend(self, subscriber: "Subscriber", packets: list[Packet]) -> None: ...

    def parted(self, subscriber: "Subscriber") -> None: ...


class Subscriber:
    """One WHEP session; listens to its peer, and is a target of the egress."""

    def __init__(
        self, stage: Stage, peer: Peer, terms: Mapping[Kind, Terms], playout_delay_ms: tuple[int, int] = (0, 1000)
    ) -> None:
        self.peer = peer
        self.nacked = 0
        self.resent = 0
        self.lines: tuple[Line | None, Line | None] = (
            _line(terms.get(Kind.AUDIO), playout_delay_ms),
            _line(terms.get(Kind.VIDEO), playout_delay_ms),
        )
        self.catch_up: CatchUp | None = None
        """While it is behind the fan-out, and as long afterwards as it may ask for what it got then."""
        self._stage = stage
        self._budget = ResendBudget()
        peer.listener = self

    @property
    def ssrcs(self) -> dict[Kind, int]:
        """For the answer."""
        return {kind: line.ssrc for kind in Kind if (line := self.lines[kind])}

    @property
    def repair_ssrcs(self) -> dict[Kind, int]:
        """Of the retransmissions, likewise."""
        return {kind: line.repair.ssrc for kind in Kind if (line := self.lines[kind]) and line.repair}

    def takes(self, codec: Codec) -> bool:
        """False if it wants this kind of media, but not in this codec."""
        line = self.lines[codec.kind]
        return line is None or codec in line.payload_types

    def connected(self) -> None:
        self._stage.joined(self)

    def closed(self) -> None:
        self._stage.parted(self)

    def rtp(self, header: Header, payload: bytes, now_ms: int) -> None:
        """A subscriber has nothing to say."""

    def rtcp(self, compound: bytes, now_ms: int) -> None:
        """Take one authentic compound packet."""
        for part in rtcp.parse(compound):
            if isinstance(part, Nack):
                self._answer(part, now_ms)
            elif isinstance(part, rtcp.KeyframeRequest):
                self._stage.want_keyframe()

    def _answer(self, nack: Nack, now_ms: int) -> None:
        kind = next((kind for kind in Kind if (line := self.lines[kind]) and line.ssrc == nack.ssrc), None)
        line = self.lines[kind] if kind is not None else None
        if kind is None or line is None or not (line.has_begun or self.catch_up):
            return
        self.nacked += len(nack.sequences)
        highest = self._stage.tracks[kind].highest + line.shift
        packets = []
        for number in nack.sequences:
            packet = self._sent(kind, nearest(number, highest) - line.shift)
            if packet is not None and self._budget.allows(kind, packet.sequence, now_ms):
                packets.append(packet)
        self.resent += len(packets)
        self._stage.resend(self, packets)

    def _sent(self, kind: Kind, sequence: int) -> Packet | None:
        """A packet as this subscriber got it.

        What it got while catching up had other timestamps: out of the history it would be a second text under
        one nonce. What came before its line began it never got.
        """
        line = self.lines[kind]
        if line is not None and sequence >= line.first:
            return self._stage.tracks[kind].history.get(sequence)
        return self.catch_up.get(sequence) if self.catch_up and kind is Kind.VIDEO else None

    def report(self, now_ms: int) -> None:
        """Sender reports for what has been sent: without them a browser has no lip sync and holds the sound back."""
        for kind in Kind:
            line, timestamp = self.lines[kind], self._stage.tracks[kind].timestamp_at(now_ms)
            if line is None or timestamp is None or not line.packets:
                continue
            stamp = timestamp + line.timestamp_shift
            report = SenderReport(line.ssrc, ntp(now_ms), stamp, line.packets, line.octets)
            self.peer.send_rtcp(rtcp.sender_report(report, CNAME))


def _line(terms: Terms | None, playout_delay_ms: tuple[int, int]) -> Line | None:
    if not terms:
        return None
    # Random starts make the plaintext of the first headers hard to guess (RFC 3550 section 5.1).
    source = random.SystemRandom()
    ssrc, repair_ssrc = source.sample(range(1, 1 << 32), 2)
    line = Line(ssrc, terms.payload_types, source.randrange(1 << 15), source.getrandbits(32))
    least_ms, most_ms = playout_delay_ms
    line.extensions = template(terms.extensions, least_ms=least_ms, most_ms=most_ms)
    if terms.repairs:
        line.repair = Repair(repair_ssrc, terms.repairs, source.randrange(1 << 15))
        line.repair.extensions = line.extensions
    return line
