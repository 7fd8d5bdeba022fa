"""`/metrics`: the process in numbers, in Prometheus's text format.

Owns: nothing; each scrape asks the rooms what they count anyway.
Invariant: a scrape reads memory alone, no store, and never fails because one room cannot tell.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from typing import Any

import msgspec
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.gc_collector import GCCollector
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from checkout.desk import Desk
from live.recent_shows import RecentShows
from media.clock import now_ms
from media.relay import Relay
from media.show import ShowStats
from media.stats import Statistics
from realtime.hub import Hub
from schema.ids import ShowId

Family = GaugeMetricFamily | CounterMetricFamily | HistogramMetricFamily

_SHOW_GAUGES = {
    "subscribers": "Who receives a show's video.",
    "host_present": "1 while the host's video arrives.",
}
_SHOW_COUNTERS = {
    "octets_in": "Octets of media from the host.",
    "packets_in": "Packets of media from the host.",
    "keyframes": "Keyframes from the host.",
    "packets_dropped": "Packets given up because the fan-out fell behind.",
    "plis_up": "Keyframes asked of the host.",
    "nacked_up": "Packets asked of the host again.",
    "nacked_down": "Packets that viewers asked for again.",
    "resent": "Packets sent again.",
    "plis_down": "Keyframes that viewers asked for.",
}
_SPREADS = {
    "viewer_loss_ratio": ("loss", "Share lost, of each viewer's receiver report every ten seconds."),
    "viewer_rtt_seconds": ("rtt", "Round trip to each viewer, every ten seconds."),
    "viewer_frozen_ratio": ("frozen", "Share of the time that a picture stood still, as pages report."),
    "viewer_frame_age_seconds": ("age", "From capture to screen, as pages report."),
}

_RELAY_GAUGES = {"sessions", "pending", "validated_addresses", "tcp_links"}


class Rooms(Collector):
    """What the rooms of one app count."""

    def __init__(self, hub: Hub, desk: Desk, relay: Relay, recent: RecentShows, statistics: Statistics) -> None:
        self._hub = hub
        self._desk = desk
        self._relay = relay
        self._recent = recent
        self._statistics = statistics

    def collect(self) -> Iterator[Family]:
        """All families, afresh."""
        yield from self._audience()
        yield from self._checkout()
        yield from self._media()
        yield from self._shows()
        yield from self._spreads()

    def _audience(self) -> Iterator[Family]:
        family = GaugeMetricFamily("showfloor_viewers", "Viewers of a show, over all processes.", labels=["show"])
        for show in self._recent.known():
            family.add_metric([show], self._hub.viewers(show))
        yield family

    def _checkout(self) -> Iterator[Family]:
        for name, value in asdict(self._desk.counts).items():
            text = f"checkout's {name.replace('_', ' ')} since the start."
            yield _counter(f"showfloor_checkout_{name}", text, value)

    def _media(self) -> Iterator[Family]:
        totals: Mapping[str, Any] = msgspec.structs.asdict(self._relay.totals())
        for name, value in totals.items():
            if isinstance(value, int) and name in _RELAY_GAUGES:
                yield GaugeMetricFamily(f"showfloor_media_{name}", f"The relay's {name.replace('_', ' ')}.", value)
            elif isinstance(value, int):
                yield _counter(f"showfloor_media_{name}", f"The relay's {name.replace('_', ' ')}.", value)
        dropped = CounterMetricFamily(
            "showfloor_media_datagrams_dropped", "Datagrams dropped at the media port.", labels=["reason"]
        )
        for reason, count in totals["dropped"].items():
            dropped.add_metric([reason], count)
        yield dropped

    def _shows(self) -> Iterator[Family]:
        """By show; a show is labelled while it has media here, so there are never more than sessions."""
        stats = {show: media.stats() for show, media in list(self._relay.shows.items())}
        for name, text in _SHOW_GAUGES.items():
            family = GaugeMetricFamily(f"showfloor_media_{name}", text, labels=["show"])
            for show, one in stats.items():
                family.add_metric([show], float(getattr(one, name)))
            yield family
        for name, text in _SHOW_COUNTERS.items():
            counter = CounterMetricFamily(f"showfloor_media_show_{name}", text, labels=["show"])
            for show, one in stats.items():
                counter.add_metric([show], getattr(one, name))
            yield counter
        out = CounterMetricFamily("showfloor_media_show_octets_out", "Octets of media to viewers.", labels=["show"])
        for show in stats:
            out.add_metric([show], self._statistics.octets_out(show))
        yield out
        yield from self._layers(stats)
        yield from self._hosts()

    def _layers(self, stats: Mapping[ShowId, ShowStats]) -> Iterator[Family]:
        labels = ["show", "layer"]
        rate = GaugeMetricFamily("showfloor_media_layer_bitrate_bps", "Rate of a layer.", labels=labels)
        viewers = GaugeMetricFamily("showfloor_media_layer_viewers", "Who gets a layer's picture.", labels=labels)
        for show, one in stats.items():
            for layer in one.layers:
                rate.add_metric([show, str(layer.layer)], layer.rate_bps)
                viewers.add_metric([show, str(layer.layer)], layer.viewers)
        yield from (rate, viewers)

    def _hosts(self) -> Iterator[Family]:
        """Where it is known: in the process that has the host."""
        lost_text, age_text = "Share of the host's packets that never came.", "Of the newest picture, when scraped."
        loss = GaugeMetricFamily("showfloor_media_host_loss_ratio", lost_text, labels=["show"])
        age = GaugeMetricFamily("showfloor_media_host_frame_age_seconds", age_text, labels=["show"])
        for show in list(self._relay.shows):
            lost, old_ms = self._statistics.host_fares(show, now_ms())
            if lost is not None:
                loss.add_metric([show], lost)
            if old_ms is not None:
                age.add_metric([show], old_ms / 1000)
        yield from (loss, age)

    def _spreads(self) -> Iterator[Family]:
        """Of viewers never one by one: how many, by how much."""
        for name, (of, text) in _SPREADS.items():
            family = HistogramMetricFamily(f"showfloor_media_{name}", text, labels=["show"])
            for show, histogram in self._statistics.histograms(of):
                family.add_metric([show], list(histogram.cumulative()), histogram.total)
            yield family


def _counter(name: str, text: str, value: float) -> CounterMetricFamily:
    return CounterMetricFamily(name, text, value)


def make_registry(collectors: Iterable[Collector]) -> CollectorRegistry:
    """A registry of this app's own: two apps in one process do not meet in a global one."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    GCCollector(registry=registry)
    for collector in collectors:
        registry.register(collector)
    return registry


async def metrics(request: Request) -> Response:
    """GET /metrics."""
    return Response(generate_latest(request.state.metrics), headers={"Content-Type": CONTENT_TYPE_LATEST})


routes: list[BaseRoute] = [Route("/metrics", metrics)]
