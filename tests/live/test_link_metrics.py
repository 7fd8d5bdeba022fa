"""The links in Prometheus's words."""

from prometheus_client import CollectorRegistry, generate_latest

from live.link_metrics import _TEXTS, LinkMetrics
from media.links import LinkStats


class Links:
    """Has numbers."""

    def stats(self):
        return LinkStats(siblings=1, shows_pulled=2, packets_pulled=3, packets_given=4, packets_left_out=5)


def test_every_number_of_the_links_is_told():
    registry = CollectorRegistry()
    registry.register(LinkMetrics(Links()))
    lines = generate_latest(registry).decode().splitlines()
    assert {line for line in lines if not line.startswith("#")} == {
        "showfloor_link_siblings 1.0",
        "showfloor_link_shows_pulled 2.0",
        "showfloor_link_packets_pulled_total 3.0",
        "showfloor_link_packets_given_total 4.0",
        "showfloor_link_packets_left_out_total 5.0",
    }
    assert set(_TEXTS) == set(LinkStats.__struct_fields__)
