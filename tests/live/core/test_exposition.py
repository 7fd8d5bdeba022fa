"""Metrics of several workers as one text."""

from prometheus_client.parser import text_string_to_metric_families

from live.core.exposition import merged

ONE = """# HELP taps_total Taps so far.
# TYPE taps_total counter
taps_total 3.0
# HELP viewers Who watches.
# TYPE viewers gauge
viewers{show="a b"} 2.0
viewers{show="{c}"} 1.0
"""
TWO = """# HELP taps_total Taps so far.
# TYPE taps_total counter
taps_total 4.0
# HELP only_here Nothing else.
# TYPE only_here gauge
only_here{} 1.0
"""


def test_each_sample_says_whose_it_is_and_a_family_stands_together():
    assert merged({0: ONE, 1: TWO}) == (
        "# HELP taps_total Taps so far.\n"
        "# TYPE taps_total counter\n"
        'taps_total{worker="0"} 3.0\n'
        'taps_total{worker="1"} 4.0\n'
        "# HELP viewers Who watches.\n"
        "# TYPE viewers gauge\n"
        'viewers{worker="0",show="a b"} 2.0\n'
        'viewers{worker="0",show="{c}"} 1.0\n'
        "# HELP only_here Nothing else.\n"
        "# TYPE only_here gauge\n"
        'only_here{worker="1"} 1.0\n'
    )


def test_prometheus_reads_it():
    families = {family.name: family for family in text_string_to_metric_families(merged({0: ONE, 1: TWO}))}
    assert [(s.labels["worker"], s.value) for s in families["taps"].samples] == [("0", 3.0), ("1", 4.0)]
    assert {s.labels["show"] for s in families["viewers"].samples} == {"a b", "{c}"}
