"""The books and the gatebox in the shape of asyncpg's pool and of redis.asyncio's client, each at the end of a line."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import cache
from importlib.resources import files
from typing import Any

from faults.virtual.books import Books
from faults.virtual.gatebox import Gatebox
from faults.virtual.line import Line

from checkout.gate import SCRIPTS

CALL = re.compile(r"^SELECT \* FROM (\w+)\(")
SCRIPT_NAMES = {text: name for name, text in SCRIPTS.items()}


@cache
def query_names() -> dict[str, str]:
    """The text of each query of checkout/sql -> its method of the books."""
    folder = files("checkout").joinpath("sql")
    return {path.read_text(): f"q_{path.name[:-4]}" for path in folder.iterdir() if path.name.endswith(".sql")}


@cache
def method_of(query: str) -> str:
    if found := CALL.match(query):
        return found[1]
    return query_names()[query]


class RowLock:
    """The lock on a stock row between `bump` and the end of a rebuild's transaction. One for all products is enough."""

    def __init__(self) -> None:
        self.holder: object | None = None


NO_STOCK_LOCK = {"begin_basket", "claim_key", "claim_outbox", "claim_undecided", "claim_payer"}


class Connection:
    def __init__(self, books: Books, line: Line, lock: RowLock) -> None:
        self._books, self._line, self._lock = books, line, lock
        self._bumped: tuple | None = None
        self._is_over = False

    async def fetch(self, query: str, *args: Any, timeout: float | None = None) -> list:  # noqa: ASYNC109
        name = method_of(query)
        if name == "q_new_epoch":
            return [await self._line.ask(lambda: self._bump(*args), lambda: self._lock.holder is None)]
        if name == "reserve_many":
            args = [_array(arg) if at in {2, 3, 4} else arg for at, arg in enumerate(args)]
        waits = not name.startswith("q_") and name not in NO_STOCK_LOCK

        def ready() -> bool:
            return not waits or self._lock.holder in {None, self}

        answer = await self._line.ask(lambda: getattr(self._books, name)(*args), ready)
        return answer if isinstance(answer, list) else [answer]

    def is_closed(self) -> bool:
        return False

    async def fetchrow(self, query: str, *args: Any) -> Any:
        rows = await self.fetch(query, *args)
        return rows[0] if rows else None

    async def execute(self, query: str, *_args: Any) -> None:
        assert "pg_advisory_xact_lock" in query
        await self._line.ask(lambda: None)

    def _bump(self, show: str, variant: str) -> dict:
        """The new epoch is seen by others once the transaction has committed."""
        if self._is_over:
            return {}  # its connection has gone meanwhile, and its locks with it
        self._lock.holder = self
        self._bumped = (show, variant), self._books.next_epoch()
        goods = self._books.items[show, variant]
        return self._books.stock[show, variant] | {
            "epoch": self._bumped[1],
            "limit_per_buyer": goods["limit_per_buyer"],
        }

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[None]:
        try:
            yield
            if self._bumped:
                await self._line.ask(self._commit)
        finally:
            self._is_over = True
            if self._lock.holder is self:
                self._lock.holder = None

    def _commit(self) -> None:
        if self._lock.holder is self:
            name, epoch = self._bumped
            self._books.stock[name]["epoch"] = epoch
            self._lock.holder = None


def _array(text: str) -> list[str]:
    """An array as Postgres writes it, of texts without quotes."""
    return text[2:-2].split('","')


class Pool:
    def __init__(self, books: Books, line: Line, lock: RowLock) -> None:
        self._make: Callable[[], Connection] = lambda: Connection(books, line, lock)

    @asynccontextmanager
    async def acquire(self, timeout: float | None = None) -> AsyncIterator[Connection]:  # noqa: ASYNC109
        yield self._make()


class Client:
    """What the gate uses of redis.asyncio."""

    def __init__(self, box: Gatebox, line: Line, channels: "Channels") -> None:
        self._box, self._line, self._channels = box, line, channels

    def get_connection_kwargs(self) -> dict[str, Any]:
        return {"db": 0}

    def pubsub(self) -> "Channel":
        return Channel(self._line, self._channels)

    def register_script(self, text: str) -> Callable:
        act = getattr(self._box, SCRIPT_NAMES[text])

        async def run(*, keys: list[str], args: list) -> Any:
            return await self._write(lambda: act(keys, args))

        return run

    async def hset(self, key: str, mapping: dict) -> None:
        await self._write(lambda: self._box.hset(key, mapping))

    def pipeline(self, *, transaction: bool) -> "Pipeline":
        assert not transaction
        return Pipeline(self)

    async def set_all(self, values: list[tuple[str, bytes, int]]) -> None:
        """Values with their lifetimes in ms, in one message."""
        now_ms = int(asyncio.get_running_loop().time() * 1000)

        def act() -> None:
            for key, value, px in values:
                self._box.hset(key, {"value": value, "until_ms": now_ms + px})

        await self._write(act)

    async def get(self, key: str) -> bytes | None:
        loop = asyncio.get_running_loop()
        kept = await self._line.ask(lambda: dict(self._box.keys.get(key, {})))
        return kept[b"value"] if kept and int(kept[b"until_ms"]) > loop.time() * 1000 else None

    async def _write(self, act: Callable[[], Any]) -> Any:
        loop = asyncio.get_running_loop()
        return await self._line.ask(lambda: self._box.write(loop.time(), act))

    async def expire(self, key: str, seconds: int) -> None:
        await self._line.ask(lambda: None)


class Pipeline:
    """Several values set in one message."""

    def __init__(self, client: Client) -> None:
        self._client, self._values = client, []

    async def __aenter__(self) -> "Pipeline":
        return self

    async def __aexit__(self, *_: object) -> None: ...

    def set(self, key: str, value: bytes, *, px: int) -> None:
        self._values.append((key, value, px))

    async def execute(self) -> None:
        await self._client.set_all(self._values)


class Channels:
    """Who hears what a script publishes. A Redis that went away takes every subscription with it."""

    def __init__(self) -> None:
        self._heard_by: dict[Channel, None] = {}  # in order, so that a seed repeats itself

    def publish(self, key: str) -> None:
        for channel in list(self._heard_by):
            channel.hear(key)

    def join(self, channel: "Channel") -> None:
        self._heard_by[channel] = None

    def leave(self, channel: "Channel") -> None:
        self._heard_by.pop(channel, None)

    def break_all(self) -> None:
        for channel in list(self._heard_by):
            channel.end()


class Channel:
    """One subscription; messages come in order, some of them late."""

    def __init__(self, line: Line, channels: Channels) -> None:
        self._line, self._channels = line, channels
        self._messages: asyncio.Queue[str | None] = asyncio.Queue()

    async def __aenter__(self) -> "Channel":
        return self

    async def __aexit__(self, *_: object) -> None:
        self._channels.leave(self)

    async def subscribe(self, _name: str) -> None:
        await self._line.ask(lambda: self._channels.join(self))

    async def ping(self) -> None:
        await self._line.ask(lambda: None)

    def hear(self, key: str) -> None:
        late = self._line.dice.random() * (0.2 if self._line.dice.random() < 0.1 else 0.004)
        asyncio.get_running_loop().call_later(late, self._messages.put_nowait, key)

    def end(self) -> None:
        self._messages.put_nowait(None)

    async def get_message(self, timeout: float) -> dict[str, Any] | None:  # noqa: ASYNC109
        try:
            async with asyncio.timeout(timeout):
                key = await self._messages.get()
        except TimeoutError:
            return None
        if key is None or self._line.is_cut:
            raise ConnectionResetError("the subscription was lost")
        return {"type": "message", "data": key.encode()}
