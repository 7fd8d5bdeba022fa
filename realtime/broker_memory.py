"""Between the rooms of one process: the broker that needs no Redis.

Owns: each show's sequence, log, retained events, state and turns, in memory: they end with the process.
Invariant: what `RedisBroker` and its scripts guarantee holds here too (tests/brokers.py asks both); the listener hears
everything after the call that caused it, in its order.
"""

import asyncio
import secrets
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping

from realtime.broker_redis import KEPT_MAX, LOG_MAX, Listener, Value
from realtime.core.channel import Kind, Loaded, Publication
from schema.errors import Conflict
from schema.ids import AccountId, MessageId, ShowId

SHOWS_MAX = 4000
"""Of those that nobody hears the one that was quiet for longest is forgotten; it begins anew with another epoch."""
TURNS_MAX = 10_000


class _Kept:
    """One show."""

    def __init__(self) -> None:
        self.epoch = secrets.token_hex(8)
        self.offset = 0
        self.floor = 0
        self.log: deque[Publication] = deque()
        self.kept: dict[str, tuple[int, bytes]] = {}
        self.version = 0
        self.state: dict[str, bytes] = {}
        self.said_as: dict[str, int] = {}
        """The version of what a state key says, for those that have one."""
        self.free_ms = 0.0
        """GCRA: when the next of a bounded kind is free."""
        self.turns: OrderedDict[AccountId, float] = OrderedDict()

    def append(self, kind: Kind, key: str, data: bytes) -> Publication:
        self.offset += 1
        made = Publication(self.offset, kind, key, data)
        self.log.append(made)
        while len(self.log) > LOG_MAX:
            self.floor = self.log.popleft().offset
        return made

    def is_free(self, most: int, now_ms: float) -> bool:
        """True, and one of `most` a second is taken."""
        free = max(self.free_ms, now_ms)
        if free - now_ms > 1000 - 1000 / most:
            return False
        self.free_ms = free + 1000 / most
        return True


class MemoryBroker:
    """The same calls as `RedisBroker`'s."""

    away = False

    def __init__(self, listener: Listener, *, clock: Callable[[], float] = lambda: time.monotonic() * 1000) -> None:
        self._listener = listener
        self._now_ms = clock
        self._kept: OrderedDict[ShowId, _Kept] = OrderedDict()
        self._shows: set[ShowId] = set()

    async def __aenter__(self) -> "MemoryBroker":
        return self

    async def __aexit__(self, *_: object) -> None:
        self._shows.clear()

    async def publish(self, show: ShowId, kind: Kind, key: str, data: bytes, most: int = 0) -> tuple[str, int]:
        """Epoch and offset of one event; -1 for one of more than `most` a second. Raises Conflict."""
        room = self._of(show)
        if kind is Kind.KEEP and key not in room.kept and len(room.kept) >= KEPT_MAX:
            raise Conflict(f"A show retains at most {KEPT_MAX} publications")
        if most and not room.is_free(most, self._now_ms()):
            return room.epoch, -1
        made = room.append(kind, key, data)
        if kind is Kind.KEEP:
            room.kept[key] = (made.offset, data)
        elif kind is Kind.DROP:
            room.kept.pop(key, None)
        self._tell(show, self._listener.on_publication, show, room.epoch, made)
        return room.epoch, made.offset

    async def delete_chat(self, show: ShowId, message: MessageId, data: bytes) -> int:
        """Offset of the deletion; 0 if there is no such message."""
        room = self._of(show)
        if any(one.kind is Kind.DELETE and one.key == message for one in room.log):
            return 0
        chats = [one for one in room.log if one.kind is Kind.CHAT]
        found = next((one for one in chats if one.key == message), None)
        if found is not None:
            room.log.remove(found)
        elif not room.floor or (chats and message >= chats[0].key):
            return 0  # ids sort by birth: an older one than the log's may still stand on a page
        made = room.append(Kind.DELETE, message, data)
        self._tell(show, self._listener.on_publication, show, room.epoch, made)
        return made.offset

    async def set_state(self, show: ShowId, values: Mapping[str, Value]) -> None:
        """Write the latest values (JSON) of some keys."""
        room = self._of(show)
        news = {}
        for key, value in values.items():
            if value.version and room.said_as.get(key, 0) > value.version:
                continue
            if value.version:
                room.said_as[key] = value.version
            news[key] = value.data
        if news:
            room.version += 1
            room.state |= news
            self._tell(show, self._listener.on_state, show, room.epoch, room.version, news)

    async def set_presence(self, show: ShowId, count: int) -> None:
        """The count of viewers: this process's is all there is."""
        if self._of(show).state.get("viewers", b"0" if not count else b"") != b"%d" % count:
            await self.set_state(show, {"viewers": Value(b"%d" % count)})

    async def take_turn(self, show: ShowId, account: AccountId, slow_mode_ms: int) -> int:
        """0 if the account may speak now; else the milliseconds to wait."""
        turns, now_ms = self._of(show).turns, self._now_ms()
        waited = now_ms - turns.get(account, float("-inf"))
        if waited < slow_mode_ms:
            return max(1, round(slow_mode_ms - waited))
        turns[account] = now_ms
        turns.move_to_end(account)
        if len(turns) > TURNS_MAX:
            turns.popitem(last=False)
        return 0

    async def whisper(self, show: ShowId, account: AccountId, data: bytes) -> None:
        """Something for the sockets of one account."""
        self._tell(show, self._listener.on_whisper, show, account, data)

    async def dismiss(self, show: ShowId, account: AccountId) -> None:
        """Send an account's sockets away."""
        asyncio.get_running_loop().call_soon(self._listener.on_dismissal, show, account)

    async def load(self, show: ShowId, epoch: str, since: int) -> Loaded:
        """The show as it is now; its log from `since` on if the epoch is still `epoch`."""
        room = self._of(show)
        after = since if epoch == room.epoch else 0
        return Loaded(
            epoch=room.epoch,
            offset=room.offset,
            floor=room.floor,
            log=[one for one in room.log if one.offset > after],
            state_version=room.version,
            state=dict(room.state),
            kept=dict(room.kept),
        )

    def subscribe(self, show: ShowId) -> None:
        """Hear this show from now on; `on_subscribed` says when."""
        self._shows.add(show)
        self._tell(show, self._listener.on_subscribed, show)

    def unsubscribe(self, show: ShowId) -> None:
        """Stop hearing this show."""
        self._shows.discard(show)

    def _of(self, show: ShowId) -> _Kept:
        room = self._kept.get(show)
        if room is None:
            room = self._kept[show] = _Kept()
            self._forget()
        self._kept.move_to_end(show)
        return room

    def _forget(self) -> None:
        if len(self._kept) > SHOWS_MAX:
            quiet = next((show for show in self._kept if show not in self._shows), None)
            if quiet is not None:
                del self._kept[quiet]

    def _tell(self, show: ShowId, heard: Callable[..., None], *what: object) -> None:
        if show in self._shows:
            asyncio.get_running_loop().call_soon(heard, *what)
