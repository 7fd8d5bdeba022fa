"""Between processes: publications, state and presence through Redis.

Owns: the connections to Redis: one for scripts (sender.py), one on which they are heard (bus.py).
Invariant: a script is sent once; if its answer is lost the caller hears Unavailable rather than a second try,
because a chat message said twice is worse than one refused. Whenever a subscription begins (again), the listener
is told, and loads: what was published meanwhile is not lost.

Keys of a show carry it as hash tag, `sf:{show}:...`, so that its scripts work on a cluster. Pub/sub channels are
shared by all logical databases of a server, so the bus carries the database's number.
"""

import asyncio
import secrets
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple, Protocol, Self, cast

import msgspec
from redis.asyncio import Redis

from realtime.bus import Bus
from realtime.core.channel import Kind, Loaded, Publication
from realtime.sender import Redirect, Sender, once, read_scripts
from realtime.tasks import Tasks, end
from schema.errors import BadRequest, Conflict
from schema.ids import AccountId, MessageId, ShowId

LOG_MAX = 1000
KEPT_MAX = 500
PRESENCE_TTL_MS = 10_000
SUBSCRIBING_MAX = 4000

_packed = msgspec.msgpack.Encoder()
_unpacked = msgspec.msgpack.Decoder(dict[str, str])


class Listener(Protocol):
    """Hears what the bus carries, in its order; must not block."""

    def on_publication(self, show: ShowId, epoch: str, publication: Publication) -> None:
        """One event has its offset."""

    def on_state(self, show: ShowId, epoch: str, version: int, values: dict[str, bytes]) -> None:
        """Some state keys have other values."""

    def on_whisper(self, show: ShowId, account: AccountId, data: bytes) -> None:
        """Something for the sockets of one account."""

    def on_dismissal(self, show: ShowId, account: AccountId) -> None:
        """An account may no longer be here; of any show, and maybe more than once."""

    def on_subscribed(self, show: ShowId) -> None:
        """From here on nothing is missed; load what came before."""

    def on_away(self) -> None:
        """Nothing comes in, or nothing goes out: what is known here grows old."""

    def on_back(self) -> None:
        """All of it works again; load what came meanwhile."""


class Value(NamedTuple):
    """A state key's value on its way to Redis."""

    data: bytes
    """JSON."""
    version: int = 0
    """Of what it says; it replaces none of a higher one. 0: it has none, and replaces any."""


class Server:
    """One server: what is sent to it, and what is heard of it. Those of a cluster have a `name`, and a `redirect`."""

    def __init__(
        self, redis: Redis, broker: "RedisBroker", *, name: str = "", redirect: Redirect | None = None
    ) -> None:
        sharded = redirect is not None
        self.name = name
        self._redis = redis
        self._tasks = broker.tasks
        self._running: list[asyncio.Task[None]] = []
        self.sender = Sender(
            redis,
            read_scripts("SPUBLISH" if sharded else "PUBLISH"),
            lose=lambda: broker.lose(f"scripts {name}"),
            find=lambda: broker.find(f"scripts {name}"),
            redirect=redirect,
        )
        self.bus = Bus(redis, broker, self._tasks, always=broker.to_all, sharded=sharded, name=name)

    def start(self) -> None:
        """Send and listen until `aclose`."""
        self._running = [
            self._tasks.start(self.sender.run(), "broker-batches"),
            self._tasks.start(self.bus.listen(), "broker-bus"),
        ]

    async def aclose(self) -> None:
        """Nothing is sent nor heard any more."""
        await end(self._running)
        self.sender.aclose()
        await self._redis.aclose()
        await self._redis.connection_pool.disconnect()


class RedisBroker:
    """An async context manager; `listener` hears the shows that were `subscribe`d."""

    def __init__(self, redis: Redis, listener: Listener, *, process: str | None = None) -> None:
        self._begin(listener, process)
        pool = redis.connection_pool
        self._database = pool.connection_kwargs.get("db", 0) or 0
        self._only = Server(once(pool.connection_class, pool.connection_kwargs), self)

    def _begin(self, listener: Listener, process: str | None) -> None:
        self._listener = listener
        self.process = process or secrets.token_hex(8)
        self.tasks = Tasks(limit=SUBSCRIBING_MAX)
        self._database = 0
        self._shows: set[ShowId] = set()
        self._lost: set[str] = set()

    @property
    def away(self) -> bool:
        """True while Redis cannot be heard or does not answer."""
        return bool(self._lost)

    def lose(self, what: str) -> None:
        """Something does not work any more."""
        if not self._lost:
            self._listener.on_away()
        self._lost.add(what)

    def find(self, what: str) -> None:
        """It works again."""
        if self._lost == {what}:
            self._lost.clear()
            self._listener.on_back()
        self._lost.discard(what)

    async def __aenter__(self) -> Self:
        await self._only.sender.teach()
        self._only.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.tasks.aclose()
        await self._only.aclose()

    # -- calls --------------------------------------------------------------------------------------------------

    async def publish(self, show: ShowId, kind: Kind, key: str, data: bytes, most: int = 0) -> tuple[str, int]:
        """Epoch and offset of one event; -1 for one of more than `most` a second (0: no matter).

        Raises Conflict when the show retains too many keys, Unavailable.
        """
        args = [_fresh_epoch(), self._bus(show), kind.value, key, data, LOG_MAX, KEPT_MAX, most]
        epoch, offset = await self._call("publish", _keys(show), args)
        if not offset:
            raise Conflict(f"A show retains at most {KEPT_MAX} publications")
        return epoch.decode(), offset

    async def delete_chat(self, show: ShowId, message: MessageId, data: bytes) -> int:
        """Offset of the deletion; 0 if there is no such message. Raises Unavailable."""
        args = [_fresh_epoch(), self._bus(show), message, data, LOG_MAX]
        _, offset = await self._call("delete_chat", _keys(show), args)
        return cast(int, offset)

    async def set_state(self, show: ShowId, values: Mapping[str, Value]) -> None:
        """Write the latest values (JSON) of some keys. Raises Unavailable."""
        packed = _packed.encode({key: value.data.decode() for key, value in values.items()})
        versions = _packed.encode({key: value.version for key, value in values.items() if value.version})
        await self._call("set_state", _keys(show), [_fresh_epoch(), self._bus(show), packed, versions])

    async def set_presence(self, show: ShowId, count: int) -> None:
        """Renew this process's count of viewers for `PRESENCE_TTL_MS`; 0 takes it away. Raises Unavailable."""
        keys = [*_keys(show), f"sf:{{{show}}}:presence"]
        await self._call("presence", keys, [_fresh_epoch(), self._bus(show), self.process, count, PRESENCE_TTL_MS])

    async def take_turn(self, show: ShowId, account: AccountId, slow_mode_ms: int) -> int:
        """0 if the account may speak now; else the milliseconds to wait. Raises Unavailable."""
        return cast(int, await self._call("slow_mode", [f"sf:{{{show}}}:slow:{account}"], [slow_mode_ms]))

    async def whisper(self, show: ShowId, account: AccountId, data: bytes) -> None:
        """Something for the sockets of one account, in whatever process. Raises Unavailable."""
        await self._call("whisper", _keys(show)[:1], [self._bus(show), f"A {account}", data])

    async def dismiss(self, show: ShowId, account: AccountId) -> None:
        """Have every process send an account's sockets away. Raises Unavailable."""
        await self._call("dismiss", _keys(show)[:1], [self.to_all, account, show])

    async def load(self, show: ShowId, epoch: str, since: int) -> Loaded:
        """The show as it is now; its log from `since` on if the epoch is still `epoch`. Raises Unavailable."""
        answer = await self._call("load", _keys(show), [_fresh_epoch(), epoch, since])
        known_epoch, offset, floor, version, entries, kept, state = answer
        return Loaded(
            epoch=known_epoch.decode(),
            offset=offset,
            floor=floor,
            log=[_entry(one) for one in entries],
            state_version=version,
            state={key.decode(): value for key, value in _pairs(state)},
            kept={key.decode(): _kept(value) for key, value in _pairs(kept)},
        )

    async def _call(self, script: str, keys: list[str], args: list[Any]) -> Any:
        return await self._server_of(keys[0]).sender.call(script, keys, args)

    def _server_of(self, key: str) -> Server:  # noqa: ARG002 - there is one
        return self._only

    # -- the bus ------------------------------------------------------------------------------------------------

    def subscribe(self, show: ShowId) -> None:
        """Hear this show from now on; `on_subscribed` says when."""
        self._shows.add(show)
        self._hear(show)

    def unsubscribe(self, show: ShowId) -> None:
        """Stop hearing this show."""
        self._shows.discard(show)
        self._ignore(show)

    def _hear(self, show: ShowId) -> None:
        self._only.bus.subscribe(self._bus(show))

    def _ignore(self, show: ShowId) -> None:
        self._only.bus.unsubscribe(self._bus(show))

    def on_heard(self, bus: Bus) -> None:
        """From the bus."""
        self.find(f"bus {bus.name}")

    def on_lost(self, bus: Bus) -> None:
        """From the bus."""
        self.lose(f"bus {bus.name}")

    def on_moved(self) -> None:
        """From the bus; that of a single server never says so."""

    def on_channel(self, channel: bytes) -> None:
        """From the bus."""
        if (show := self._show_of(channel)) is not None:
            self._listener.on_subscribed(show)

    def on_message(self, channel: bytes, data: bytes) -> None:
        """From the bus."""
        head, _, data = data.partition(b"\n")
        fields = head.decode().split(" ")
        if fields[0] == "B":  # for all, whatever they watch
            self._listener.on_dismissal(ShowId(data.decode()), AccountId(fields[1]))
            return
        show = self._show_of(channel)
        if show is None:
            return
        if fields[0] == "P":
            _, epoch, offset, what, key = fields
            self._listener.on_publication(show, epoch, Publication(int(offset), Kind(what), key, data))
        elif fields[0] == "A":
            self._listener.on_whisper(show, AccountId(fields[1]), data)
        else:
            _, epoch, version = fields
            values = {key: value.encode() for key, value in _unpacked.decode(data).items()}
            self._listener.on_state(show, epoch, int(version), values)

    @property
    def to_all(self) -> str:
        """The channel that each process hears, whatever it watches."""
        return f"sf:all:{self._database}"

    def _show_of(self, channel: bytes) -> ShowId | None:
        """The show of a channel; None if it is not one that is to be heard."""
        if not channel.startswith(b"sf:{"):
            return None
        show = ShowId(channel[4 : channel.index(b"}")].decode())
        return show if show in self._shows else None

    def _bus(self, show: ShowId) -> str:
        return f"sf:{{{show}}}:bus:{self._database}"


def check_key(key: str) -> str:
    """`key` as it may stand in a header of the bus. Raises BadRequest on blanks, line feeds and quotes."""
    if not key or len(key) > 200 or any(one <= " " or one in '"\\' for one in key):
        raise BadRequest("A key has 1 to 200 characters, without blanks and quotes")
    return key


def _fresh_epoch() -> str:
    return secrets.token_hex(8)


def _keys(show: ShowId) -> list[str]:
    return [f"sf:{{{show}}}:{name}" for name in ("hub", "log", "kept", "state")]


def _pairs(flat: list[bytes] | dict[bytes, bytes]) -> Iterable[tuple[bytes, bytes]]:
    return flat.items() if isinstance(flat, dict) else zip(flat[::2], flat[1::2], strict=True)


def _kept(value: bytes) -> tuple[int, bytes]:
    offset, _, data = value.partition(b"\n")
    return int(offset), data


def _entry(entry: list[Any]) -> Publication:
    name, fields = entry
    kind, key, data = fields[1::2]
    return Publication(int(name.partition(b"-")[0]), Kind(kind.decode()), key.decode(), data)
