"""Polls: the audience is asked, everybody has one vote, and the counts are shown once there are enough.

Owns: the tables polls and poll_votes.
Invariant: one vote an account, which PostgreSQL's key holds; it may be changed while the poll is open, and the counts
are those of the rows. A show has one open poll. What viewers see has no counts below the poll's own threshold.
"""

from collections.abc import Mapping

import asyncpg
from msgspec.structs import replace

from live.batch import Batch
from live.ports import Limiter, Room
from live.queries import sql
from live.turns import Pool
from schema.audience import Poll, PollPage, PollRequest
from schema.errors import Conflict, Invalid, NotFound
from schema.ids import AccountId, PollId, ShowId, new_id
from schema.people import Principal

PAGE_MAX = 50

_Ballot = tuple[ShowId, PollId, AccountId]


class Polls:
    """One per process; its owner runs `votes.run`."""

    def __init__(self, pool: Pool, limiter: Limiter, room: Room) -> None:
        self._pool, self._limiter, self._room = pool, limiter, room
        self.votes: Batch[_Ballot, int] = Batch(self.cast)

    async def open(self, who: Principal, show: ShowId, asked: PollRequest) -> Poll:
        """Open a poll. Raises NotFound, Conflict while another is open, Invalid where two options are the same."""
        options = [option.strip() for option in asked.options]
        if not all(options) or len({option.casefold() for option in options}) < len(options):
            raise Invalid("Options need a text each, and not the same one", pointer="/options")
        poll = PollId(new_id("poll"))
        lasts_ms = None if asked.duration_s is None else asked.duration_s * 1000
        values = (asked.question.strip(), options, asked.hide_below, who.account_id, lasts_ms)
        try:
            await self._pool.execute(sql("poll_insert"), poll, show, *values)
        except asyncpg.UniqueViolationError:
            raise Conflict("A poll is open; close it first") from None
        except asyncpg.ForeignKeyViolationError:
            raise NotFound(f"There is no show {show}") from None
        return await self.get(show, poll)

    async def close(self, show: ShowId, poll: PollId) -> Poll:
        """Close a poll; twice is once. Raises NotFound."""
        await self._pool.fetchval(sql("poll_close"), show, poll)
        return await self.get(show, poll)

    async def get(self, show: ShowId, poll: PollId) -> Poll:
        """A poll with its counts, whatever its threshold. Raises NotFound."""
        row = await self._pool.fetchrow(sql("polls_page"), show, poll, 1)
        if row is None:
            raise NotFound("There is no such poll in this show")
        return _poll(row)

    async def page(self, show: ShowId, *, shown: bool) -> PollPage:
        """A show's polls, the newest first; `shown`: as viewers may see them."""
        rows = await self._pool.fetch(sql("polls_page"), show, None, PAGE_MAX)
        return PollPage(items=[(_shown if shown else _poll)(row) for row in rows])

    async def vote(self, who: Principal, show: ShowId, poll: PollId, option: int) -> None:
        """Vote, or vote otherwise. Raises Conflict, RateLimited, Banned, Unavailable."""
        await self._room.admit(who, show)
        await self._limiter.check("vote", who.account_id)
        if not await self.votes.put((show, poll, who.account_id), option):
            raise Conflict("The poll is closed, or has no such option")

    async def cast(self, votes: Mapping[_Ballot, int]) -> set[_Ballot]:
        """Write some votes; those that count."""
        shows, polls, accounts = zip(*votes, strict=True)
        rows = await self._pool.fetch(sql("poll_votes_cast"), shows, polls, accounts, list(votes.values()))
        show_of = dict(zip(polls, shows, strict=True))
        return {(show_of[row["poll_id"]], row["poll_id"], row["account_id"]) for row in rows}

    async def now(self) -> dict[tuple[ShowId, str], object]:
        """The newest poll of each show as viewers see it, by state key. Closes those whose time is over."""
        await self._pool.execute(sql("polls_over"))
        return {(ShowId(row["show_id"]), "poll"): _shown(row) for row in await self._pool.fetch(sql("polls_now"))}


def _poll(row: asyncpg.Record) -> Poll:
    return Poll(
        poll_id=row["poll_id"],
        question=row["question"],
        options=row["options"],
        votes=sum(row["counts"]),
        counts=row["counts"],
        hide_below=row["hide_below"],
        opened_at_ms=row["opened_at_ms"],
        closes_at_ms=row["closes_at_ms"],
        closed_at_ms=row["closed_at_ms"],
    )


def _shown(row: asyncpg.Record) -> Poll:
    return shown(_poll(row))


def shown(poll: Poll) -> Poll:
    """The poll as viewers see it: with few votes one could tell who gave which."""
    return poll if poll.votes >= poll.hide_below else replace(poll, counts=None)
