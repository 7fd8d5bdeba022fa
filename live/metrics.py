"""`/metrics`: the process in numbers, in Prometheus's text format.

Owns: nothing; each scrape asks the rooms what they count anyway.
Invariant: a scrape reads memory alone, no store, and never fails because one room cannot tell.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from typing import Any

import msgspec
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.gc_collector import GCCollector
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from checkout.desk import Desk
from live.recent_shows import RecentShows
from media.relay import Relay
from realtime.hub import Hub

Family = GaugeMetricFamily | CounterMetricFamily

_RELAY_GAUGES = {"sessions", "pending", "validated_addresses", "tcp_links"}


class Rooms(Collector):
    """What the rooms of one app count."""

    def __init__(self, hub: Hub, desk: Desk, relay: Relay, recent: RecentShows) -> None:
        self._hub = hub
        self._desk = desk
        self._relay = relay
        self._recent = recent

    def collect(self) -> Iterator[Family]:
        """All families, afresh."""
        yield from self._audience()
        yield from self._checkout()
        yield from self._media()

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
        subscribers = GaugeMetricFamily("showfloor_media_subscribers", "Who receives a show's video.", labels=["show"])
        for show, media in self._relay.shows.items():
            subscribers.add_metric([show], media.stats().subscribers)
        yield subscribers


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
