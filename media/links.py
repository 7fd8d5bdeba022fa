"""The links between the workers of one machine: who has which host, and a show's packets from there to here, once.

Each worker listens on a unix socket and connects to all others. Over a connection the one that listens tells who is
on air there, and sends what is pulled; the one that connected pulls and wishes. A connection that ends is a worker
that ended: what it had on air is gone in that instant, with no lease to run out and no store to ask.

    host -> worker 0:  Publisher -> Outlet -> Show -> viewers at 0
                                      |
                                 unix socket
                                      |
            worker 1:              Pulled -> Show -> viewers at 1

Owns: the directory of hosts, the connections, the shows pulled here.
Invariant: of all workers one has a show's host: the newest, and the others end theirs; a show is pulled at most once,
and only while it is watched here; what is queued towards a slow worker has a bound (core/valve.py).
"""

import asyncio
import time
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Self, cast

import structlog
from msgspec import Struct
from msgspec.structs import replace

from media.clock import START_NS
from media.config import LinkConfig
from media.core.linkwire import (
    AllTold,
    Begin,
    Drop,
    Granted,
    Message,
    OffAir,
    OnAir,
    Packets,
    Pull,
    Reader,
    Told,
    Wish,
    written,
)
from media.feed import Stage
from media.outlet import Outlet
from media.ports import HostListener
from media.pulled import Pulled
from media.show import Show
from schema.ids import ShowId

log = structlog.get_logger()

FIRST_S: Final = 1.0
"""How long a worker that starts waits for what the others have on air."""
RETRY_MIN_S, RETRY_MAX_S = 0.05, 0.5
TICK_S: Final = 1.0
SAY_AGAIN_TICKS: Final = 3
"""After a worker came or went, whoever has a host says so again: another may have told the viewers otherwise."""


class LinkStats(Struct, frozen=True, kw_only=True):
    """The links in numbers; counters since the start."""

    siblings: int
    """Workers we hear."""
    shows_pulled: int
    """Right now."""
    packets_pulled: int
    packets_given: int
    packets_left_out: int
    """Towards a worker that did not keep up."""


@dataclass
class _Counted:
    """Of what has ended."""

    pulled: int = 0
    given: int = 0
    left_out: int = 0


class Links:
    """`async with Links(...)`; the relay's listener, and the stage of its publishers."""

    def __init__(self, config: LinkConfig, listener: HostListener, *, gop_packets: int = 2000) -> None:
        self.config = config
        self._listener = listener
        self._gop_packets = gop_packets
        self._hosts: dict[ShowId, dict[int, OnAir]] = {}
        self._outlets: dict[ShowId, Outlet] = {}
        self._pulled: dict[ShowId, Pulled] = {}
        self._watched: dict[ShowId, tuple[Show, float]] = {}
        self._sockets: dict[int, _Caller] = {}
        self._callees: set[_Callee] = set()
        self._say_again = 0
        self._counted = _Counted()
        self._tasks: list[asyncio.Task[None]] = []
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        mine = self.config.path(self.config.worker)
        mine.unlink(missing_ok=True)  # a predecessor that was killed has left it
        self._server = await loop.create_unix_server(lambda: _Callee(self), str(mine))
        known = [asyncio.Event() for _ in self.config.others]
        self._tasks = [
            loop.create_task(self._call(worker, event), name=f"link-{worker}")
            for worker, event in zip(self.config.others, known, strict=True)
        ]
        self._tasks.append(loop.create_task(self._ticks(), name="links"))
        waiting = [loop.create_task(event.wait()) for event in known]
        if waiting:
            await asyncio.wait(waiting, timeout=FIRST_S)
        for task in waiting:
            task.cancel()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._server is not None:
            self._server.close()
        for link in [*self._callees, *self._sockets.values()]:
            link.close()
        self.config.path(self.config.worker).unlink(missing_ok=True)

    # The relay's side

    def stage(self, show: Show) -> Stage:
        """What a publisher of this show plays to."""
        outlet = self._outlets.get(show.show_id)
        if outlet is not None and outlet.show is show:
            return outlet
        return Outlet(show, max_packets=self._gop_packets, on_air=self._on_air, off_air=self._off_air)

    def watched(self, show: Show) -> None:
        """Somebody is about to watch here: what is on air elsewhere is pulled from now on."""
        self._watched[show.show_id] = show, time.monotonic()
        self._settle(show.show_id)

    def host_changed(self, show_id: ShowId, present: bool) -> None:  # noqa: FBT001 - the listener's signature
        """From a show here. What was pulled is for the worker to tell that has the host."""
        mine = self._hosts.get(show_id, {}).get(self.config.worker)
        if mine is None:
            return
        self._note(self.config.worker, replace(mine, present=present))
        self._tell(self._hosts[show_id][self.config.worker])
        if self._is_mine(show_id):
            self._listener.host_changed(show_id, present)

    def host_present(self, show_id: ShowId) -> bool:
        """True while video arrives, in whichever worker."""
        best = self._best(show_id)
        return best is not None and best[1].present

    def host_worker(self, show_id: ShowId) -> int | None:
        """The worker that has the host; None if nobody has."""
        best = self._best(show_id)
        return best[0] if best else None

    def stats(self) -> LinkStats:
        """The numbers."""
        outlets, pulled = self._outlets.values(), self._pulled.values()
        return LinkStats(
            siblings=sum(link.is_told for link in self._sockets.values()),
            shows_pulled=len(pulled),
            packets_pulled=self._counted.pulled + sum(one.packets for one in pulled),
            packets_given=self._counted.given + sum(outlet.packets for outlet in outlets),
            packets_left_out=self._counted.left_out + sum(outlet.left_out for outlet in outlets),
        )

    # A publisher here

    def _on_air(self, outlet: Outlet) -> None:
        feed, show = outlet.feed, outlet.show
        assert feed is not None
        self._outlets[show.show_id] = outlet
        host = OnAir(
            show.show_id,
            time.monotonic_ns(),
            show.host_present,
            dict(feed.codecs),
            feed.h264_profile,
            feed.rids,
            START_NS,
        )
        self._note(self.config.worker, host)
        self._tell(host)
        self._settle(show.show_id)
        if host.present:  # it took over from another worker's, whose going nobody tells
            self._listener.host_changed(show.show_id, True)  # noqa: FBT003

    def _off_air(self, outlet: Outlet) -> None:
        show_id = outlet.show.show_id
        if self._outlets.get(show_id) is outlet:
            del self._outlets[show_id]
        self._counted.given += outlet.packets
        self._counted.left_out += outlet.left_out
        outlet.packets = outlet.left_out = 0
        self._forget(self.config.worker, show_id)
        self._tell(OffAir(show_id))
        self._settle(show_id)

    # Who has the host

    def _note(self, worker: int, host: OnAir) -> None:
        self._hosts.setdefault(host.show, {})[worker] = host

    def _forget(self, worker: int, show_id: ShowId) -> OnAir | None:
        hosts = self._hosts.get(show_id, {})
        gone = hosts.pop(worker, None)
        if not hosts:
            self._hosts.pop(show_id, None)
        return gone

    def _best(self, show_id: ShowId) -> tuple[int, OnAir] | None:
        """The newest host and its worker."""
        hosts = self._hosts.get(show_id)
        return max(hosts.items(), key=lambda one: (one[1].since_ns, one[0])) if hosts else None

    def _is_mine(self, show_id: ShowId) -> bool:
        best = self._best(show_id)
        return best is not None and best[0] == self.config.worker

    def _settle(self, show_id: ShowId) -> None:
        """End a host of ours that is not the newest; pull what is watched here and on air elsewhere."""
        best, outlet, pulled = self._best(show_id), self._outlets.get(show_id), self._pulled.get(show_id)
        if best is not None and best[0] != self.config.worker and outlet is not None and outlet.feed is not None:
            log.info("host_moved", show=show_id, to_worker=best[0])
            outlet.feed.end()  # and we are asked again
            return
        if best is None or best[0] == self.config.worker or show_id not in self._watched:
            if pulled is not None:
                pulled.show.left(pulled)
        elif pulled is None or (pulled.worker, pulled.since_ns) != (best[0], best[1].since_ns):
            self._pull(self._watched[show_id][0], *best)

    def _pull(self, show: Show, worker: int, host: OnAir) -> None:
        link = self._sockets.get(worker)
        if link is None:
            return
        pulled = Pulled(show, worker, host, wish=self._wish, ended=self._ended)
        show.take_over(pulled)  # ends the one before, if any
        self._pulled[show.show_id] = pulled
        link.send(Pull(show.show_id, pulled.number))

    def _wish(self, pulled: Pulled, layer: int) -> None:
        self._send(pulled.worker, Wish(pulled.show.show_id, layer))

    def _ended(self, pulled: Pulled) -> None:
        """Another feed is on air here, or nobody watches."""
        self._counted.pulled += pulled.packets
        pulled.packets = 0
        if self._pulled.get(pulled.show.show_id) is pulled:
            del self._pulled[pulled.show.show_id]
            self._send(pulled.worker, Drop(pulled.show.show_id))

    def _send(self, worker: int, message: Message) -> None:
        link = self._sockets.get(worker)
        if link is not None:
            link.send(message)

    def _tell(self, message: Message) -> None:
        data = written(message)
        for callee in self._callees:
            callee.write(data)

    # The connections

    async def _call(self, worker: int, known: asyncio.Event) -> None:
        """Be connected to a worker, for as long as we live; one that is not there is called again."""
        loop, pause_s = asyncio.get_running_loop(), RETRY_MIN_S
        path = str(self.config.path(worker))
        while True:
            try:
                _, link = await loop.create_unix_connection(lambda: _Caller(self, worker, known), path)
            except OSError:
                await asyncio.sleep(pause_s)
                pause_s = min(pause_s * 2, RETRY_MAX_S)
                continue
            pause_s = RETRY_MIN_S
            await link.ended.wait()

    def called(self, worker: int, link: "_Caller") -> None:
        """We are connected to a worker."""
        self._sockets[worker] = link

    def heard(self, worker: int, message: Message) -> None:
        """From a worker we called."""
        match message:
            case OnAir():
                self._note(worker, message)
                self._settle(message.show)
            case OffAir():
                self._forget(worker, message.show)
                self._settle(message.show)
            case Granted() | Packets() | Begin() | Told():
                pulled = self._pulled.get(message.show)
                if pulled is not None and pulled.worker == worker:
                    pulled.heard(message)
            case _:
                return

    def lost(self, worker: int, link: "_Caller") -> None:
        """It ended, and with it every host it had: somebody has to tell the viewers, so everybody does."""
        if self._sockets.get(worker) is link:
            del self._sockets[worker]
        self._say_again = SAY_AGAIN_TICKS
        for show_id in [show for show, hosts in self._hosts.items() if worker in hosts]:
            was_present = self.host_present(show_id)
            self._forget(worker, show_id)
            self._settle(show_id)
            if was_present and not self.host_present(show_id):
                self._listener.host_changed(show_id, False)  # noqa: FBT003

    def answered(self, link: "_Callee") -> None:
        """A worker called us: tell it what is on air here."""
        self._callees.add(link)
        self._say_again = SAY_AGAIN_TICKS
        for hosts in self._hosts.values():
            if self.config.worker in hosts:
                link.send(hosts[self.config.worker])
        link.send(AllTold())

    def asked(self, link: "_Callee", message: Message) -> None:
        """By a worker that called us."""
        if not isinstance(message, Pull | Drop | Wish):
            return
        outlet = self._outlets.get(message.show)
        if outlet is None or outlet.feed is None:
            return  # it has just gone, and they hear of it
        match message:
            case Pull(number=number):
                outlet.pulled_by(link, number)
            case Drop():
                outlet.dropped_by(link)
            case Wish(layer=layer):
                outlet.feed.want_keyframe(layer)

    def hung_up(self, link: "_Callee") -> None:
        """A worker that called us has ended."""
        self._callees.discard(link)
        for outlet in self._outlets.values():
            outlet.dropped_by(link)

    # The tick

    async def _ticks(self) -> None:
        while True:
            await asyncio.sleep(TICK_S)
            try:
                self._tick(time.monotonic())
            except Exception:
                log.exception("a tick of the links failed")

    def _tick(self, now_s: float) -> None:
        for show_id, (show, at_s) in list(self._watched.items()):
            if show.subscribers:
                self._watched[show_id] = show, now_s
            elif now_s - at_s > self.config.linger_ms / 1000:
                del self._watched[show_id]
                self._settle(show_id)
        if self._say_again:
            self._say_again -= 1
            for show_id in self._hosts:
                if self._is_mine(show_id) and self.host_present(show_id):
                    self._listener.host_changed(show_id, True)  # noqa: FBT003


class _Link(asyncio.Protocol):
    """One end of a connection."""

    def __init__(self) -> None:
        self.ended = asyncio.Event()
        self._transport: asyncio.Transport | None = None
        self._reader = Reader()

    @property
    def waiting_bytes(self) -> int:
        return self._transport.get_write_buffer_size() if self._transport else 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is none by descent

    def data_received(self, data: bytes) -> None:
        try:
            messages = self._reader.read(data)
        except ValueError as error:
            log.error("link_broken", error=str(error))
            self.close()
            return
        for message in messages:
            self.on_message(message)

    def on_message(self, message: Message) -> None:
        raise NotImplementedError

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        self._transport = None
        self.ended.set()

    def send(self, message: Message) -> None:
        self.write(written(message))

    def write(self, data: bytes) -> None:
        if self._transport is not None:
            self._transport.write(data)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()


class _Caller(_Link):
    """Our end of a connection that we made."""

    def __init__(self, links: Links, worker: int, known: asyncio.Event) -> None:
        super().__init__()
        self.is_told = False
        self._links, self._worker, self._known = links, worker, known

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._links.called(self._worker, self)

    def on_message(self, message: Message) -> None:
        if isinstance(message, AllTold):
            self.is_told = True
            self._known.set()
        else:
            self._links.heard(self._worker, message)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._links.lost(self._worker, self)


class _Callee(_Link):
    """Our end of a connection that another worker made."""

    def __init__(self, links: Links) -> None:
        super().__init__()
        self._links = links

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._links.answered(self)

    def on_message(self, message: Message) -> None:
        self._links.asked(self, message)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._links.hung_up(self)
