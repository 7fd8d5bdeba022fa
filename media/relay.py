"""The relay: shows and sessions of one process behind one UDP port.

Owns: the port, the shows, the sessions, the flush, the tasks that tick.
Invariant: no more than `max_sessions` sessions, `max_pending` unfinished ones (`host_places` more for publishers) and
`max_per_account` in which one account watches; every task ends with the relay; the loop is never held for more than
about ten milliseconds by a fan-out.
"""

import asyncio
import functools
import time
from collections.abc import Awaitable, Callable, Sequence
from types import TracebackType
from typing import Final, Self

import structlog
from msgspec import Struct

from media.clock import now_ms
from media.config import RelayConfig
from media.core import sdp
from media.core.audience import ROW
from media.core.formats import Codec, Kind
from media.core.history import Packet
from media.core.srtp import MAX_SOURCES
from media.flush import HOLD_S, Flush
from media.layer import Layer
from media.links import Links
from media.native import egress_for, intake_for
from media.newcomers import ROUND_PACKETS
from media.peer import Peer
from media.port import MediaPort
from media.ports import HostListener
from media.publisher import Publisher
from media.pulled import Pulled
from media.repairs import Repairs
from media.show import Show, ShowStats
from media.subscriber import Subscriber
from schema.errors import GoingAway, NotFound, Unavailable
from schema.ids import AccountId, SessionId, ShowId, new_id

log = structlog.get_logger()

_REACT_S: Final = 0.1
"""Where no packet arrives; else `show.REACT_MS` counts."""
_WATCH_S: Final = 1.0
_RETRY_MS: Final = 2000


class Session(Struct, frozen=True, kw_only=True):
    """One WHIP or WHEP session, as its resource shows it."""

    session_id: SessionId
    show_id: ShowId
    account_id: AccountId
    is_publisher: bool
    peer: Peer
    answer: str
    member: Publisher | Subscriber
    address: str = ""
    """Where it was asked for, as HTTP saw it."""

    @property
    def etag(self) -> str:
        """Changes with the ICE credentials (RFC 9725 section 4.3.1)."""
        return f'"{self.peer.credentials.ufrag}"'


class RelayStats(Struct, frozen=True, kw_only=True):
    """The process in numbers."""

    sessions: int
    pending: int
    validated_addresses: int
    tcp_links: int
    packets_out: int
    octets_out: int
    sends: int
    gso_refused: int
    packets_dropped: int
    dropped: dict[str, int]
    """Datagrams dropped, by reason."""


class Relay:
    """`async with Relay(config, listener) as relay`, then routes find it in the lifespan state."""

    def __init__(self, config: RelayConfig, listener: HostListener, links: Links | None = None) -> None:
        """`links`: to the other workers, where there are any; then they are the listener too."""
        assert config.history_packets >= 512, "fewer packets than a NACK may ask for"
        self.config = config
        self.shows: dict[ShowId, Show] = {}
        self._listener = listener
        self._links = links
        self._sessions: dict[SessionId, Session] = {}
        self._watched_by: dict[AccountId, dict[SessionId, Session]] = {}
        """Each account's sessions as a viewer, the oldest first."""
        self._cut: frozenset[ShowId] = frozenset()
        self._loud: set[SessionId] = set()
        """Those that sent more reports than are heard; they are told of once."""
        self._joining: dict[SessionId, Session] = {}
        """Sessions that had not finished ICE and DTLS when it was last looked at."""
        self._steps = asyncio.Event()
        """Newcomers' next ones are due."""
        self._tasks = asyncio.TaskGroup()
        self._background: list[asyncio.Task[None]] = []
        self._is_open = False

    async def __aenter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        self._port = MediaPort(self.config.bind_host, self.config.port, self.config.flush_ms)
        if self.config.tcp_port is not None:
            await self._port.open_tcp(self.config.tcp_port)
        self._numbers = self._port.number, self._port.tcp.number
        self._egress = egress_for(self._port, native=self.config.native)
        self._port.intake = intake_for(self._port, native=self.config.native)
        self._flush = Flush(self._port, self._egress, self.config.flush_ms)
        self._port.looked = self._flush.flush
        self._port.goes_on = self._goes_on
        await self._tasks.__aenter__()
        self._background = [
            self._tasks.create_task(job, name=name)
            for name, job in (
                ("media-catch-up", self._catch_ups()),
                ("media-react", self._every(_REACT_S, self._react)),
                ("media-watch", self._every(_WATCH_S, self._watch)),
            )
        ]
        self._is_open = True
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._is_open = False
        for task in self._background:
            task.cancel()
        for session in list(self._sessions.values()):
            session.peer.close()
        await self._tasks.__aexit__(kind, error, trace)
        self._flush.close()
        self._port.close()

    @property
    def udp_port(self) -> int:
        return self._numbers[0]

    @property
    def tcp_port(self) -> int | None:
        """Where peers without UDP connect to; None where TCP is off."""
        return self._numbers[1]

    def stats(self, show_id: ShowId) -> ShowStats:
        """A show's numbers. Raises NotFound for one that has no media here."""
        show = self.shows.get(show_id)
        if show is None:
            raise NotFound("The show has no media on this relay")
        return show.stats()

    def keyframes(self) -> dict[ShowId, Sequence[Packet]]:
        """For each show whose host is here what its lowest layer has shown since a keyframe, that first.

        Empty where none is kept: a host may send its last for half an hour. For thumbnails, which one worker makes.
        """
        here = {show_id: show for show_id, show in self.shows.items() if not isinstance(show.feed, Pulled)}
        return {show_id: show.pictures() for show_id, show in here.items() if show.host_present}

    def want_picture(self, show_id: ShowId) -> None:
        """Ask the host of a show for a keyframe of its lowest layer, when it suits."""
        show = self.shows.get(show_id)
        if show is not None:
            show.want_picture()

    def sessions(self, show_id: ShowId | None = None) -> list[Session]:
        """The sessions now; of one show, if it is named."""
        return [one for one in self._sessions.values() if show_id is None or one.show_id == show_id]

    def totals(self) -> RelayStats:
        """The process's numbers."""
        return RelayStats(
            sessions=len(self._sessions),
            pending=self._pending(),
            validated_addresses=self._port.roster.addresses,
            tcp_links=len(self._port.tcp),
            packets_out=self._egress.packets,
            octets_out=self._egress.octets,
            sends=self._egress.sends,
            gso_refused=self._egress.gso_refused,
            packets_dropped=self._egress.dropped_packets,
            dropped=dict(self._port.counts),
        )

    def capture_ms(self, show_id: ShowId, host_ms: float | None = None) -> int | None:
        """When the host captured what it showed at `host_ms` of its own clock, by the clock of our sender reports.

        Without `host_ms`: the newest picture that arrived. None while the show has no video here.
        """
        show = self.shows.get(show_id)
        return show.capture_ms(host_ms) if show is not None else None

    # Sessions

    def publish(self, show_id: ShowId, account_id: AccountId, offer: sdp.Offer) -> Session:
        """A WHIP session. It goes on air when its DTLS is up, and ends the publisher before it.

        Raises NotAcceptable (no common codec) or Unavailable (too many sessions).
        """
        chosen = sdp.choose_from_publisher(offer)
        show, peer = self._open(show_id, offer, spare=self.config.host_places)
        codecs = {item.payload_type: item.codec for choice in chosen for item in choice.formats}
        h264 = [item for choice in chosen for item in choice.formats if item.codec is Codec.H264]
        profile = sdp.profile_level_id(h264[0]) if h264 else ""
        picture = next((choice.section for choice in chosen if choice.section.kind is Kind.VIDEO), None)
        publisher = Publisher(
            self._links.stage(show) if self._links else show,
            peer,
            codecs,
            h264_profile=profile,
            max_bitrate_bps=self.config.max_bitrate_bps,
            rids=picture.rids if picture else (),
            extensions=picture.extensions if picture else {},
            repairs=Repairs.of(picture, codecs) if picture else None,
        )
        answer = sdp.answer(offer, chosen, self._local(peer), ssrcs=None)
        return self._keep(show, account_id, publisher, answer)

    def subscribe(self, show_id: ShowId, account_id: AccountId, offer: sdp.Offer, address: str = "") -> Session:
        """A WHEP session; without a host it waits for one, whichever codec that brings.

        Raises NotAcceptable (it cannot take what is on air) or Unavailable.
        """
        if self._links and self._is_open:
            self._links.watched(self._show(show_id))
        on_air = self.shows[show_id].feed if show_id in self.shows else None
        chosen = sdp.choose_for_subscriber(offer, on_air.h264_profile if on_air else "")
        if on_air:
            sdp.must_take(chosen, list(on_air.codecs.values()))
        self._spread(address)
        show, peer = self._open(show_id, offer)
        self._make_room(account_id)
        terms = {choice.kind: choice.terms for choice in chosen}
        subscriber = Subscriber(show, peer, terms, self.config.playout_delay_ms)
        show.subscribers.add(subscriber)
        local = self._local(peer)
        answer = sdp.answer(offer, chosen, local, ssrcs=subscriber.ssrcs, repair_ssrcs=subscriber.repair_ssrcs)
        return self._keep(show, account_id, subscriber, answer, address)

    def session(self, session_id: str, show_id: str, *, is_publisher: bool) -> Session:
        """A live session. Raises NotFound for one that ended, or that belongs to another resource."""
        session = self._sessions.get(SessionId(session_id))
        if session is None or session.show_id != show_id or session.is_publisher is not is_publisher:
            raise NotFound("The session has ended")
        return session

    def end(self, session: Session) -> None:
        """End a session; its packets stop at once."""
        session.peer.close()
        self._joining.pop(session.session_id, None)
        self._loud.discard(session.session_id)
        if self._sessions.pop(session.session_id, None) is not None and not session.is_publisher:
            held = self._watched_by[session.account_id]
            del held[session.session_id]
            if not held:
                del self._watched_by[session.account_id]

    def end_watching(self, show_id: ShowId, account_id: AccountId) -> None:
        """End every session in which an account watches a show."""
        for session in list(self._watched_by.get(account_id, {}).values()):
            if session.show_id == show_id:
                self.end(session)

    def cut(self, shows: frozenset[ShowId]) -> None:
        """Of these shows nothing goes to anybody, of all others it does; sessions stay, to have it again at once."""
        self._cut = shows
        for show in self.shows.values():
            show.cut(is_cut=show.show_id in shows)

    def _open(self, show_id: ShowId, offer: sdp.Offer, spare: int = 0) -> tuple[Show, Peer]:
        if not self._is_open:
            raise GoingAway(retry_after_ms=_RETRY_MS)
        is_full = len(self._sessions) >= self.config.max_sessions + spare
        if is_full or self._are_joining(self.config.max_pending + spare):
            raise Unavailable("Too many viewers are joining; try again", retry_after_ms=_RETRY_MS)
        show = self._show(show_id)
        show.quiet_since_ms = now_ms()
        return show, Peer(self._port, offer, handshake_ms=self.config.handshake_ms)

    def _show(self, show_id: ShowId) -> Show:
        show = self.shows.get(show_id)
        if show is None:
            show = self.shows[show_id] = Show(
                show_id,
                egress=self._egress,
                listener=self._listener,
                wake=self._flush.wake,
                hurry=self._port.go_on,
                size=self.config.history_packets,
                gop_packets=self.config.gop_packets,
            )
            show.cut(is_cut=show_id in self._cut)
        return show

    def _make_room(self, account_id: AccountId) -> None:
        """End an account's oldest sessions, so that one guest cannot take every place."""
        held = list(self._watched_by.get(account_id, {}).values())
        for session in held[: max(0, len(held) - self.config.max_per_account + 1)]:
            self.end(session)

    def _spread(self, address: str) -> None:
        most = self.config.max_pending_per_address
        if self._are_joining(most) and sum(one.address == address for one in self._joining.values()) >= most:
            raise Unavailable("Too many from your address are joining; try again", retry_after_ms=_RETRY_MS)

    def _are_joining(self, many: int) -> bool:
        """Only when it seems so is each one looked at: a join must not cost more the more there are who watch."""
        return len(self._joining) >= many and self._pending() >= many

    def _pending(self) -> int:
        self._joining = {name: one for name, one in self._joining.items() if one.peer.sender is None}
        return len(self._joining)

    def _local(self, peer: Peer) -> sdp.Local:
        return sdp.Local(
            ufrag=peer.credentials.ufrag,
            password=peer.credentials.password,
            fingerprint=self._port.certificate.sha256,
            setup=peer.setup,
            addresses=self.config.addresses,
            port=self.udp_port,
            tcp_port=self.tcp_port,
            session=int(peer.credentials.ufrag, 16),
        )

    def _keep(
        self, show: Show, account_id: AccountId, member: Publisher | Subscriber, answer: str, address: str = ""
    ) -> Session:
        is_publisher = isinstance(member, Publisher)
        session = Session(
            session_id=SessionId(new_id("pub" if is_publisher else "sub") + self.config.session_suffix),
            show_id=show.show_id,
            account_id=account_id,
            is_publisher=is_publisher,
            peer=member.peer,
            answer=answer,
            member=member,
            address=address,
        )
        self._sessions[session.session_id] = session
        self._joining[session.session_id] = session
        if not is_publisher:
            self._watched_by.setdefault(account_id, {})[session.session_id] = session
        session.peer.ended = functools.partial(self.end, session)
        return session

    # Newcomers

    def _goes_on(self) -> bool:
        """At the end of each look: newcomers get their next packets with it."""
        is_waited_for = any(show.is_waited_for for show in self.shows.values())
        if is_waited_for:
            self._steps.set()
        return is_waited_for

    async def _catch_ups(self) -> None:
        """Bring newcomers to live, a step with each look of the port."""
        while True:
            await self._steps.wait()
            self._steps.clear()
            await self._round({one: layer for show in self.shows.values() for one, layer in show.waiting()})

    async def _round(self, waiting: dict[Subscriber, Layer]) -> None:
        """A step for each, who came first before the others, until the round's packets are used up.

        Not in turn: five hundred who share a round get less each than the host sends, and none would ever be live.
        """
        began, room = time.monotonic(), ROUND_PACKETS
        for newcomer in sorted(waiting, key=_joined_ms):
            room -= self._step(newcomer, waiting[newcomer])
            if room <= 0:
                return
            if time.monotonic() - began > HOLD_S:
                await asyncio.sleep(0)
                began = time.monotonic()

    def _step(self, newcomer: Subscriber, layer: Layer) -> int:
        try:
            return layer.newcomers.step(newcomer, now_ms())
        except Exception:
            log.exception("a newcomer was not brought to live")
            newcomer.peer.close()
            return 0

    # The ticks

    async def _every(self, seconds: float, tick: Callable[[], Awaitable[None]]) -> None:
        while True:
            await asyncio.sleep(seconds)
            try:
                await tick()
            except Exception:
                log.exception("a media tick failed")

    async def _react(self) -> None:
        now = now_ms()
        for show in self.shows.values():
            show.react(now)
        self._pending()
        for session in list(self._joining.values()):
            session.peer.tick(now)

    async def _watch(self) -> None:
        now = now_ms()
        for session in list(self._sessions.values()):
            if session.peer.sender is not None and now - session.peer.seen_ms > self.config.consent_ms:
                session.peer.close()
            self._listen_to(session)
        for show in self.shows.values():
            show.watch(now, self.config.silence_ms)
        self._forget_empty(now)
        for show in list(self.shows.values()):
            await self._report(show)

    def _listen_to(self, session: Session) -> None:
        """Whoever floods us is told of in the log, once; a host that has used up its sources comes anew with others.

        Nothing of a further source would be shown, and nobody would know why.
        """
        hearing = session.peer.receiver
        if hearing is None:
            return
        if hearing.unheard and session.session_id not in self._loud:
            self._loud.add(session.session_id)
            log.warning("media_reports_dropped", session_id=session.session_id, show=session.show_id)
        if hearing.surplus and session.is_publisher:
            log.warning("media_sources_used_up", session_id=session.session_id, show=session.show_id, most=MAX_SOURCES)
            session.peer.close()

    def _forget_empty(self, now: int) -> None:
        """A show that a session still names stays, or its publisher, in a long handshake, would go on air unseen."""
        named = {session.show_id for session in self._sessions.values()}
        for show in list(self.shows.values()):
            if show.show_id in named:
                show.quiet_since_ms = now
            elif now - show.quiet_since_ms > self.config.empty_show_ms:
                del self.shows[show.show_id]

    async def _report(self, show: Show) -> None:
        subscribers = [subscriber for subscriber in show.subscribers if subscriber.peer.is_up]
        for at in range(0, len(subscribers), ROW):
            for subscriber in subscribers[at : at + ROW]:
                subscriber.report_again(now_ms())
                subscriber.consider(now_ms())
            await asyncio.sleep(0)


def _joined_ms(newcomer: Subscriber) -> int:
    return newcomer.catch_up.began_ms if newcomer.catch_up is not None else 0
