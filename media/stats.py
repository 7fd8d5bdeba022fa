"""The relay in numbers: what each show and each session sends, loses and waits.

The relay counts anyway; once a second the counters are read here and become rates, curves and histograms. A question
or a scrape then reads memory alone.

Owns: the curves, the rates of sessions, the histograms of loss and round trips.
Invariant: memory is bounded by the relay's shows and sessions; what has ended is forgotten within a second; a round
of reading never holds the loop for more than a few milliseconds.
"""

import asyncio
from collections.abc import Iterable, Iterator
from typing import Final

import structlog

from media.clock import now_ms
from media.core.curve import Curve, Moment, Pace, Sample
from media.core.formats import Kind
from media.core.histogram import SECONDS, SHARES, Histogram
from media.layer import LayerStats
from media.publisher import Publisher
from media.relay import Relay, Session
from media.reports import Report, Reports
from media.shares import Share, whole
from media.show import Show
from media.subscriber import Subscriber
from schema.ids import ShowId
from schema.media import HostMedia, LayerMedia, MediaMoment, SessionMedia, ShowMedia

log = structlog.get_logger()

EVERY_S: Final = 1.0
OBSERVE_EVERY: Final = 10
"""Rounds between two looks at each viewer's loss and round trip for the histograms."""
RATE_MS: Final = 5_000
KEYFRAMES_MS: Final = 30_000
SLICE: Final = 200


class _Flow:
    """What goes through one session."""

    def __init__(self) -> None:
        self.octets = 0
        self.pace = Pace(RATE_MS)
        self.expected = Pace(RATE_MS)
        self.arrived = Pace(RATE_MS)

    def read(self, octets: int, at_ms: int) -> int:
        """How many octets are new."""
        new, self.octets = max(0, octets - self.octets), octets
        self.pace.add(at_ms, octets)
        return new

    def read_host(self, publisher: Publisher, at_ms: int) -> None:
        """How many of a host's packets should have come, and how many have."""
        pictures = [one.reception for one in publisher.sources.values() if one.stream.kind is Kind.VIDEO]
        self.expected.add(at_ms, sum(one.expected for one in pictures))
        self.arrived.add(at_ms, sum(one.packets for one in pictures))

    @property
    def loss(self) -> float | None:
        """Share of a host's packets that never came."""
        expected, arrived = self.expected.per_second(), self.arrived.per_second()
        return min(1.0, max(0.0, 1 - arrived / expected)) if expected and arrived is not None else None

    @property
    def bps(self) -> int:
        return round((self.pace.per_second() or 0) * 8)


class _LayerPace:
    """How fast one layer's pictures come."""

    def __init__(self) -> None:
        self.frames = Pace(RATE_MS)
        self.keyframes = Pace(KEYFRAMES_MS)

    def read(self, layer: LayerStats, at_ms: int) -> None:
        self.frames.add(at_ms, layer.frames)
        self.keyframes.add(at_ms, layer.keyframes)


class _Seen:
    """What is known of one show."""

    def __init__(self) -> None:
        self.curve = Curve()
        self.octets_out = 0
        self.present = False
        self.since_ms: int | None = None
        self.layers: dict[int, _LayerPace] = {}
        self.loss = Histogram(SHARES)
        self.rtt = Histogram(SECONDS)


class Statistics:
    """`run` reads once a second; the rest answers from what was read."""

    def __init__(self, relay: Relay, reports: Reports) -> None:
        self._relay = relay
        self.reports = reports
        self._shows: dict[ShowId, _Seen] = {}
        self._flows: dict[str, _Flow] = {}
        self._rounds = 0

    async def run(self) -> None:
        """Read for ever; its owner cancels it."""
        while True:
            try:
                await self.read(now_ms())
            except Exception:
                log.exception("media_statistics_failed")
            await asyncio.sleep(EVERY_S)

    async def read(self, now: int) -> None:
        """One round."""
        self._rounds += 1
        shows = dict(self._relay.shows)
        self._shows = {show_id: self._shows.get(show_id) or _Seen() for show_id in shows}
        await self._read_sessions(now)
        for show_id, show in shows.items():
            self._read_show(self._shows[show_id], show, now)
        self.reports.forget(set(shows), now)

    async def _read_sessions(self, now: int) -> None:
        sessions = self._relay.sessions()
        self._flows = {one.session_id: self._flows.get(one.session_id) or _Flow() for one in sessions}
        for at in range(0, len(sessions), SLICE):
            for session in sessions[at : at + SLICE]:
                self._read_session(session, now)
            await asyncio.sleep(0)

    def _read_session(self, session: Session, now: int) -> None:
        flow, member, seen = self._flows[session.session_id], session.member, self._shows.get(session.show_id)
        if isinstance(member, Publisher):
            flow.read(sum(one.reception.octets for one in member.sources.values()), now)
            flow.read_host(member, now)
            return
        new = flow.read(sum(line.octets for line in member.lines if line is not None), now)
        if seen is None:
            return
        seen.octets_out += new
        if self._rounds % OBSERVE_EVERY == 0 and _has_reported(member):
            seen.loss.observe(member.bandwidth.loss)
            seen.rtt.observe(member.bandwidth.rtt_ms / 1000)

    def _read_show(self, seen: _Seen, show: Show, now: int) -> None:
        stats = show.stats()
        seen.curve.add(Sample(now, stats.subscribers, stats.octets_in, seen.octets_out))
        for layer in stats.layers:
            seen.layers.setdefault(layer.layer, _LayerPace()).read(layer, now)
        if stats.host_present is not seen.present or seen.since_ms is None:
            seen.present, seen.since_ms = stats.host_present, now

    # Answers

    def show(self, show_id: ShowId, now: int) -> ShowMedia:
        """A show's numbers here; all zeros for one that has no media here."""
        return whole(show_id, now, self.share(show_id, now))

    def share(self, show_id: ShowId, now: int) -> Share:
        """What this process knows, to be added up with what others know."""
        seen, show = self._shows.get(show_id, _Seen()), self._relay.shows.get(show_id)
        moment = seen.curve.now() or Moment(now, 0, 0, 0)
        stats = show.stats() if show else None
        told = [one.bandwidth for one in show.subscribers if _has_reported(one)] if show else []
        reports = self.reports.shows.get(show_id)
        frozen, ages_ms = reports.recent(now) if reports else ([], [])
        return Share(
            host=self._host(seen, show, moment, now),
            sessions=stats.subscribers if stats else 0,
            bitrate_bps=moment.out_bps,
            nacks=stats.nacked_down if stats else 0,
            resends=stats.resent if stats else 0,
            plis=stats.plis_down if stats else 0,
            loss=[one.loss for one in told],
            rtt_ms=[one.rtt_ms for one in told],
            frozen=frozen,
            age_ms=ages_ms,
            history=[MediaMoment(**one._asdict()) for one in seen.curve.moments()],
        )

    def octets_out(self, show_id: ShowId) -> int:
        """What has gone to viewers here so far, as of the last reading."""
        return self._shows[show_id].octets_out if show_id in self._shows else 0

    def host_fares(self, show_id: ShowId, now: int) -> tuple[float | None, int | None]:
        """Of a host: the share of its packets that never came, and the age of its newest picture in milliseconds."""
        show = self._relay.shows.get(show_id)
        flow, _ = self._publisher(show)
        return flow.loss if flow else None, _age_ms(show, now) if show and show.host_present else None

    def _host(self, seen: _Seen, show: Show | None, moment: Moment, now: int) -> HostMedia:
        stats = show.stats() if show else None
        flow, publisher = self._publisher(show)
        return HostMedia(
            present=bool(stats and stats.host_present),
            since_ms=seen.since_ms,
            codec=stats.video if stats else "",
            bitrate_bps=moment.in_bps,
            loss=flow.loss if flow else None,
            jitter_ms=_jitter_ms(publisher) if publisher else None,
            nacks=stats.nacked_up if stats else 0,
            plis=stats.plis_up if stats else 0,
            newest_frame_age_ms=_age_ms(show, now) if show and show.host_present else None,
            layers=[_layer(layer, seen.layers.get(layer.layer)) for layer in stats.layers if layer.packets]
            if stats
            else [],
        )

    def _publisher(self, show: Show | None) -> tuple[_Flow | None, Publisher | None]:
        """Who is on air, if it is a host of this process and not another process that has one."""
        feed = show.feed if show else None
        if not isinstance(feed, Publisher) or show is None:
            return None, None
        session = next((one for one in self._relay.sessions(show.show_id) if one.member is feed), None)
        return self._flows.get(session.session_id) if session else None, feed

    def sessions(self, show_id: ShowId, after: str, limit: int) -> list[SessionMedia]:
        """Up to `limit` sessions of a show whose id is greater than `after`, by id."""
        found = sorted(self._relay.sessions(show_id), key=lambda one: one.session_id)
        return [self._session(one) for one in found if one.session_id > after][:limit]

    def worst(self, show_id: ShowId, limit: int) -> list[SessionMedia]:
        """The `limit` viewers who fare worst."""
        viewers = (self._session(one) for one in self._relay.sessions(show_id) if not one.is_publisher)
        return sorted(viewers, key=trouble, reverse=True)[:limit]

    def _session(self, session: Session) -> SessionMedia:
        flow = self._flows.get(session.session_id) or _Flow()
        if isinstance(session.member, Publisher):
            return _host_session(session, session.member, flow)
        report = self.reports.sessions.get((session.account_id, session.session_id))
        return _viewer_session(session, session.member, flow, report)

    def histograms(self, name: str) -> Iterator[tuple[ShowId, Histogram]]:
        """By show: `loss` (share) and `rtt` (seconds) of viewers, `frozen` (share) and `age` (seconds) of pages."""
        owners: Iterable[tuple[ShowId, object]] = (
            self._shows.items() if name in ("loss", "rtt") else self.reports.shows.items()
        )
        for show_id, owner in owners:
            yield show_id, getattr(owner, name)


def _has_reported(viewer: Subscriber) -> bool:
    way = viewer.bandwidth
    return bool(way.rtt_ms or way.jitter_ms or way.loss)


def _host_session(session: Session, host: Publisher, flow: _Flow) -> SessionMedia:
    return SessionMedia(
        session_id=session.session_id,
        account_id=session.account_id,
        role="host",
        bitrate_bps=flow.bps,
        loss=flow.loss,
        jitter_ms=_jitter_ms(host),
        nacks=host.nacks,
        plis=host.plis,
    )


def _viewer_session(session: Session, viewer: Subscriber, flow: _Flow, report: Report | None) -> SessionMedia:
    stats, has_told = viewer.stats(), _has_reported(viewer)
    return SessionMedia(
        session_id=session.session_id,
        account_id=session.account_id,
        role="viewer",
        layer=viewer.layer.rid if viewer.layer else None,
        bitrate_bps=flow.bps,
        estimate_bps=stats.estimate_bps or None,
        loss=stats.loss if has_told else None,
        rtt_ms=stats.rtt_ms if has_told else None,
        jitter_ms=stats.jitter_ms if has_told else None,
        nacks=stats.nacked,
        resends=stats.resent,
        plis=stats.plis,
        switches=stats.switches,
        frozen=report.frozen if report else None,
        age_ms=report.age_ms if report else None,
    )


def _layer(layer: LayerStats, pace: _LayerPace | None) -> LayerMedia:
    return LayerMedia(
        rid=layer.rid,
        is_on_air=layer.is_on_air,
        width=layer.width,
        height=layer.height,
        bitrate_bps=layer.rate_bps,
        frames_per_second=pace.frames.per_second() if pace else None,
        keyframe_interval_ms=pace.keyframes.interval_ms() if pace else None,
        viewers=layer.viewers,
    )


def _jitter_ms(host: Publisher) -> float | None:
    jitters = [one.reception.jitter_ms for one in host.sources.values() if one.stream.kind is Kind.VIDEO]
    return max(jitters, default=None)


def _age_ms(show: Show, now: int) -> int | None:
    """Of the newest picture of any layer."""
    ages = []
    for layer in show.layers:
        newest = layer.track.history.get(layer.flushed) if layer.arrived_ms else None
        captured_ms = layer.track.wall_of(newest.timestamp) if newest else None
        if captured_ms is not None:
            ages.append(max(0, round(now - captured_ms)))
    return min(ages, default=None)


def trouble(session: SessionMedia) -> float:
    """How badly a viewer fares, for sorting: freezes weigh most, then loss, then delay; no picture is worst."""
    if session.layer is None:
        return 10.0
    return 5 * (session.frozen or 0) + 3 * (session.loss or 0) + (session.rtt_ms or 0) / 2000 + session.plis / 1000
