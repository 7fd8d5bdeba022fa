"""The native egress: C for the plain case, the reference for all else.

Owns: nothing beyond what the reference owns.
Invariant: what C leaves undone is done here at once, in order for each target, with the same bits.
"""

from collections.abc import Sequence
from typing import Final

from media.core.audience import Row
from media.core.runs import Run, regroup
from media.egress import Egress, Strip, Target
from media.native import _fanout

_NOWHERE: Final = (-1, -1)
_Left = list[tuple[int, int, int]]
"""(target, run, segment) from which on something is still to be sent."""


class NativeEgress(Egress):
    """Sends runs to targets through one port; the GIL is free from the first packet to the last."""

    def send(self, targets: Sequence[Target], runs: Sequence[Run]) -> None:
        """Send every run to every target that is up and has begun its lines."""
        if len(self._backlog):
            super().send(targets, runs)  # it goes behind what waits
            return
        level, kind = self._port.pktinfo or _NOWHERE
        done = _fanout.fan(self._port.socket.fileno(), level, kind, _kept(targets), runs)
        for place, run, segment in self._count(done):
            self._rest(targets[place], runs[run:], segment)

    def hurry(self, target: Target, reel: Strip, begin: int, end: int) -> None:
        """Send the packets between two places of a reel, all of one track, to one target."""
        if len(self._backlog):
            super().hurry(target, reel, begin, end)
            return
        twin = reel.twin
        if not isinstance(twin, _fanout.Reel):
            twin = reel.twin = _fanout.Reel()
        twin.follow(reel.packets)
        level, kind = self._port.pktinfo or _NOWHERE
        done = _fanout.hurry(self._port.socket.fileno(), level, kind, target, twin, begin, end)
        for _, run, segment in self._count(done):
            self._rest(target, regroup(reel.packets[begin:end])[run:], segment)

    def _count(self, done: tuple[_Left, int, int, int, int]) -> _Left:
        left, packets, octets, sends, failed = done
        self.packets += packets
        self.octets += octets
        self.sends += sends
        if failed:
            self._port.counts["send_failed"] += failed
        return left

    def _rest(self, target: Target, runs: Sequence[Run], segment: int) -> None:
        """The reference's way, from a segment of the first run on."""
        peer = target.peer
        if peer.sender is None or peer.address is None:
            return
        for run in runs:
            self._run(target, peer.sender, peer.address, run, segment)
            segment = 0


def _kept(targets: Sequence[Target]) -> Sequence[Target] | _fanout.Roll:
    """A row by what C knows of it; others are read each time."""
    if not isinstance(targets, Row):
        return targets
    roll = targets.twin
    if not isinstance(roll, _fanout.Roll):
        roll = targets.twin = _fanout.Roll(targets)
    return roll
