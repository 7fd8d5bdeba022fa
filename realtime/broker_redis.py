"""Between processes: publications, state and presence through Redis.

Owns: the connections to Redis, the batch of scripts waiting to be sent, the one subscription of this process.
Invariant: a script is sent once; if its answer is lost the caller hears Unavailable rather than a second try,
because a chat message said twice is worse than one refused. Whenever a subscription begins (again), the listener
is told, and loads: what was published meanwhile is not lost.

Keys of a show carry it as hash tag, `sf:{show}:...`, so that its scripts work on a cluster. Pub/sub channels are
shared by all logical databases of a server, so the bus carries the database's number.
"""

import asyncio
import secrets
from collections.abc import Awaitable, Iterable, Mapping
from importlib.resources import files
from typing import Any, NamedTuple, Protocol, cast

import msgspec
import structlog
from redis.asyncio import ConnectionPool, Redis
from redis.asyncio.client import PubSub
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import NoScriptError, RedisError

from realtime.core.channel import Kind, Loaded, Publication
from realtime.tasks import Tasks
from schema.errors import BadRequest, Conflict, Unavailable
from schema.ids import AccountId, MessageId, ShowId

log = structlog.get_logger()

LOG_MAX = 1000
KEPT_MAX = 500
BATCH_MAX = 500
QUEUE_MAX = 10_000
DEADLINE_S = 5.0
SILENCE_S = 5.0
"""A bus silent for this long is pinged; silent twice, it is taken for dead."""
RECONNECT_MIN_S = 0.1
RECONNECT_MAX_S = 2.0
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
        """An account may no longer be here."""

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


class _Call(NamedTuple):
    script: str
    keys: list[str]
    args: list[str | bytes | int]
    answer: "asyncio.Future[Any]"


class _Script(NamedTuple):
    text: str
    sha: str


class RedisBroker:
    """An async context manager; `listener` hears the shows that were `subscribe`d."""

    def __init__(self, redis: Redis, listener: Listener, *, process: str | None = None) -> None:
        pool = redis.connection_pool
        arguments = {**pool.connection_kwargs, "retry": Retry(NoBackoff(), 0)}
        self._redis = Redis(connection_pool=ConnectionPool(connection_class=pool.connection_class, **arguments))
        self._database = arguments.get("db", 0) or 0
        self._listener = listener
        self.process = process or secrets.token_hex(8)
        self._scripts: dict[str, _Script] = {}
        self._waiting: list[_Call] = []
        self._wake = asyncio.Event()
        self._shows: set[ShowId] = set()
        self._pubsub: PubSub | None = None
        self._tasks = Tasks(limit=SUBSCRIBING_MAX)
        self._lost: set[str] = set()

    @property
    def away(self) -> bool:
        """True while Redis cannot be heard or does not answer."""
        return bool(self._lost)

    def _lose(self, what: str) -> None:
        if not self._lost:
            self._listener.on_away()
        self._lost.add(what)

    def _find(self, what: str) -> None:
        if self._lost == {what}:
            self._lost.clear()
            self._listener.on_back()
        self._lost.discard(what)

    async def __aenter__(self) -> "RedisBroker":
        await self._load_scripts()
        self._tasks.start(self._send_batches(), "broker-batches")
        self._tasks.start(self._listen(), "broker-bus")
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._tasks.aclose()
        for call in self._waiting:
            call.answer.cancel()
        await self._redis.aclose()
        await self._redis.connection_pool.disconnect()

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
        await self._call("whisper", _keys(show)[:1], [self._bus(show), f"B {account}", b""])

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
        if len(self._waiting) >= QUEUE_MAX:
            raise Unavailable("Too many publications are waiting", retry_after_ms=1000)
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Call(script, keys, args, answer))
        self._wake.set()
        return await answer

    # -- batches ------------------------------------------------------------------------------------------------

    async def _load_scripts(self) -> None:
        for file in files("realtime").joinpath("lua").iterdir():
            if file.name.endswith(".lua"):
                text = file.read_text()
                sha = await cast(Awaitable[Any], self._redis.script_load(text))
                self._scripts[file.name.removesuffix(".lua")] = _Script(
                    text, sha if isinstance(sha, str) else sha.decode()
                )

    async def _send_batches(self) -> None:
        """Send what waits; whatever arrives during the round trip is the next batch."""
        while True:
            await self._wake.wait()
            batch, self._waiting = self._waiting[:BATCH_MAX], self._waiting[BATCH_MAX:]
            if not self._waiting:
                self._wake.clear()
            try:
                async with asyncio.timeout(DEADLINE_S):
                    await self._send(batch)
                self._find("scripts")
            except (RedisError, OSError, TimeoutError) as error:
                log.warning("redis_unavailable", error=str(error), publications=len(batch))
                _refuse(batch)
                self._lose("scripts")
            except asyncio.CancelledError:
                _refuse(batch)
                raise

    async def _send(self, batch: list[_Call]) -> None:
        unknown = _settle(batch, await self._execute(batch))
        if unknown:  # Redis restarted: these did not run, so a second try says nothing twice
            for script in {call.script for call in unknown}:
                await cast(Awaitable[Any], self._redis.script_load(self._scripts[script].text))
            _refuse(_settle(unknown, await self._execute(unknown)))

    async def _execute(self, batch: list[_Call]) -> list[Any]:
        pipe = self._redis.pipeline(transaction=False)
        for call in batch:
            pipe.evalsha(self._scripts[call.script].sha, len(call.keys), *call.keys, *call.args)
        return await pipe.execute(raise_on_error=False)

    # -- the bus ------------------------------------------------------------------------------------------------

    def subscribe(self, show: ShowId) -> None:
        """Hear this show from now on; `on_subscribed` says when."""
        self._shows.add(show)
        if self._pubsub is not None:
            self._tasks.start(self._tell("SUBSCRIBE", show), "broker-subscribe")

    def unsubscribe(self, show: ShowId) -> None:
        """Stop hearing this show."""
        self._shows.discard(show)
        if self._pubsub is not None:
            self._tasks.start(self._tell("UNSUBSCRIBE", show), "broker-unsubscribe")

    async def _tell(self, what: str, show: ShowId) -> None:
        pubsub = self._pubsub
        if pubsub is None:
            return
        try:
            await (pubsub.subscribe if what == "SUBSCRIBE" else pubsub.unsubscribe)(self._bus(show))
        except (RedisError, OSError) as error:
            log.warning("redis_unavailable", error=str(error))  # the reader notices too, and subscribes anew

    async def _listen(self) -> None:
        pause_s = RECONNECT_MIN_S
        while True:
            try:
                async with self._redis.pubsub() as pubsub:
                    await pubsub.subscribe(f"sf:process:{self.process}")
                    # Only now: shows that are subscribed to from here on speak for themselves, and none slips through.
                    self._pubsub = pubsub
                    if self._shows:
                        await pubsub.subscribe(*(self._bus(show) for show in self._shows))
                    pause_s = RECONNECT_MIN_S
                    await self._read(pubsub)
            except (RedisError, OSError, TimeoutError) as error:
                log.warning("redis_bus_lost", error=str(error))
                self._lose("bus")
            finally:
                self._pubsub = None
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 2, RECONNECT_MAX_S)

    async def _read(self, pubsub: PubSub) -> None:
        silent = False
        for_others = 0
        while True:
            message = await pubsub.get_message(timeout=SILENCE_S)
            if message is None:
                if silent:
                    raise TimeoutError("the bus does not answer")
                silent = True
                await pubsub.ping()
                continue
            silent = False
            self._dispatch(message)
            for_others += 1
            if for_others % 64 == 0:  # a burst that has already arrived must not hold the loop
                await asyncio.sleep(0)

    def _dispatch(self, message: dict[str, Any]) -> None:
        kind, channel = message["type"], message["channel"]
        if kind == "subscribe":
            self._find("bus")  # not before: one that is frozen takes connections, and says nothing
        if kind not in {"message", "subscribe"} or not channel.startswith(b"sf:{"):
            return
        show = ShowId(channel[4 : channel.index(b"}")].decode())
        if show not in self._shows:
            return
        if kind == "subscribe":
            self._listener.on_subscribed(show)
            return
        head, _, data = message["data"].partition(b"\n")
        fields = head.decode().split(" ")
        if fields[0] == "P":
            _, epoch, offset, what, key = fields
            self._listener.on_publication(show, epoch, Publication(int(offset), Kind(what), key, data))
        elif fields[0] == "A":
            self._listener.on_whisper(show, AccountId(fields[1]), data)
        elif fields[0] == "B":
            self._listener.on_dismissal(show, AccountId(fields[1]))
        else:
            _, epoch, version = fields
            values = {key: value.encode() for key, value in _unpacked.decode(data).items()}
            self._listener.on_state(show, epoch, int(version), values)

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


def _settle(batch: list[_Call], answers: list[Any]) -> list[_Call]:
    """Give each caller its answer; the calls whose script Redis does not know come back."""
    unknown = []
    for call, answer in zip(batch, answers, strict=True):
        if call.answer.done():
            continue
        if isinstance(answer, NoScriptError):
            unknown.append(call)
        elif isinstance(answer, Exception):
            log.error("redis_script_failed", script=call.script, error=str(answer))
            call.answer.set_exception(Unavailable("The message bus refused that", retry_after_ms=1000))
        else:
            call.answer.set_result(answer)
    return unknown


def _refuse(batch: list[_Call]) -> None:
    for call in batch:
        if not call.answer.done():
            call.answer.set_exception(Unavailable("The message bus cannot be reached", retry_after_ms=1000))
