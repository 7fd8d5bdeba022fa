"""What pages say: counted, bounded, forgotten."""

import pytest

from media import reports as module
from media.reports import MAX_RECENT, OTHERS, PAUSE_MS, RECENT_MS, Report, Reports, ShowReports
from schema.errors import RateLimited
from schema.ids import AccountId, SessionId, ShowId
from schema.media import Spread
from schema.wire import Watched

ANN, SHOW = AccountId("ann"), ShowId("demo")


def watched(frozen_ms=0, age_ms=None, session=""):
    return Watched(watched_ms=10_000, frozen_ms=frozen_ms, age_ms=age_ms, session=session)


def test_reports_become_the_spread_of_the_last_minute_and_histograms():
    reports = Reports()
    for number in range(20):
        reports.heard(AccountId(f"a{number}"), SHOW, watched(frozen_ms=100 * number, age_ms=10 * number), 1000 + number)
    frozen, age_ms = reports.shows[SHOW].spreads(2000)
    assert frozen == Spread(count=20, p50=0.1, p95=0.19)
    assert age_ms == Spread(count=20, p50=100, p95=190)
    assert reports.shows[SHOW].frozen.count == 20
    assert reports.shows[SHOW].age.total == pytest.approx(1.9)
    assert reports.shows[SHOW].spreads(1000 + RECENT_MS + 20) == (Spread(), Spread())


def test_an_age_that_nobody_knows_is_not_counted():
    reports = Reports()
    reports.heard(ANN, SHOW, watched(), 1000)
    frozen, age_ms = reports.shows[SHOW].spreads(1000)
    assert (frozen.count, age_ms.count, reports.shows[SHOW].age.count) == (1, 0, 0)


def test_more_frozen_than_watched_is_all_of_it():
    reports = Reports()
    reports.heard(ANN, SHOW, watched(frozen_ms=90_000), 1000)
    assert reports.shows[SHOW].spreads(1000)[0].p50 == 1.0


def test_a_report_that_comes_too_soon_is_refused_and_changes_nothing():
    reports = Reports()
    reports.heard(ANN, SHOW, watched(session="sub_1"), 1000)
    with pytest.raises(RateLimited) as refused:
        reports.heard(ANN, SHOW, watched(frozen_ms=9000, session="sub_1"), 1000 + PAUSE_MS - 300)
    assert refused.value.retry_after_ms == 300
    assert reports.shows[SHOW].frozen.count == 1
    assert reports.sessions[ANN, SessionId("sub_1")].frozen == 0
    reports.heard(ANN, SHOW, watched(), 1000 + PAUSE_MS)


def test_a_report_speaks_for_its_own_accounts_session_alone():
    reports = Reports()
    reports.heard(AccountId("eve"), SHOW, watched(frozen_ms=10_000, session="sub_of_ann"), 1000)
    assert reports.sessions.get((ANN, SessionId("sub_of_ann"))) is None


def test_what_is_remembered_of_accounts_and_sessions_is_bounded(monkeypatch):
    monkeypatch.setattr(module, "MAX_ACCOUNTS", 10)
    reports = Reports()
    for number in range(50):
        reports.heard(AccountId(f"a{number}"), SHOW, watched(session="s"), 1000)
    assert len(reports._last) == 10
    assert len(reports.sessions) == 10
    assert reports.shows[SHOW].frozen.count == 50


def test_what_a_show_remembers_is_bounded():
    show = ShowReports()
    for _ in range(MAX_RECENT + 10):
        show.add(Report(1000, 0.5, 1))
    assert show.spreads(1000)[0].count == MAX_RECENT


def test_shows_beyond_the_bound_are_counted_together(monkeypatch):
    monkeypatch.setattr(module, "MAX_SHOWS", 2)
    reports = Reports()
    for number in range(5):
        reports.heard(AccountId(f"a{number}"), ShowId(f"show{number}"), watched(), 1000)
    assert set(reports.shows) == {"show0", "show1", OTHERS}
    assert reports.shows[OTHERS].frozen.count == 3


def test_what_is_over_is_forgotten():
    reports = Reports()
    reports.heard(ANN, SHOW, watched(session="sub_1"), 1000)
    reports.forget({SHOW}, 1000 + RECENT_MS)
    assert reports.sessions
    reports.forget({SHOW}, 1001 + RECENT_MS)
    assert reports.sessions == {}
    assert SHOW in reports.shows
    reports.forget(set(), 1001 + RECENT_MS)
    assert reports.shows == {}
