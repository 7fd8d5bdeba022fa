"""The hub: what happened reaches everybody in the room, once, in order.

Owns: the rooms of this process, their viewers, and the few tasks that serve all of them: the broker's, one that
writes state and presence once a tick, one timer for pings, slow viewers and heartbeats.
Invariant: nothing here is per viewer but a slotted object; no send is ever awaited.
"""

import asyncio
import contextlib
import secrets
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from enum import Enum
from typing import TYPE_CHECKING, Any, NewType, Self

import msgspec
import structlog
from redis.asyncio import Redis, RedisCluster

from realtime.broker_cluster import ClusterBroker
from realtime.broker_memory import MemoryBroker
from realtime.broker_redis import RedisBroker, Value, check_key
from realtime.commands import Commands
from realtime.core.channel import Kind, Publication
from realtime.core.presence import Presence
from realtime.ports import Audience, Reports, Talk
from realtime.room import Room, transcode
from realtime.tasks import Tasks
from schema.errors import Banned, GoingAway, TooManySockets, TooSlow, Unavailable
from schema.ids import AccountId, MessageId, ShowId
from schema.wire import Chat, ChatDeleted, Event

if TYPE_CHECKING:
    from realtime.viewer import Viewer

log = structlog.get_logger()

Offset = NewType("Offset", int)

ROOMS_MAX = 2000
ROOM_IDLE_MS = 60_000
SOCKETS_PER_ACCOUNT_MAX = 10
"""Of one account in one show: its tabs. The oldest makes room."""
LOAD_DEADLINE_S = 5.0
LOAD_TRIES = 60
PING_SLOTS = 20
"""Each second one slot of viewers is pinged: every viewer once in 20 s, and never all at once."""
SWEEP_S = 1.0
HEARTBEAT_S = 4.0
COUNTS_EVERY_S = 0.5
DIRTY_KEYS_MAX = 20_000
CLOSE_DEADLINE_MS = 5_000
RETURNS_PER_S = 500
"""How many of those that one process sends away come back to the others a second."""
RETURN_MAX_MS = 10_000

_json = msgspec.json.Encoder()


class Lane(Enum):
    """How a publication travels. Both lanes share one sequence of offsets and can be replayed."""

    MUST = "must"
    """Pins, prices, sold out, deletions: never sampled, flushed early."""
    CHAT = "chat"
    """Flushed on the tick."""


def monotonic_ms() -> int:
    """The clock of durations."""
    return time.monotonic_ns() // 1_000_000


class Hub:
    """An async context manager; one per process. Without `redis` its rooms are this process's alone."""

    def __init__(
        self, redis: Redis | RedisCluster | None, *, tick_ms: int = 100, clock: Callable[[], int] = monotonic_ms
    ) -> None:
        self._broker = self._broker_over(redis)
        self._tick_ms = tick_ms
        self.now_ms = clock
        self._rooms: dict[ShowId, Room] = {}
        self._presence = Presence()
        self._dirty: dict[ShowId, dict[str, Value]] = {}
        self._dirty_keys = 0
        self._work = asyncio.Event()
        self._crowd = asyncio.Event()
        self._tasks = Tasks(limit=ROOMS_MAX + 16)
        self._slots: list[set[Viewer]] = [set() for _ in range(PING_SLOTS)]
        self._turn = 0
        self.slow: set[Viewer] = set()
        self.closing: set[Viewer] = set()
        self._commands: Commands | None = None
        self._nobody: asyncio.Event | None = None
        self._stack = AsyncExitStack()
        self.on_blank: list[Callable[[ShowId], None]] = []
        """Called when a show that is watched here turns out blank, because it is new or because Redis lost it:
        whoever holds the truth (pins, prices, stock) may say it again. Must not block."""
        self.on_dismissed: list[Callable[[ShowId, AccountId], None]] = []
        """Called in every process, maybe twice, when an account was sent out of a show: it may watch a video here
        though nobody has the room open. Must not block."""

    def _broker_over(self, redis: Redis | RedisCluster | None) -> MemoryBroker | RedisBroker:
        if redis is None:
            return MemoryBroker(self)
        return ClusterBroker(redis, self) if isinstance(redis, RedisCluster) else RedisBroker(redis, self)

    async def __aenter__(self) -> Self:
        await self._stack.enter_async_context(self._broker)
        self._stack.push_async_callback(self._tasks.aclose)
        self._tasks.start(self._write_state(), "hub-state")
        self._tasks.start(self._write_counts(), "hub-counts")
        self._tasks.start(self._sweep(), "hub-sweep")
        self._tasks.start(self._beat(), "hub-heartbeat")
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close_all()
        await self._stack.aclose()

    # -- what happened ------------------------------------------------------------------------------------------

    async def publish(
        self, show_id: ShowId, event: Event, *, lane: Lane = Lane.MUST, key: str | None = None, drop: bool = False
    ) -> Offset:
        """Give `event` the show's next offset and send it to every viewer on every process.

        With `key` it is retained: later joiners get the last event of that key in their snapshot, until one with
        `drop` takes it away. Raises Unavailable when Redis cannot be reached: then it may or may not have been sent.
        """
        assert not (drop and key is None), "there is nothing to drop without a key"
        kind, name = _kind(event, lane, key, drop=drop)
        _, offset = await self._broker.publish(show_id, kind, name, _json.encode(event))
        return Offset(offset)

    async def say(self, show_id: ShowId, message: Chat, *, most_a_second: int = 0) -> Offset | None:
        """Publish a chat message; None if the room has heard `most_a_second` already (0: no matter).

        What was said to any process counts, so that all of them leave out the same. Raises Unavailable.
        """
        _, offset = await self._broker.publish(show_id, Kind.CHAT, message.id, _json.encode(message), most_a_second)
        return Offset(offset) if offset > 0 else None

    async def whisper(self, show_id: ShowId, account: AccountId, event: Event) -> Offset:
        """Tell one account's sockets alone; answers where the room stands. Raises Unavailable."""
        await self._broker.whisper(show_id, account, _json.encode(event))
        return Offset((await self.open(show_id)).channel.received)

    async def dismiss(self, show_id: ShowId, account: AccountId) -> None:
        """Send an account's sockets away, on every process, whatever it has open. Raises Unavailable."""
        await self._broker.dismiss(show_id, account)

    async def delete_chat(self, show_id: ShowId, message: MessageId) -> Offset | None:
        """Take a chat message down everywhere: pages, snapshots, ring, log. None if there is no such message."""
        data = _json.encode(ChatDeleted(id=message))
        offset = await self._broker.delete_chat(show_id, message, data)
        return Offset(offset) if offset else None

    def set_state(self, show_id: ShowId, key: str, value: Any, *, version: int = 0) -> None:
        """Set the last value of a state key for every viewer on every process; at most one write a tick a key.

        Survives an unreachable Redis: the last value is written when it comes back. With a `version`, the value
        does not replace one that another process wrote under a higher one.
        """
        values = self._dirty.setdefault(show_id, {})
        if key not in values:
            if self._dirty_keys >= DIRTY_KEYS_MAX:
                log.error("state_dropped", show=show_id, key=key)
                return
            self._dirty_keys += 1
        values[check_key(key)] = Value(_json.encode(value), version)
        self._work.set()

    def viewers(self, show_id: ShowId) -> int:
        """How many viewers watch, over all processes, as far as this process has heard."""
        room = self._rooms.get(show_id)
        value = room.channel.state("viewers") if room else None
        return int(value) if value else 0

    async def take_turn(self, show_id: ShowId, account: AccountId, slow_mode_ms: int) -> int:
        """0 if the account may speak now under slow mode; else the milliseconds to wait."""
        return await self._broker.take_turn(show_id, account, slow_mode_ms)

    # -- rooms --------------------------------------------------------------------------------------------------

    async def open(self, show_id: ShowId, epoch: str | None = None, offset: int = 0) -> Room:
        """The room of a show, loaded, and at least as far as a client stands that comes back from `offset`.

        Raises Unavailable if Redis does not answer in time.
        """
        room = self._rooms.get(show_id)
        if room is None:
            if len(self._rooms) >= ROOMS_MAX:
                raise Unavailable("Too many shows are open on this server", retry_after_ms=5000)
            room = Room(show_id, tick_ms=self._tick_ms, clock=self.now_ms, reload=self._reload)
            self._rooms[show_id] = room
            self._broker.subscribe(show_id)
        elif room.owed_load:
            self._reload(room)
        elif epoch == room.channel.epoch and offset > room.channel.received:
            room.ready.clear()  # another process has told more than the bus has brought us
            self._reload(room)
        room.idle_since_ms = self.now_ms()
        if room.ready.is_set():
            return room
        try:
            async with asyncio.timeout(LOAD_DEADLINE_S):
                await room.ready.wait()
        except TimeoutError:
            raise Unavailable("The show cannot be loaded now", retry_after_ms=2000) from None
        return room

    def _reload(self, room: Room) -> None:
        if not room.loading:
            self._tasks.start(self._load(room), "hub-load")
            room.loading = True

    async def _load(self, room: Room) -> None:
        """Load until no gap is left; one task a room, whatever the number of viewers or of gaps."""
        try:
            for attempt in range(LOAD_TRIES):
                channel = room.channel
                room.owed_load = False
                try:
                    loaded = await self._broker.load(room.show, channel.epoch, channel.received)
                except Unavailable:
                    await asyncio.sleep(min(0.2 * 2**attempt, 2.0))
                    continue
                blank = loaded.epoch != channel.epoch and (bool(channel.epoch) or not loaded.offset)
                room.on_loaded(unbroken=channel.load(loaded))
                if not self._broker.away:
                    room.note_stale(stale=False)
                for listener in self.on_blank if blank else ():
                    listener(room.show)
                if not channel.gap and not room.owed_load:
                    return
            self._give_up(room)
        finally:
            room.loading = False

    def _give_up(self, room: Room) -> None:
        """Send everybody away, to come back; whoever comes next makes us try again."""
        log.error("show_not_loaded", show=room.show)
        room.owed_load = True
        room.ready.clear()
        for viewer in list(room.viewers):
            viewer.refuse(Unavailable())

    def on_publication(self, show: ShowId, epoch: str, publication: Publication) -> None:
        """From the broker."""
        if (room := self._rooms.get(show)) is not None:
            room.on_publication(epoch, publication)

    def on_state(self, show: ShowId, epoch: str, version: int, values: dict[str, bytes]) -> None:
        """From the broker."""
        if (room := self._rooms.get(show)) is not None:
            room.on_state(epoch, version, values)

    def on_whisper(self, show: ShowId, account: AccountId, data: bytes) -> None:
        """From the broker."""
        if (room := self._rooms.get(show)) is not None:
            room.whisper(account, data)

    def on_dismissal(self, show: ShowId, account: AccountId) -> None:
        """From the broker."""
        if (room := self._rooms.get(show)) is not None:
            for viewer in room.of(account):
                viewer.refuse(Banned())
        for listener in self.on_dismissed:
            listener(show, account)

    def on_subscribed(self, show: ShowId) -> None:
        """From the broker: what was published until now must be loaded; what comes now will be heard."""
        if (room := self._rooms.get(show)) is not None:
            room.owed_load = True  # one that is under way may have been read before
            self._reload(room)

    def on_away(self) -> None:
        """From the broker: every socket stays, and is told that what it sees may be old."""
        for room in self._rooms.values():
            room.note_stale(stale=True)

    def on_back(self) -> None:
        """From the broker."""
        for room in self._rooms.values():
            room.owed_load = True
            self._reload(room)

    def commands(self, talk: Talk, reports: Reports, audience: Audience | None = None) -> Commands:
        """What answers the sockets' commands; made once, ends with the hub."""
        if self._commands is None:
            self._commands = Commands(talk, reports, audience)
            self._stack.push_async_callback(self._commands.aclose)
        return self._commands

    # -- viewers ------------------------------------------------------------------------------------------------

    def joined(self, viewer: "Viewer", room: Room) -> None:
        """A viewer sits in its room."""
        if (oldest := room.seat(viewer, SOCKETS_PER_ACCOUNT_MAX)) is not None:
            oldest.refuse(TooManySockets())
        self._slots[id(viewer) // 64 % PING_SLOTS].add(viewer)
        self._presence.join(room.show, viewer.principal.role)
        self._crowd.set()

    def left(self, viewer: "Viewer", room: Room | None = None) -> None:
        """A viewer is gone, or about to be (then with the `room` it leaves)."""
        seat = room or viewer.room
        if seat is not None and viewer in seat.viewers:
            seat.unseat(viewer)
            seat.idle_since_ms = self.now_ms()
            self._presence.leave(seat.show, viewer.principal.role)
            self._crowd.set()
        if room is None:
            self._slots[id(viewer) // 64 % PING_SLOTS].discard(viewer)
            self.closing.discard(viewer)
            if self._nobody is not None and not any(self._slots):
                self._nobody.set()
        self.slow.discard(viewer)

    def send_home(self, viewer: "Viewer") -> None:
        """The server ends: close, and say when to come back, to each another time."""
        room = viewer.room
        if room is not None and viewer.stands_at(room.serial):  # else its offset is not the room's
            within_ms = return_within_ms(sum(map(len, self._slots)))
            payload = room.channel.direction(secrets.randbelow(within_ms))
            viewer.reply(transcode(payload) if viewer.binary else payload)
        viewer.refuse(GoingAway())

    async def close_all(self, deadline_s: float = 2.0) -> None:
        """Send everybody away with GoingAway (come back), and wait a little for their answers."""
        leaving = [viewer for slot in self._slots for viewer in slot]
        for number, viewer in enumerate(leaving):
            self.send_home(viewer)
            if number % 500 == 499:
                await asyncio.sleep(0)
        self._nobody = asyncio.Event()
        if leaving:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._nobody.wait(), deadline_s)
        for slot in self._slots:
            for viewer in list(slot):
                viewer.transport.abort()

    # -- the shared tasks ---------------------------------------------------------------------------------------

    async def _write_state(self) -> None:
        """Once a tick: changed state keys, conflated."""
        while True:
            await self._work.wait()
            self._work.clear()
            dirty, self._dirty, self._dirty_keys = self._dirty, {}, 0
            reached = await asyncio.gather(*(self._write_dirty(show, values) for show, values in dirty.items()))
            await asyncio.sleep(self._tick_ms / 1000 if all(reached) else 1.0)

    async def _write_counts(self) -> None:
        """At most twice a second: while a crowd comes in, each change is a frame to all who are there already."""
        while True:
            await self._crowd.wait()
            self._crowd.clear()
            await asyncio.gather(*(self._write_count(show, count) for show, count in self._presence.changes().items()))
            await asyncio.sleep(COUNTS_EVERY_S)

    async def _write_dirty(self, show: ShowId, values: dict[str, Value]) -> bool:
        try:
            await self._broker.set_state(show, values)
        except Unavailable:
            newer = self._dirty.get(show, {})
            self._dirty_keys += len(values.keys() - newer.keys())
            self._dirty[show] = values | newer
            self._work.set()
            return False
        return True

    async def _write_count(self, show: ShowId, count: int) -> bool:
        try:
            await self._broker.set_presence(show, count)
        except Unavailable:
            return False  # the next heartbeat says it again
        return True

    async def _beat(self) -> None:
        """Renew the counts, so that those of a dead process can be told apart."""
        while True:
            await asyncio.sleep(HEARTBEAT_S)
            counts = self._presence.all()
            await asyncio.gather(*(self._write_count(show, counts.get(show, 0)) for show in list(self._rooms)))

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_S)
            now_ms = self.now_ms()
            self._close_slow(now_ms)
            self._close_idle_rooms(now_ms)
            self._turn = (self._turn + 1) % PING_SLOTS
            for number, viewer in enumerate(list(self._slots[self._turn])):
                viewer.ping()
                if number % 500 == 499:
                    await asyncio.sleep(0)

    def _close_slow(self, now_ms: int) -> None:
        for viewer in list(self.slow):
            if viewer.overdue(now_ms):
                viewer.refuse(TooSlow())
        for viewer in list(self.closing):
            if viewer.closing_since_ms is not None and now_ms - viewer.closing_since_ms >= CLOSE_DEADLINE_MS:
                viewer.transport.abort()

    def _close_idle_rooms(self, now_ms: int) -> None:
        for show, room in list(self._rooms.items()):
            if not room.viewers and now_ms - room.idle_since_ms > ROOM_IDLE_MS and not room.loading:
                del self._rooms[show]
                room.aclose()
                self._broker.unsubscribe(show)


def return_within_ms(viewers: int) -> int:
    """Over which time so many viewers are to come back."""
    return min(1 + viewers * 1000 // RETURNS_PER_S, RETURN_MAX_MS)


def _kind(event: Event, lane: Lane, key: str | None, *, drop: bool) -> tuple[Kind, str]:
    assert not isinstance(event, ChatDeleted), "delete_chat takes the text away too"
    if isinstance(event, Chat):
        return Kind.CHAT, event.id
    if key is None:
        return (Kind.EVENT if lane is Lane.MUST else Kind.ROUTINE), ""
    return (Kind.DROP if drop else Kind.KEEP), check_key(key)
