"""Those who have just joined: the picture so far, hurried to them, until the fan-out can take over.

Owns: the group of pictures on air, and who is behind the fan-out. `core/catchup.py` decides, this sends.
Invariant: a video packet reaches a subscriber by one way, this or the fan-out: where one's line begins, the
other's ends.
"""

from collections.abc import Sequence
from typing import Final

from media.core.catchup import CatchUp
from media.core.formats import Kind
from media.core.history import Packet
from media.core.reel import Reel
from media.core.rewrite import Line
from media.core.runs import regroup
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
        self.reel = Reel(gop_packets)
        self.served = 0
        """How many were shown the cached pictures."""
        self._track = track
        self._egress = egress
        self._ahead: dict[Subscriber, View] = {}
        self._behind: dict[Subscriber, None] = {}

    def welcome(self, subscriber: Subscriber, now_ms: int, rate_bps: int = 0) -> bool:
        """Begin its picture with the cached ones, no faster than `rate_bps`; False if there are none for it."""
        line, head = subscriber.lines[Kind.VIDEO], self.reel.head
        if line is None or head is None or head.codec not in line.payload_types:
            return False
        subscriber.catch_up = CatchUp(self.reel, self._track.edge(now_ms), now_ms, rate_bps)
        line.reserve(head.sequence)
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
        key, line = self.reel.key, subscriber.video
        if line is None or key is None or not catch_up.is_overtaken(key, SKIPPED_PACKETS):
            return
        fresh = CatchUp(self.reel, self._track.edge(now_ms), now_ms, catch_up.rate_bps)
        subscriber.skipped(fresh)
        self._ahead[subscriber] = _ahead(subscriber, line, fresh)

    def take(self, packets: Sequence[Packet]) -> None:
        """Note what goes to the fan-out now; those who are behind get it from here."""
        for packet in packets:
            if packet.begins_keyframe:
                self._forget_unused()
            if self.reel.put(packet, is_followed=bool(self._ahead)):
                self._late(packet)

    def _late(self, packet: Packet) -> None:
        """Who got the rest of its picture from here, with other timestamps, gets it from here, live or not."""
        for subscriber in self._ahead:
            line, catch_up = subscriber.lines[Kind.VIDEO], subscriber.catch_up
            if line is None or catch_up is None or packet.sequence >= line.first:
                continue
            if catch_up.missed(packet):
                self._behind[subscriber] = None

    def _forget_unused(self) -> None:
        self.reel.forget(min((one.catch_up.first for one in self._ahead if one.catch_up is not None), default=None))

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
        late, begin, end = catch_up.step(now_ms)
        if late:
            self._egress.send([ahead], regroup(late))
        if end > begin:
            self._egress.hurry(ahead, self.reel, begin, end)
        line = subscriber.lines[Kind.VIDEO]
        if line is not None:
            ahead.settle(line)
        if catch_up.is_done and line is not None:
            self._behind.pop(subscriber, None)
            if not line.has_begun:
                line.go_on(catch_up.last + 1)
        return len(late) + end - begin

    def watch(self, now_ms: int) -> None:
        """Forget what nobody will ask for again."""
        for subscriber in list(self._ahead):
            if subscriber.catch_up is None or subscriber.catch_up.is_over(now_ms):
                self.forget(subscriber)
        self._forget_unused()

    def again(self, subscriber: Subscriber) -> bool:
        """Send the first picture once more; True if that may be what it misses, which it is once.

        Who loses the very first packets does not know that there were any, and asks for a keyframe. A host that
        answers no such wish would leave it without a picture until its next one, and any other pay for all.
        """
        catch_up, ahead = subscriber.catch_up, self._ahead.get(subscriber)
        first = catch_up.again() if catch_up is not None else []
        line = subscriber.lines[Kind.VIDEO]
        if ahead is not None and line is not None and first:
            self._egress.send([ahead], regroup(first))
            ahead.settle(line)
        return bool(first)

    def leave(self, subscriber: Subscriber) -> None:
        """It goes to another layer; what it got here can be asked for as long as the reel has it."""
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
