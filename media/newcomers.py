"""Those who have just joined: the picture so far, hurried to them, until the fan-out can take over.

Owns: the group of pictures on air, and who is behind the fan-out. `core/catchup.py` decides, this sends.
Invariant: a video packet reaches a subscriber by one way, this or the fan-out: where one's line begins, the
other's ends.
"""

from collections.abc import Iterator, Sequence
from typing import Final

from media.core.catchup import CatchUp
from media.core.formats import Kind
from media.core.gop import Gop
from media.core.history import Packet
from media.core.rewrite import Line
from media.core.track import Track
from media.egress import Egress
from media.span import View
from media.subscriber import Subscriber

ROUND_PACKETS: Final = 1024
"""To all newcomers together in one round of `catchup.STEP_MS`: a burst must not fill the socket's buffer."""

SKIPPED_PACKETS: Final = 64
"""So many are worth a jump to the next keyframe; fewer are there before the eye has seen it."""


class Newcomers:
    """One layer's newcomers."""

    def __init__(self, track: Track, egress: Egress, gop_packets: int) -> None:
        self.gop = Gop(gop_packets)
        self.served = 0
        """How many were shown the cached pictures."""
        self._track = track
        self._egress = egress
        self._ahead: dict[Subscriber, View] = {}
        self._behind: dict[Subscriber, None] = {}
        self._highest = 0

    def welcome(self, subscriber: Subscriber, now_ms: int, rate_bps: int = 0) -> bool:
        """Begin its picture with the cached ones, no faster than `rate_bps`; False if there are none for it."""
        line, packets = subscriber.lines[Kind.VIDEO], self.gop.packets
        if line is None or not packets or packets[0].codec not in line.payload_types:
            return False
        subscriber.catch_up = CatchUp(packets, self._track.edge(now_ms), now_ms, rate_bps)
        line.reserve(packets[0].sequence)
        self._ahead[subscriber] = _ahead(subscriber, line, subscriber.catch_up)
        self._behind[subscriber] = None
        self.served += 1
        self.step(subscriber, now_ms)
        return True

    def _skip(self, subscriber: Subscriber, catch_up: CatchUp, now_ms: int) -> None:
        """Go on with the keyframe that has come meanwhile, if many packets before it still wait.

        Without this a herd that joins at once, more than there is room for in a group of pictures, is never live:
        each who waits needs more the longer it waits, and gets it seconds late.
        """
        packets, line = self.gop.packets, subscriber.video
        if line is None or not packets or not catch_up.is_overtaken(packets[0].sequence, SKIPPED_PACKETS):
            return
        fresh = CatchUp(packets, self._track.edge(now_ms), now_ms, catch_up.rate_bps)
        subscriber.skipped(fresh)
        self._ahead[subscriber] = _ahead(subscriber, line, fresh)

    def take(self, packets: Sequence[Packet]) -> None:
        """Note what goes to the fan-out now; those who are behind get it from here."""
        late = False
        for packet in packets:
            self.gop.put(packet)
            late = late or packet.sequence < self._highest
            self._highest = max(self._highest, packet.sequence)
        if late:  # those who are live may have got the rest of its picture from here, with other timestamps
            self._behind.update(dict.fromkeys(self._ahead))
        for subscriber in self._behind:
            if subscriber.catch_up is not None:
                subscriber.catch_up.add(self._not_by_fan_out(subscriber, packets))

    def _not_by_fan_out(self, subscriber: Subscriber, packets: Sequence[Packet]) -> Iterator[Packet]:
        line = subscriber.lines[Kind.VIDEO]
        return (packet for packet in packets if line is not None and packet.sequence < line.first)

    @property
    def is_waited_for(self) -> bool:
        """True while packets wait for somebody."""
        return any(one.catch_up is not None and one.catch_up.waits for one in self._behind)

    def waiting(self) -> list[Subscriber]:
        """Those for whom packets wait."""
        return [one for one in self._behind if one.catch_up is not None and one.catch_up.waits]

    def step(self, subscriber: Subscriber, now_ms: int) -> int:
        """Send what is due; how many packets. At the end the fan-out takes over."""
        if subscriber.catch_up is not None and subscriber in self._behind:
            self._skip(subscriber, subscriber.catch_up, now_ms)
        catch_up, ahead = subscriber.catch_up, self._ahead.get(subscriber)
        if catch_up is None or ahead is None:
            return 0
        packets = catch_up.step(now_ms)
        if packets:
            self._send(subscriber, ahead, packets)
        line = subscriber.lines[Kind.VIDEO]
        if catch_up.is_done and line is not None:
            self._behind.pop(subscriber, None)
            if not line.has_begun:
                line.go_on(catch_up.last + 1)
        return len(packets)

    def _send(self, subscriber: Subscriber, ahead: View, packets: Sequence[Packet]) -> None:
        self._egress.hurry(ahead, packets)
        line = subscriber.lines[Kind.VIDEO]
        if line is not None:
            ahead.settle(line)

    def watch(self, now_ms: int) -> None:
        """Forget what nobody will ask for again."""
        for subscriber in list(self._ahead):
            if subscriber.catch_up is None or subscriber.catch_up.is_over(now_ms):
                self.forget(subscriber)

    def again(self, subscriber: Subscriber) -> bool:
        """Send the first picture once more; True if that may be what it misses, which it is once.

        Who loses the very first packets does not know that there were any, and asks for a keyframe. A host that
        answers no such wish would leave it without a picture until its next one, and any other pay for all.
        """
        catch_up, ahead = subscriber.catch_up, self._ahead.get(subscriber)
        first = catch_up.again() if catch_up is not None else []
        if ahead is not None and first:
            self._send(subscriber, ahead, first)
        return bool(first)

    def leave(self, subscriber: Subscriber) -> None:
        """It goes to another layer; what it got here can still be asked for."""
        self._behind.pop(subscriber, None)
        if subscriber.catch_up is not None:
            subscriber.catch_up.end()
            subscriber.catch_up = None

    def forget(self, subscriber: Subscriber) -> None:
        subscriber.catch_up = None
        self._ahead.pop(subscriber, None)
        self._behind.pop(subscriber, None)


def _ahead(subscriber: Subscriber, line: Line, catch_up: CatchUp) -> View:
    """The subscriber by the numbers of what it catches up with."""
    ahead = line.ahead(catch_up.first)
    ahead.press = catch_up.press
    return View(subscriber.peer, ahead)
