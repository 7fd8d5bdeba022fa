"""realtime's `Audience`: what is done on the socket beside talking, carried out by those who know how.

Owns: nothing.
"""

from live.polls import Polls
from live.questions import Questions
from realtime.reactions import Reactions
from schema.audience import Reaction
from schema.ids import PollId, QuestionId, ShowId
from schema.people import Principal


class Audience:
    """Over reactions, polls and questions."""

    def __init__(self, reactions: Reactions, polls: Polls, questions: Questions) -> None:
        self._reactions, self._polls, self._questions = reactions, polls, questions

    async def react(self, principal: Principal, show_id: ShowId, kind: Reaction, count: int) -> None:
        """Count reactions."""
        await self._reactions.react(principal, show_id, kind, count)

    async def vote(self, principal: Principal, show_id: ShowId, poll: PollId, option: int) -> None:
        """Vote in a poll."""
        await self._polls.vote(principal, show_id, poll, option)

    async def ask(self, principal: Principal, show_id: ShowId, text: str) -> QuestionId:
        """Ask the host."""
        return (await self._questions.ask(principal, show_id, text)).question_id

    async def want(self, principal: Principal, show_id: ShowId, question: QuestionId) -> None:
        """Vote for a question."""
        await self._questions.want(principal, show_id, question)
