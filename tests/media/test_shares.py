"""Numbers of several workers, added up."""

import msgspec

from media.shares import Share, spread, whole
from schema.ids import ShowId
from schema.media import HostMedia, LayerMedia, MediaMoment

NOBODY = HostMedia(
    present=False,
    since_ms=None,
    codec="",
    bitrate_bps=0,
    loss=None,
    jitter_ms=None,
    nacks=0,
    plis=0,
    newest_frame_age_ms=None,
    layers=[],
)


def layer(rid, viewers, bitrate_bps=0):
    return LayerMedia(
        rid=rid,
        is_on_air=True,
        width=0,
        height=0,
        bitrate_bps=bitrate_bps,
        frames_per_second=None,
        keyframe_interval_ms=None,
        viewers=viewers,
    )


def share(host=NOBODY, layers=(), history=(), **given):
    empty = {"sessions": 0, "bitrate_bps": 0, "nacks": 0, "resends": 0, "plis": 0}
    lists = {"loss": [], "rtt_ms": [], "frozen": [], "age_ms": []}
    host = msgspec.structs.replace(host, layers=list(layers))
    return Share(host=host, history=list(history), **empty | lists | given)


def moment(at_ms, viewers, in_bps, out_bps):
    return MediaMoment(at_ms=at_ms, viewers=viewers, in_bps=in_bps, out_bps=out_bps)


def test_counters_are_added_and_the_host_is_the_one_that_its_worker_knows():
    here = share(sessions=2, bitrate_bps=10, nacks=1, resends=2, plis=3)
    there = share(sessions=5, bitrate_bps=100, nacks=10, resends=20, plis=30)
    host = share(msgspec.structs.replace(NOBODY, present=True, codec="VP8"), sessions=1)
    shown = whole(ShowId("demo"), 7, host, [here, there])
    assert (shown.show_id, shown.at_ms, shown.host.codec) == ("demo", 7, "VP8")
    viewers = shown.viewers
    assert (viewers.sessions, viewers.bitrate_bps) == (8, 110)
    assert (viewers.nacks, viewers.resends, viewers.plis) == (11, 22, 33)


def test_a_spread_is_of_all_values_and_not_of_the_parts_spreads():
    quiet, noisy = share(loss=[0.0] * 95, rtt_ms=[10]), share(loss=[0.5] * 5, age_ms=[100, 300], frozen=[0.25])
    viewers = whole(ShowId("demo"), 0, quiet, [noisy]).viewers
    assert viewers.loss == spread([0.0] * 95 + [0.5] * 5)
    assert (viewers.loss.count, viewers.loss.p50, viewers.loss.p95) == (100, 0.0, 0.5)
    assert (viewers.rtt_ms.count, viewers.frozen.p50, viewers.age_ms.p95) == (1, 0.25, 300)


def test_a_layers_viewers_are_counted_by_its_name():
    host = share(layers=[layer("q", 1, 150), layer("f", 2, 2500)])
    there = share(layers=[layer("f", 4, 2400), layer("gone", 9)])
    layers = whole(ShowId("demo"), 0, host, [there]).host.layers
    assert [(one.rid, one.viewers, one.bitrate_bps) for one in layers] == [("q", 1, 150), ("f", 6, 2500)]


def test_the_curve_adds_what_was_read_at_about_the_same_time():
    long = [moment(at, 1, 0, 100) for at in range(10_000, 40_000, 5_003)]
    short = [moment(at, 10, 700, 1000) for at in range(32_400, 45_000, 5_007)]  # a worker that began later
    curve = whole(ShowId("demo"), 0, share(history=short), [share(history=long)]).history
    assert [one.at_ms for one in curve] == [one.at_ms for one in long]
    assert [(one.viewers, one.in_bps, one.out_bps) for one in curve] == [(1, 0, 100)] * 4 + [(11, 700, 1100)] * 2


def test_one_share_is_its_own_whole():
    history = [moment(5_000, 1, 2, 3)]
    shown = whole(ShowId("demo"), 0, share(layers=[layer("", 3)], history=history, sessions=3))
    assert (shown.history, shown.viewers.sessions, shown.host.layers) == (history, 3, [layer("", 3)])
    assert whole(ShowId("demo"), 0, share()).history == []
