"""One connection to one server on which publications come in.

Owns: the connection, and the channels that are to be heard on it.
Invariant: whenever a subscription begins (again), the ear is told. A connection that was lost is made anew, with
growing pauses; one that is silent for `SILENCE_S` is pinged, and taken for dead if it stays so.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Protocol

import structlog
from redis.asyncio import Redis
from redis.asyncio.client import PubSub
from redis.exceptions import MovedError, RedisError

from realtime.tasks import Tasks

log = structlog.get_logger()

SILENCE_S = 5.0
"""A bus silent for this long is pinged; silent twice, it is taken for dead."""
RECONNECT_MIN_S = 0.1
RECONNECT_MAX_S = 2.0


class Ear(Protocol):
    """Hears what one bus brings; must not block."""

    def on_heard(self, bus: "Bus") -> None:
        """The connection works: a subscription was answered."""

    def on_lost(self, bus: "Bus") -> None:
        """The connection is lost; it is tried again."""

    def on_moved(self) -> None:
        """Some channel is another server's now."""

    def on_channel(self, channel: bytes) -> None:
        """From here on nothing of this channel is missed."""

    def on_message(self, channel: bytes, data: bytes) -> None:
        """Somebody published."""


class Bus:
    """Its owner runs `listen`. `sharded`: channels of a cluster's slots, which this server alone carries."""

    def __init__(
        self, redis: Redis, ear: Ear, tasks: Tasks, *, always: str, sharded: bool = False, name: str = ""
    ) -> None:
        self._redis = redis
        self._ear = ear
        self._tasks = tasks
        self._always = always
        """The channel of all processes; it also keeps a connection that carries no show a subscribed one."""
        self._sharded = sharded
        self.name = name
        self.channels: set[str] = set()
        self._pubsub: PubSub | None = None

    def subscribe(self, channel: str) -> None:
        """Hear this channel from now on; `on_channel` says when."""
        self.channels.add(channel)
        if self._pubsub is not None:
            self._tasks.start(self._tell(channel, hear=True), "broker-subscribe")

    def unsubscribe(self, channel: str) -> None:
        """Stop hearing it."""
        self.channels.discard(channel)
        if self._pubsub is not None:
            self._tasks.start(self._tell(channel, hear=False), "broker-unsubscribe")

    async def _tell(self, channel: str, *, hear: bool) -> None:
        if self._pubsub is None:
            return
        try:
            await self._command(self._pubsub, hear=hear)(channel)
        except (RedisError, OSError) as error:
            log.warning("redis_unavailable", error=str(error))  # the reader notices too, and subscribes anew

    def _command(self, pubsub: PubSub, *, hear: bool) -> Callable[..., Awaitable[Any]]:
        if self._sharded:
            return pubsub.ssubscribe if hear else pubsub.sunsubscribe
        return pubsub.subscribe if hear else pubsub.unsubscribe

    async def listen(self) -> None:
        """For ever; the owner cancels it."""
        pause_s = RECONNECT_MIN_S
        while True:
            try:
                async with self._redis.pubsub() as pubsub:
                    await pubsub.subscribe(self._always)
                    # Only now: channels that are subscribed to from here on speak for themselves, none slips through.
                    self._pubsub = pubsub
                    for some in self._together(list(self.channels)):
                        await self._command(pubsub, hear=True)(*some)
                    pause_s = RECONNECT_MIN_S
                    await self._read(pubsub)
            except (RedisError, OSError, TimeoutError) as error:
                log.warning("redis_bus_lost", error=str(error))
                self._ear.on_lost(self)
            finally:
                self._pubsub = None
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 2, RECONNECT_MAX_S)

    def _together(self, channels: list[str]) -> Iterable[list[str]]:
        """What one command may name: on a cluster the channels of one slot, so each goes by itself."""
        if self._sharded:
            return [[one] for one in channels]
        return [channels] if channels else []

    async def _read(self, pubsub: PubSub) -> None:
        silent = False
        for_others = 0
        while True:
            try:
                message = await pubsub.get_message(timeout=SILENCE_S)
            except MovedError:  # a subscription's answer: the connection is as good as before
                self._ear.on_moved()
                continue
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
        if kind in {"message", "smessage"}:
            self._ear.on_message(channel, message["data"])
        elif kind in {"subscribe", "ssubscribe"}:
            self._ear.on_heard(self)  # not before: one that is frozen takes connections, and says nothing
            self._ear.on_channel(channel)
        elif kind == "sunsubscribe" and channel.decode() in self.channels:
            self._ear.on_moved()  # nobody here asked for that: its slot went to another server
