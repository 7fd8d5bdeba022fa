"""Between processes through a Redis or Valkey cluster: each show on the one server that has its slot.

The scripts speak with SPUBLISH, which stays on that server and its replicas, where PUBLISH would go to all; and this
process listens with SSUBSCRIBE, over one connection to each server that has a slot.

Owns: a `Server` for each of these, and the task that follows the slots when they move.
Invariant: that of `RedisBroker`: a script runs once. MOVED and ASK say that it did not run, and it is sent to the
server they name; TRYAGAIN, while the keys of a slot are being moved, that it may be sent once more. A server that is
away holds up its own shows alone; but all are told that what they see may be old, since a process is away as a whole.
"""

import asyncio
from typing import Self

import structlog
from redis.asyncio import RedisCluster
from redis.asyncio.cluster import ClusterNode
from redis.exceptions import AskError, MovedError, RedisError, SlotNotCoveredError, TryAgainError

from realtime.broker_redis import Listener, RedisBroker, Server
from realtime.bus import RECONNECT_MAX_S, RECONNECT_MIN_S, Bus
from realtime.sender import Call, once
from schema.errors import Unavailable
from schema.ids import ShowId

log = structlog.get_logger()

MOVING_S = 0.05
"""Between two tries of a call whose keys are being moved; `HOPS_MAX` of them, then it is refused."""


class ClusterBroker(RedisBroker):
    """The same calls as `RedisBroker`'s. `cluster` knows who has which slot, and how to log in there."""

    def __init__(self, cluster: RedisCluster, listener: Listener, *, process: str | None = None) -> None:
        self._begin(listener, process)
        self._cluster = cluster
        self._servers: dict[str, Server] = {}
        self._moved = asyncio.Event()

    async def __aenter__(self) -> Self:
        await self._cluster.initialize()
        for node in self._cluster.get_primaries():
            self._known(node)
        self.tasks.start(self._follow_slots(), "broker-slots")
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.tasks.aclose()
        for server in self._servers.values():
            await server.aclose()
        await self._cluster.aclose()

    # -- who has what -------------------------------------------------------------------------------------------

    def _server_of(self, key: str) -> Server:
        """Raises Unavailable while none has the slot."""
        try:
            node = self._cluster.get_node_from_key(key)
        except SlotNotCoveredError:
            node = None
        if node is None:
            self._moved.set()
            raise Unavailable("The message bus has nobody for this show just now", retry_after_ms=1000)
        return self._known(node)

    def _known(self, node: ClusterNode) -> Server:
        server = self._servers.get(node.name)
        if server is None:
            redis = once(node.connection_class, node.connection_kwargs)
            server = self._servers[node.name] = Server(redis, self, name=node.name, redirect=self._redirect)
            server.start()
        return server

    def _redirect(self, call: Call, error: AskError | TryAgainError) -> None:
        """From a sender: MOVED names the server for good, ASK for this once, while a slot is on its way."""
        self.tasks.start(self._pass_on(call, error), "broker-redirect")

    async def _pass_on(self, call: Call, error: AskError | TryAgainError) -> None:
        nodes = self._cluster.nodes_manager
        try:
            if isinstance(error, TryAgainError):  # some of the keys are here and some are there
                await asyncio.sleep(MOVING_S)
                self._server_of(call.keys[0]).sender.take(call._replace(asking=False))
            elif isinstance(error, MovedError):
                await nodes.move_slot(error)
                self._moved.set()
                self._known(nodes.get_node_from_slot(error.slot_id)).sender.take(call._replace(asking=False))
            else:
                node = ClusterNode(error.host, error.port, **nodes.connection_kwargs)
                self._known(node).sender.take(call._replace(asking=True))
        except (Unavailable, RedisError) as refusal:
            if not call.answer.done():
                call.answer.set_exception(refusal if isinstance(refusal, Unavailable) else Unavailable(str(refusal)))

    # -- the buses ----------------------------------------------------------------------------------------------

    def _hear(self, show: ShowId) -> None:
        try:
            self._server_of(self._bus(show)).bus.subscribe(self._bus(show))
        except Unavailable:
            log.warning("redis_slot_not_covered", show=show)  # whoever follows the slots comes back to it

    def _ignore(self, show: ShowId) -> None:
        for server in self._servers.values():
            if self._bus(show) in server.bus.channels:
                server.bus.unsubscribe(self._bus(show))

    def on_lost(self, bus: Bus) -> None:
        """From a bus: its server may have a successor."""
        super().on_lost(bus)
        self._moved.set()

    def on_moved(self) -> None:
        """From a bus: some show is another server's."""
        self._moved.set()

    async def _follow_slots(self) -> None:
        """Whenever something seems to have moved: ask who has which slot now, and listen there."""
        pause_s = RECONNECT_MIN_S
        while True:
            await self._moved.wait()
            self._moved.clear()
            try:
                await self._cluster.nodes_manager.initialize()
                await self._rearrange()
                pause_s = RECONNECT_MIN_S
            except (RedisError, OSError, TimeoutError) as error:
                log.warning("redis_cluster_unknown", error=str(error))
                self._moved.set()
                pause_s = min(pause_s * 2, RECONNECT_MAX_S)
            await asyncio.sleep(pause_s)

    async def _rearrange(self) -> None:
        owners = {node.name for node in self._cluster.get_primaries()}
        for name in [name for name in self._servers if name not in owners]:
            await self._servers.pop(name).aclose()
            self.find(f"scripts {name}")
            self.find(f"bus {name}")
        for show in list(self._shows):
            self._hear_at_its_owner(self._bus(show), show)

    def _hear_at_its_owner(self, channel: str, show: ShowId) -> None:
        at = [server for server in self._servers.values() if channel in server.bus.channels]
        try:
            owner = self._server_of(channel)
        except Unavailable:
            return
        for server in at:
            if server is not owner:
                server.bus.unsubscribe(channel)
        if owner not in at:
            self._hear(show)
