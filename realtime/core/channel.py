"""One show's channel in this process: what was said, what is true now, and who is owed what.

Owns: the ring of recent publications, the retained ones, the last chat, the state map, and what waits for the
next tick. Reads no clock and does no I/O; it speaks in payloads (JSON bytes), not in WebSocket frames.
Invariant: `floor <= sent <= received`; the ring holds every publication in (floor, sent] except chat that was
taken down; an event is encoded once and its bytes are shared by every frame that carries it.

A worked example, with a ring of three:

    offsets    4   5   6   7   8   9
               ^   [---ring---]
             floor           sent  received      9 waits for the tick

A client that resumes from 4 gets 5..7 and `recovered`; one that resumes from 3, from 8 or from another epoch
gets the snapshot.
"""

from collections import deque
from enum import Enum, StrEnum
from typing import NamedTuple

RING_MAX = 1000
RING_MAX_BYTES = 256 * 1024
RECENT_CHAT_MAX = 50
STATE_MAX = 5000
EARLY_MAX = 5000
CATCH_UP_CACHE_MAX = 64
STALE = "stale"
"""The state key that says: this process is cut off, and what it says may be old."""


class Kind(StrEnum):
    """What a publication does to the channel."""

    EVENT = "e"
    ROUTINE = "r"
    """Like EVENT, in the chat lane: it waits for the tick."""
    KEEP = "k"
    """Retained under its key until another of the same key, or a drop."""
    DROP = "d"
    """Tells the clients, and forgets what was retained under its key."""
    CHAT = "c"
    """`key` is the message's id."""
    DELETE = "x"
    """`key` is the id of the chat message to forget."""


class Publication(NamedTuple):
    """One event at its offset. `data` is the event's JSON object, without the offset."""

    offset: int
    kind: Kind
    key: str
    data: bytes


class Loaded(NamedTuple):
    """The whole of a channel as the broker has it at one instant."""

    epoch: str
    offset: int
    floor: int
    """Everything after this offset stands in `log`, except chat that was taken down."""
    log: list[Publication]
    state_version: int
    state: dict[str, bytes]
    kept: dict[str, tuple[int, bytes]]


class Verdict(Enum):
    """What `receive` made of a publication."""

    TAKEN = "taken"
    SEEN = "seen"
    """A duplicate; nothing changed."""
    GAP = "gap"
    """Something before it is missing, or the epoch is another: load, please. It is kept aside meanwhile."""


class Tick(NamedTuple):
    """One frame for everybody: from `before` to `offset`."""

    payload: bytes
    epoch: str
    before: int
    offset: int


class Channel:
    """See the module. Offsets start at 1; a channel that has never been loaded has the epoch ''."""

    __slots__ = (
        "_catch_up",
        "_changed",
        "_early",
        "_floor",
        "_heard_state",
        "_kept",
        "_pending",
        "_recent",
        "_ring",
        "_ring_bytes",
        "_ring_max",
        "_ring_max_bytes",
        "_snapshot",
        "_state",
        "_state_version",
        "epoch",
        "pending_bytes",
        "received",
        "sent",
    )

    def __init__(self, *, ring_max: int = RING_MAX, ring_max_bytes: int = RING_MAX_BYTES) -> None:
        self.epoch = ""
        self.received = 0
        self.sent = 0
        self.pending_bytes = 0
        self._floor = 0
        self._ring: deque[tuple[int, bytes, str]] = deque()
        self._ring_bytes = 0
        self._ring_max = ring_max
        self._ring_max_bytes = ring_max_bytes
        self._pending: list[Publication] = []
        self._early: list[tuple[str, Publication]] = []
        self._kept: dict[str, tuple[int, bytes]] = {}
        self._recent: dict[str, tuple[int, bytes]] = {}
        self._state: dict[str, bytes] = {}
        self._state_version = 0
        self._heard_state = ("", 0)
        """The latest write of state of another epoch than ours: a load may have been read just before it."""
        self._changed: dict[str, bytes] = {}
        self._snapshot: dict[bool, bytes] = {}
        self._catch_up: dict[int, bytes] = {}

    # -- what comes in ------------------------------------------------------------------------------------------

    def receive(self, epoch: str, publication: Publication) -> Verdict:
        """Take one publication off the bus; it goes out with the next `flush`."""
        if epoch != self.epoch or publication.offset > self.received + 1:
            if len(self._early) < EARLY_MAX:
                self._early.append((epoch, publication))
            return Verdict.GAP
        if publication.offset <= self.received:
            return Verdict.SEEN
        self._take(publication)
        return Verdict.TAKEN

    def receive_state(self, epoch: str, version: int, values: dict[str, bytes]) -> Verdict:
        """Take the latest values of some keys. Versions count every write of the show's state, one by one."""
        if epoch != self.epoch:
            self._heard_state = (epoch, version)
            return Verdict.GAP
        if version <= self._state_version:
            return Verdict.SEEN
        follows = version == self._state_version + 1
        self._state_version = version
        self._merge_state(values)
        return Verdict.TAKEN if follows else Verdict.GAP

    def note_stale(self, *, stale: bool) -> bool:
        """Set the state key `stale`, which is this process's own; True if that changed anything."""
        if stale == (self._state.get(STALE) == b"true"):
            return False
        self._merge_state({STALE: b"true" if stale else b"false"})
        return True

    def load(self, loaded: Loaded) -> bool:
        """Catch up with the broker; True if nothing was lost. False: every client needs the snapshot.

        Publications that came too early are taken afterwards, as far as they follow without a gap.
        """
        unbroken = self.epoch == loaded.epoch and loaded.floor <= self.received
        if unbroken:
            self._catch_up_with(loaded)
        else:
            self._begin_again(loaded)
        early, self._early = self._early, []
        for epoch, publication in sorted(early, key=lambda one: one[1].offset):
            if epoch == self.epoch:
                self.receive(epoch, publication)
        return unbroken

    @property
    def gap(self) -> bool:
        """True while publications wait for something before them, or a state was heard and not seen: load again."""
        epoch, version = self._heard_state
        return bool(self._early) or (epoch == self.epoch and version > self._state_version)

    def _take(self, publication: Publication) -> None:
        self.received = publication.offset
        self._pending.append(publication)
        self.pending_bytes += len(publication.data)
        if publication.kind is Kind.DELETE:  # a newcomer must not see the text until the tick tells the others
            self._take_down(publication.key)
            self._forget_prebuilt()

    def _catch_up_with(self, loaded: Loaded) -> None:
        for publication in loaded.log:
            if publication.offset > self.received:
                self._take(publication)
        self.received = max(self.received, loaded.offset)
        if loaded.state_version >= self._state_version:
            self._state_version = loaded.state_version
            self._merge_state(loaded.state)

    def _begin_again(self, loaded: Loaded) -> None:
        self.epoch = loaded.epoch
        self.received = self.sent = loaded.offset
        self._floor = loaded.floor
        self._pending, self.pending_bytes = [], 0
        self._ring, self._ring_bytes, self._recent = deque(), 0, {}
        for publication in loaded.log:
            self._remember(publication, stamp(publication.offset, publication.data))
        self._kept = {key: (offset, stamp(offset, data)) for key, (offset, data) in loaded.kept.items()}
        self._state, self._changed = dict(loaded.state), {}
        self._state_version = loaded.state_version
        self._forget_prebuilt()

    def _merge_state(self, values: dict[str, bytes]) -> None:
        news = {
            key: value
            for key, value in values.items()
            if self._state.get(key) != value and (key in self._state or len(self._state) < STATE_MAX)
        }
        self._state |= news
        self._changed |= news
        if news:
            self._forget_prebuilt()

    # -- what goes out ------------------------------------------------------------------------------------------

    @property
    def waiting(self) -> bool:
        """True if an event or a changed state waits for the next `flush`."""
        return bool(self._pending or self._changed) or self.sent != self.received

    def flush(self) -> Tick | None:
        """The frame of this tick, or None: every event since the last one, and the state keys that changed."""
        if not self.waiting:
            return None
        before, pending, changed = self.sent, self._pending, self._changed
        self._pending, self._changed, self.pending_bytes = [], {}, 0
        taken_down = {one.key for one in pending if one.kind is Kind.DELETE}
        events = []
        for publication in pending:
            if publication.kind is Kind.CHAT and publication.key in taken_down:
                continue
            wire = stamp(publication.offset, publication.data)
            self._remember(publication, wire)
            self._retain(publication, wire)
            events.append(wire)
        self.sent = self.received
        self._forget_prebuilt()
        return Tick(glue(self.epoch, self.sent, events, changed), self.epoch, before, self.sent)

    def join(self) -> bytes:
        """The snapshot: what a newcomer needs to know at `sent`."""
        return self._snapshot_for(resumed=False)

    def resume(self, epoch: str, offset: int) -> tuple[bytes, bool]:
        """What a client that was at `offset` of `epoch` missed, and True; else the snapshot, and False."""
        if epoch != self.epoch or not self._floor <= offset <= self.sent:
            return self._snapshot_for(resumed=True), False
        made = self._catch_up.get(offset)
        if made is None:
            events = [wire for at, wire, _ in self._ring if at > offset]
            state = {STALE: b"false"} | self._state  # the process that it comes from may have told it otherwise
            made = glue(self.epoch, self.sent, events, state, b'"recovered":true,')
            if len(self._catch_up) < CATCH_UP_CACHE_MAX:
                self._catch_up[offset] = made
        return made, True

    def direction(self, reconnect_ms: int) -> bytes:
        """A last frame, which tells one viewer when to come back."""
        return glue(self.epoch, self.sent, [], {}, b'"reconnect_ms":%d,' % reconnect_ms)

    def state(self, key: str) -> bytes | None:
        """The last value of a state key, as JSON."""
        return self._state.get(key)

    def recent_chat(self) -> list[bytes]:
        """The last chat messages still up, oldest first, as events with their offsets."""
        return [wire for _, wire in self._recent.values()]

    def said(self) -> list[bytes]:
        """The chat messages still up of those that can be replayed, oldest first, as events with their offsets."""
        return [wire for _, wire, message in self._ring if message]

    def _snapshot_for(self, *, resumed: bool) -> bytes:
        made = self._snapshot.get(resumed)
        if made is None:
            events = [wire for _, wire in sorted([*self._kept.values(), *self._recent.values()])]
            flags = b'"snapshot":true,' + (b'"recovered":false,' if resumed else b"")
            made = self._snapshot[resumed] = glue(self.epoch, self.sent, events, self._state, flags)
        return made

    def _retain(self, publication: Publication, wire: bytes) -> None:
        if publication.kind is Kind.KEEP:
            self._kept[publication.key] = (publication.offset, wire)
        elif publication.kind is Kind.DROP:
            self._kept.pop(publication.key, None)

    def _remember(self, publication: Publication, wire: bytes) -> None:
        chat = publication.key if publication.kind is Kind.CHAT else ""
        if publication.kind is Kind.DELETE:
            self._take_down(publication.key)
        self._ring.append((publication.offset, wire, chat))
        self._ring_bytes += len(wire)
        while len(self._ring) > self._ring_max or self._ring_bytes > self._ring_max_bytes:
            self._floor, oldest, _ = self._ring.popleft()
            self._ring_bytes -= len(oldest)
        if chat:
            self._recent[chat] = (publication.offset, wire)
            if len(self._recent) > RECENT_CHAT_MAX:
                del self._recent[next(iter(self._recent))]

    def _take_down(self, message: str) -> None:
        self._recent.pop(message, None)
        for at, entry in enumerate(self._ring):
            if entry[2] == message:
                self._ring_bytes -= len(entry[1])
                del self._ring[at]
                return

    def _forget_prebuilt(self) -> None:
        self._snapshot.clear()
        self._catch_up.clear()


def stamp(offset: int, data: bytes) -> bytes:
    """The event's JSON object with its offset put in front: `{"t":"pin"}` at 7 becomes `{"o":7,"t":"pin"}`."""
    return b'{"o":%d,%b' % (offset, data[1:])


def glue(epoch: str, offset: int, events: list[bytes], state: dict[str, bytes], flags: bytes = b"") -> bytes:
    """One `schema.wire.Frame` from parts that are JSON already."""
    values = b",".join([b'"%b":%b' % (key.encode(), value) for key, value in state.items()])
    return b'{"e":"%b","o":%d,%b"ev":[%b],"st":{%b}}' % (epoch.encode(), offset, flags, b",".join(events), values)
