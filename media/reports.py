"""What viewers' pages say of their picture: how long it stood still, how old it was.

Only a page knows that. Each sends a small report now and then; here it becomes two histograms and the spread of the
last minute. Nobody's reports are kept: of a session only the last, and that goes with it.

Owns: the reports of the last minute, and who reported when.
Invariant: at most one report in five seconds counts for an account; all memory is bounded; a report is what a stranger
says, so it decides nothing.
"""

from collections import OrderedDict, deque
from typing import Final, NamedTuple

from media.core.histogram import SECONDS, SHARES, Histogram
from media.shares import spread
from schema.errors import RateLimited
from schema.ids import AccountId, SessionId, ShowId
from schema.media import Spread
from schema.wire import Watched

PAUSE_MS: Final = 5_000
RECENT_MS: Final = 60_000
MAX_RECENT: Final = 4_096
MAX_ACCOUNTS: Final = 10_000
MAX_SHOWS: Final = 64
"""Of which histograms are kept; more are counted together."""
OTHERS: Final = ShowId("_other")


class Report(NamedTuple):
    """One page's last seconds."""

    at_ms: int
    frozen: float
    age_ms: int | None


class ShowReports:
    """One show's."""

    def __init__(self) -> None:
        self.frozen = Histogram(SHARES)
        self.age = Histogram(SECONDS)
        self._recent: deque[Report] = deque(maxlen=MAX_RECENT)

    def add(self, report: Report) -> None:
        self._recent.append(report)
        self.frozen.observe(report.frozen)
        if report.age_ms is not None:
            self.age.observe(report.age_ms / 1000)

    def spreads(self, now_ms: int) -> tuple[Spread, Spread]:
        """Share of frozen time, and age in milliseconds, over the last minute."""
        frozen, ages = self.recent(now_ms)
        return spread(frozen), spread(ages)

    def recent(self, now_ms: int) -> tuple[list[float], list[int]]:
        """The same, each by itself."""
        recent = [one for one in self._recent if now_ms - one.at_ms <= RECENT_MS]
        return [one.frozen for one in recent], [one.age_ms for one in recent if one.age_ms is not None]


class Reports:
    """All shows' of this process."""

    def __init__(self) -> None:
        self.shows: dict[ShowId, ShowReports] = {}
        self.sessions: dict[tuple[AccountId, SessionId], Report] = {}
        """Each account's word on a session that it says is its own; who asks for a session names both."""
        self._last: OrderedDict[AccountId, int] = OrderedDict()

    def heard(self, account: AccountId, show: ShowId, watched: Watched, now_ms: int) -> None:
        """Count a report. Raises RateLimited for one that comes too soon."""
        wait_ms = self._last.get(account, now_ms - PAUSE_MS) + PAUSE_MS - now_ms
        if wait_ms > 0:
            raise RateLimited(retry_after_ms=wait_ms)
        self._last[account] = now_ms
        self._last.move_to_end(account)
        if len(self._last) > MAX_ACCOUNTS:
            self._last.popitem(last=False)
        report = Report(now_ms, min(1.0, watched.frozen_ms / watched.watched_ms), watched.age_ms)
        self._of(show).add(report)
        if watched.session and len(self.sessions) < MAX_ACCOUNTS:
            self.sessions[account, SessionId(watched.session)] = report

    def _of(self, show: ShowId) -> ShowReports:
        name = show if show in self.shows or len(self.shows) < MAX_SHOWS else OTHERS
        return self.shows.setdefault(name, ShowReports())

    def forget(self, shows: set[ShowId], now_ms: int) -> None:
        """Keep only what belongs to these shows, and of sessions what was said in the last minute."""
        for name in list(self.shows):
            if name not in shows and name != OTHERS and not self.shows[name].spreads(now_ms)[0].count:
                del self.shows[name]
        for key, report in list(self.sessions.items()):
            if now_ms - report.at_ms > RECENT_MS:
                del self.sessions[key]
