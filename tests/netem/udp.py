"""A bad network in front of one UDP port: clients send to `port`, and the target sees each from a port of its own.

Owns: the listening socket, one upstream socket and two links per client address, the datagrams under way.
Invariant: at most `MAX_FLOWS` flows and `MAX_UNDER_WAY` datagrams; one idle for `IDLE_MS` goes; everything ends with
the block. Each client has links of its own, from the seed and its number: a limit is a limit per viewer.

    async with UdpRelay(("127.0.0.1", port), seed=7, down=Conditions(loss=0.02, delay_ms=25)) as relay:
        answer = through(answer, relay.port)
        relay.set(down=Conditions(rate_bps=300_000))

`down` is what the target sends to its clients, `up` the other way.
"""

import asyncio
import heapq
import itertools
import math
import re
import socket
import time
from collections.abc import Callable
from typing import Any, Final, NamedTuple, Self

from netem.link import Conditions, Link

MAX_FLOWS: Final = 256
MAX_UNDER_WAY: Final = 20_000
IDLE_MS: Final = 60_000
_DATAGRAM: Final = 65_536
_BUFFER_BYTES: Final = 4 << 20
_BURST: Final = 64

Address = tuple[str, int]


def now_ms() -> float:
    return time.monotonic() * 1000


def through(answer: str, port: int) -> str:
    """An SDP answer whose UDP candidates stand on `port` of 127.0.0.1; those over TCP are left out."""
    lines = [line for line in answer.splitlines() if not re.match(r"(?i)a=candidate:\S+ \d+ tcp ", line)]
    place = rf"\g<1>127.0.0.1 {port} "
    return "".join(re.sub(r"(?i)^(a=candidate:\S+ \d+ udp \d+ )\S+ \d+ ", place, line) + "\r\n" for line in lines)


class Flow(NamedTuple):
    """One client address."""

    client: Address
    upstream: socket.socket
    up: Link
    down: Link


class UdpRelay:
    """`async with` it; it lives on the running loop."""

    def __init__(
        self,
        target: Address,
        *,
        seed: int,
        down: Conditions = Conditions(),  # noqa: B008 - immutable
        up: Conditions = Conditions(),  # noqa: B008 - immutable
        host: str = "127.0.0.1",
        port: int = 0,
    ) -> None:
        self.target, self.seed = target, seed
        self.flows: dict[Address, Flow] = {}
        self.refused = 0
        """Datagrams dropped because a bound was reached."""
        self._down, self._up = down, up
        self._seen: dict[Address, float] = {}
        self._under_way: list[tuple[float, int, Callable[[bytes], Any], bytes]] = []
        self._numbers = itertools.count()
        self._clients = itertools.count()
        self._timer: asyncio.TimerHandle | None = None
        self._timer_ms = math.inf
        self._socket = _bound(host, port)

    @property
    def port(self) -> int:
        number: int = self._socket.getsockname()[1]
        return number

    async def __aenter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._socket.fileno(), self._from_clients)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._timer:
            self._timer.cancel()
        self._under_way.clear()
        self._loop.remove_reader(self._socket.fileno())
        self._socket.close()
        for client in list(self.flows):
            self._end(client)

    def set(self, *, down: Conditions | None = None, up: Conditions | None = None) -> None:
        """Change the network under way; what is on its way stays."""
        self._down, self._up = down or self._down, up or self._up
        for flow in self.flows.values():
            flow.down.conditions, flow.up.conditions = self._down, self._up

    def counts(self) -> dict[str, int]:
        """What became of the packets, both directions, of the flows that live."""
        found = {"flows": len(self.flows), "refused": self.refused}
        for name in ("up", "down"):
            links: list[Link] = [getattr(flow, name) for flow in self.flows.values()]
            for what in ("sent", "lost", "overflowed", "duplicated"):
                found[f"{name}_{what}"] = sum(getattr(link, what) for link in links)
        return found

    def _from_clients(self) -> None:
        for _ in range(_BURST):
            try:
                data, client = self._socket.recvfrom(_DATAGRAM)
            except BlockingIOError:
                return
            except OSError:  # a client has closed its port
                continue
            flow = self.flows.get(client) or self._begin(client)
            if flow is None:
                self.refused += 1
                continue
            self._seen[client] = now_ms()
            self._pass(flow.up, data, flow.upstream.send)

    def _from_target(self, flow: Flow) -> None:
        for _ in range(_BURST):
            try:
                data = flow.upstream.recv(_DATAGRAM)
            except OSError:  # nothing more, or the target is not there
                return
            self._pass(flow.down, data, lambda data: self._socket.sendto(data, flow.client))

    def _begin(self, client: Address) -> Flow | None:
        for idle in [one for one, seen_ms in self._seen.items() if now_ms() - seen_ms > IDLE_MS]:
            self._end(idle)
        if len(self.flows) >= MAX_FLOWS:
            return None
        number, upstream = next(self._clients), _bound("127.0.0.1", 0)
        upstream.connect(self.target)
        up, down = (Link(f"{self.seed}/{number}/{name}") for name in ("up", "down"))
        flow = self.flows[client] = Flow(client, upstream, up, down)
        up.conditions, down.conditions = self._up, self._down
        self._loop.add_reader(upstream.fileno(), self._from_target, flow)
        return flow

    def _end(self, client: Address) -> None:
        flow = self.flows.pop(client)
        self._seen.pop(client, None)
        self._loop.remove_reader(flow.upstream.fileno())
        flow.upstream.close()

    def _pass(self, link: Link, data: bytes, deliver: Callable[[bytes], Any]) -> None:
        now = now_ms()
        for at_ms in link.send(now, len(data)):
            if at_ms <= now and not self._under_way:
                _quietly(deliver, data)
            elif len(self._under_way) >= MAX_UNDER_WAY:
                self.refused += 1
            else:
                heapq.heappush(self._under_way, (at_ms, next(self._numbers), deliver, data))
        self._wind()

    def _wind(self) -> None:
        """Set the timer to the next datagram that is due."""
        if not self._under_way or self._under_way[0][0] >= self._timer_ms:
            return
        if self._timer:
            self._timer.cancel()
        self._timer_ms = self._under_way[0][0]
        self._timer = self._loop.call_later(max(0.0, self._timer_ms - now_ms()) / 1000, self._due)

    def _due(self) -> None:
        self._timer_ms = math.inf
        while self._under_way and self._under_way[0][0] <= now_ms():
            _, _, deliver, data = heapq.heappop(self._under_way)
            _quietly(deliver, data)
        self._wind()


def _bound(host: str, port: int) -> socket.socket:
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.setblocking(False)
    for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
        made.setsockopt(socket.SOL_SOCKET, option, _BUFFER_BYTES)
    made.bind((host, port))
    return made


def _quietly(deliver: Callable[[bytes], Any], data: bytes) -> None:
    try:
        deliver(data)
    except OSError:
        return  # the far end has gone, or its flow has ended: a network says nothing about it
