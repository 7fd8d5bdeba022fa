"""The relay's numbers, with light peers whose every packet is known. Rounds of reading are made by hand."""

import pytest

from media.clock import now_ms
from media.core import rtcp
from media.core.rtcp import ReportBlock, SenderReport
from media.reports import Reports
from media.stats import OBSERVE_EVERY, Statistics
from schema.ids import AccountId, ShowId
from schema.wire import Watched

DEMO = ShowId("demo")
SIZES = [1000, 1000]


@pytest.fixture
def statistics(floor):
    return Statistics(floor.relay, Reports())


def video(peer):
    return [header for header, _, _ in peer.seen if header.payload_type == 96]


async def pictures(host, viewers, wait_until, count, **options):
    had = [len(video(viewer)) for viewer in viewers]
    for number in range(count):
        host.show(SIZES, keyframe=number == 0, **options)
    sent = count * (len(SIZES) - bool(options))
    arrived = lambda: all(len(video(v)) >= n + sent for v, n in zip(viewers, had, strict=True))  # noqa: E731
    await wait_until(arrived, "the pictures arrive")


@pytest.fixture
async def on_air(peers, wait_until):
    host, viewers = await peers.host(), [await peers.viewer(), await peers.viewer(token="viewer-eve")]
    await pictures(host, viewers, wait_until, 1)
    return host, viewers


def report(viewer, loss, last_sr=0, jitter=90):
    ssrc = video(viewer)[0].ssrc
    viewer.send_rtcp(rtcp.receiver_report(1, [ReportBlock(ssrc, loss, 0, 0, jitter, last_sr, 0)]))


async def test_rates_are_what_was_sent_between_two_readings(on_air, statistics, wait_until):
    host, viewers = on_air
    await statistics.read(1_000)
    await pictures(host, viewers, wait_until, 10)
    await statistics.read(3_000)
    show = statistics.show(DEMO, 3_000)
    octets = 10 * sum(SIZES)
    assert show.host.present
    assert show.host.codec == "VP8"
    assert show.host.bitrate_bps == octets * 8 // 2
    assert show.viewers.sessions == 2
    assert show.viewers.bitrate_bps >= 2 * octets * 8 // 2
    assert [(layer.rid, layer.frames_per_second, layer.viewers) for layer in show.host.layers] == [("", 5.0, 2)]
    assert show.host.layers[0].keyframe_interval_ms == 2000
    assert show.host.since_ms == 1_000


async def test_a_show_or_session_that_is_over_is_forgotten(on_air, floor, statistics, wait_until):
    await statistics.read(1_000)
    assert len(statistics._flows) == 3
    for session in floor.relay.sessions():
        floor.relay.end(session)
    floor.relay.shows.clear()
    await statistics.read(2_000)
    assert (statistics._flows, statistics._shows) == ({}, {})
    assert statistics.show(DEMO, 2_000).viewers.sessions == 0


async def test_loss_and_round_trips_are_those_of_the_viewers_reports(on_air, floor, statistics, wait_until):
    _, viewers = on_air
    told = next(
        one for one in viewers[0].reports if isinstance(one, SenderReport) and one.ssrc == video(viewers[0])[0].ssrc
    )
    report(viewers[0], 64, last_sr=told.ntp >> 16 & 0xFFFFFFFF)
    await wait_until(lambda: statistics.show(DEMO, 0).viewers.loss.count, "the report is heard")
    spread = statistics.show(DEMO, 0).viewers
    assert (spread.loss.count, spread.loss.p95) == (1, 0.25)
    assert 0 <= spread.rtt_ms.p50 < 30_000
    worst = statistics.worst(DEMO, 10)
    assert [one.account_id for one in worst] == ["acc_viewer-bob", "acc_viewer-eve"]
    assert (worst[0].loss, worst[0].jitter_ms, worst[1].loss) == (0.25, 1.0, None)


async def test_every_tenth_reading_counts_each_viewer_once_in_the_histograms(on_air, statistics, wait_until):
    _, viewers = on_air
    for viewer in viewers:
        report(viewer, 0)
    await wait_until(lambda: statistics.show(DEMO, 0).viewers.loss.count == 2, "both have reported")
    for second in range(2 * OBSERVE_EVERY):
        await statistics.read(1_000 * second)
    assert {name: {show: one.count for show, one in statistics.histograms(name)} for name in ("loss", "rtt")} == {
        "loss": {"demo": 4},
        "rtt": {"demo": 4},
    }


async def test_a_hosts_loss_is_the_share_that_never_came(on_air, floor, statistics, wait_until):
    host, viewers = on_air
    await statistics.read(1_000)
    await pictures(host, viewers, wait_until, 10, skip=0)
    await pictures(host, viewers, wait_until, 1)
    asked = lambda: floor.show("demo").nacked_up or floor.show("demo").plis_up  # noqa: E731
    await wait_until(asked, "the host is asked for what is missing")
    await statistics.read(3_000)
    show = statistics.show(DEMO, 3_000)
    assert show.host.loss == pytest.approx(10 / 22, abs=0.05)
    assert show.host.nacks > 0 or show.host.plis > 0
    assert show.host.jitter_ms is not None


async def test_what_viewers_asked_for_counts_after_they_have_gone(on_air, floor, statistics, wait_until):
    _, viewers = on_air
    header = video(viewers[0])[0]
    viewers[0].send_rtcp(rtcp.pli(1, header.ssrc) + rtcp.nack(1, header.ssrc, [header.sequence]))

    def counted():
        of = statistics.show(DEMO, 0).viewers
        return of.plis, of.nacks, of.resends

    await wait_until(lambda: counted() == (1, 1, 1), "it is heard")
    for session in floor.relay.sessions():
        floor.relay.end(session)
    assert counted() == (1, 1, 1)


async def test_sessions_are_paged_by_their_id_and_the_host_is_one(on_air, statistics):
    everybody = statistics.sessions(DEMO, "", 10)
    assert sorted(one.role for one in everybody) == ["host", "viewer", "viewer"]
    first = statistics.sessions(DEMO, "", 2)
    rest = statistics.sessions(DEMO, first[-1].session_id, 2)
    assert [*first, *rest] == everybody
    assert statistics.sessions(ShowId("other"), "", 10) == []


async def test_a_pages_word_on_its_session_stands_with_it_and_another_accounts_does_not(on_air, floor, statistics):
    bob, eve = sorted((one for one in floor.relay.sessions() if not one.is_publisher), key=lambda one: one.account_id)
    said = Watched(watched_ms=10_000, frozen_ms=4_000, age_ms=300, session=bob.session_id)
    statistics.reports.heard(AccountId(bob.account_id), DEMO, said, 1_000)
    lie = Watched(watched_ms=10_000, frozen_ms=9_000, age_ms=1, session=bob.session_id)
    statistics.reports.heard(AccountId(eve.account_id), DEMO, lie, 1_000)
    worst = statistics.worst(DEMO, 1)[0]
    assert (worst.session_id, worst.frozen, worst.age_ms) == (bob.session_id, 0.4, 300)
    assert statistics.show(DEMO, 1_000).viewers.frozen.count == 2


async def test_the_newest_picture_has_an_age(on_air, statistics, wait_until):
    host, viewers = on_air
    await pictures(host, viewers, wait_until, 3)

    age = statistics.show(DEMO, now_ms()).host.newest_frame_age_ms
    assert age is not None
    assert 0 <= age < 60_000
