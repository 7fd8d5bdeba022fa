"""Questions to the host: a queue that the audience sorts by its votes.

Owns: the tables questions and question_votes.
Invariant: one vote an account and question, which PostgreSQL's key holds; what is asked passes the rules of the chat; a
question of somebody under a shadow ban is seen by nobody else.
"""

import time
from collections.abc import Mapping

import asyncpg

from live.batch import Batch
from live.ports import Limiter, Room
from live.queries import sql
from live.turns import Pool
from realtime.core.chat import clean, is_open_to, may_be_said, may_speak
from schema.audience import QUESTION_MAX_CHARS, Question, QuestionPage, QuestionShown, QuestionState
from schema.errors import Conflict, Invalid, NotFound
from schema.ids import AccountId, QuestionId, ShowId, new_id
from schema.people import Principal

SHOWN_MAX = 20
PAGE_MAX = 100
OF_ACCOUNT_MAX, OF_SHOW_MAX = 3, 1000
"""Open ones."""

_Ballot = tuple[ShowId, QuestionId, AccountId]


class Questions:
    """One per process; its owner runs `votes.run`."""

    def __init__(self, pool: Pool, limiter: Limiter, room: Room) -> None:
        self._pool, self._limiter, self._room = pool, limiter, room
        self.votes: Batch[_Ballot, None] = Batch(self.cast)

    async def ask(self, who: Principal, show: ShowId, text: str) -> Question:
        """Ask the host.

        Raises NotFound, Invalid, ChatClosed, Muted, Banned, MessageBlocked, LinksNotAllowed, RateLimited, Conflict (too
        many open).
        """
        asked = " ".join(clean(text).split())
        if len(asked) > QUESTION_MAX_CHARS:
            raise Invalid(f"A question may have {QUESTION_MAX_CHARS} characters", pointer="/text")
        rules, now_ms = await self._room.rules(show), time.time_ns() // 1_000_000
        is_open_to(who.role, rules)
        ruling = rules.ruling(who.account_id, who.role, now_ms)
        may_speak(ruling, now_ms)
        may_be_said(asked, who.role, rules)
        await self._limiter.check("ask", who.account_id)
        question = QuestionId(new_id("q"))
        values = (who.account_id, who.name, asked, ruling is not None, OF_ACCOUNT_MAX, OF_SHOW_MAX)
        at_ms = await self._pool.fetchval(sql("question_insert"), question, show, *values)
        if at_ms is None:
            raise Conflict("There are too many open questions; wait for an answer")
        return Question(
            question_id=question, account_id=who.account_id, name=who.name, text=asked, votes=0, asked_at_ms=at_ms
        )

    async def want(self, who: Principal, show: ShowId, question: QuestionId) -> None:
        """Vote for a question; twice is once. Raises Conflict (it is not open), RateLimited, Banned, Unavailable."""
        await self._room.admit(who, show)
        await self._limiter.check("vote", who.account_id)
        if not await self.votes.put((show, question, who.account_id), None):
            raise Conflict("This question is not open")

    async def cast(self, votes: Mapping[_Ballot, None]) -> set[_Ballot]:
        """Write some votes; those that count, also of before."""
        shows, questions, accounts = zip(*votes, strict=True)
        await self._pool.execute(sql("question_votes_cast"), shows, questions, accounts)
        rows = await self._pool.fetch(sql("question_votes_known"), questions, accounts)
        show_of = dict(zip(questions, shows, strict=True))
        return {(show_of[row["question_id"]], row["question_id"], row["account_id"]) for row in rows}

    async def answer(self, show: ShowId, question: QuestionId, captured_at_ms: int | None) -> Question:
        """Mark a question answered, at this moment of the show; twice keeps the first one's. Raises NotFound."""
        if await self._pool.fetchval(sql("question_answer"), show, question, captured_at_ms) is None:
            raise NotFound("There is no such question")
        row = await self._pool.fetchrow(sql("questions_page"), show, QuestionState.ANSWERED, question, 1)
        if row is None:
            raise NotFound("There is no such question")
        return _question(row)

    async def dismiss(self, show: ShowId, question: QuestionId) -> None:
        """Take a question away; twice is once. Raises NotFound."""
        if await self._pool.fetchval(sql("question_dismiss"), show, question) is None:
            raise NotFound("There is no such question")

    async def dismiss_of(self, show: ShowId, account: AccountId) -> None:
        """Take away what somebody asked."""
        await self._pool.execute(sql("questions_dismiss_of"), show, account)

    async def page(self, show: ShowId, state: QuestionState) -> QuestionPage:
        """The open questions by votes, or the answered ones in the order of their answers."""
        rows = await self._pool.fetch(sql("questions_page"), show, state, None, PAGE_MAX)
        return QuestionPage(items=[_question(row) for row in rows])

    async def now(self) -> dict[tuple[ShowId, str], object]:
        """The open questions with most votes of each show, by state key; apart from their votes, which change more."""
        shown: dict[tuple[ShowId, str], list[QuestionShown]] = {}
        votes: dict[tuple[ShowId, str], dict[str, int]] = {}
        for row in await self._pool.fetch(sql("questions_now"), SHOWN_MAX):
            show, question = ShowId(row["show_id"]), row["question_id"]
            one = QuestionShown(question_id=question, name=row["name"], text=row["text"])
            shown.setdefault((show, "questions"), []).append(one)
            votes.setdefault((show, "question_votes"), {})[question] = row["votes"]
        # In the order of their birth: whoever overtakes whom is the votes' business, and this list's none.
        ordered = {key: sorted(list_, key=lambda one: one.question_id) for key, list_ in shown.items()}
        return {**ordered, **votes}


def _question(row: asyncpg.Record) -> Question:
    return Question(
        question_id=row["question_id"],
        account_id=row["account_id"],
        name=row["name"],
        text=row["text"],
        votes=row["votes"],
        asked_at_ms=row["asked_at_ms"],
        state=QuestionState(row["state"]),
        answered_at_ms=row["answered_at_ms"],
        captured_at_ms=row["captured_at_ms"],
    )
