"""The links between workers, for `/metrics`.

Owns: nothing.
"""

from collections.abc import Iterator

import msgspec
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from media.links import Links

_TEXTS = {
    "siblings": "Workers that this one hears.",
    "shows_pulled": "Shows whose packets come from another worker.",
    "packets_pulled": "Packets that came from another worker.",
    "packets_given": "Packets that went to another worker.",
    "packets_left_out": "Packets not given to a worker that did not keep up.",
}
_GAUGES = {"siblings", "shows_pulled"}


class LinkMetrics(Collector):
    """What the links of one worker count."""

    def __init__(self, links: Links) -> None:
        self._links = links

    def collect(self) -> Iterator[GaugeMetricFamily | CounterMetricFamily]:
        """All families, afresh."""
        for name, value in msgspec.structs.asdict(self._links.stats()).items():
            kind = GaugeMetricFamily if name in _GAUGES else CounterMetricFamily
            yield kind(f"showfloor_link_{name}", _TEXTS[name], value)
