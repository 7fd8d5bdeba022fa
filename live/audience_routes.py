"""Reactions, polls, questions and announcements over HTTP.

Owns: what each operation takes and answers. A handler decodes, calls its service, encodes; nothing is decided here.
"""

from typing import Any

from starlette.routing import BaseRoute

from schema.api import Answer, Call, Operation, route
from schema.audience import (
    Announcement,
    AnnouncementRequest,
    AnsweredRequest,
    AskRequest,
    Poll,
    PollPage,
    PollRequest,
    Question,
    QuestionPage,
    QuestionState,
    VoteRequest,
)
from schema.errors import (
    BadRequest,
    Banned,
    Conflict,
    Invalid,
    LinksNotAllowed,
    MessageBlocked,
    Muted,
    NotFound,
    RateLimited,
    Unavailable,
)
from schema.ids import PollId, QuestionId, ShowId
from schema.people import Role

_BODY = (BadRequest, Invalid)


def _show(call: Call[Any]) -> ShowId:
    return ShowId(call.path("show"))


OPEN_POLL = Operation(
    name="openPoll",
    method="POST",
    path="/api/v1/shows/{show}/polls",
    summary="Ask the audience; one poll at a time.",
    role=Role.MODERATOR,
    body=PollRequest,
    answers={201: Poll},
    errors=(*_BODY, NotFound, Conflict, Unavailable),
    tag="audience",
)


async def open_poll(call: Call[PollRequest]) -> Answer:
    """POST /api/v1/shows/{show}/polls."""
    state = call.request.state
    poll: Poll = await state.polls.open(call.who, _show(call), call.body)
    await state.boards.look()
    return Answer(status=201, body=poll, headers={"Location": f"/api/v1/shows/{_show(call)}/polls/{poll.poll_id}"})


CLOSE_POLL = Operation(
    name="closePoll",
    method="POST",
    path="/api/v1/shows/{show}/polls/{poll}/close",
    summary="Close a poll; its result stays. Twice is once.",
    role=Role.MODERATOR,
    answers={200: Poll},
    errors=(NotFound, Unavailable),
    tag="audience",
)


async def close_poll(call: Call[None]) -> Answer:
    """POST /api/v1/shows/{show}/polls/{poll}/close."""
    state = call.request.state
    poll: Poll = await state.polls.close(_show(call), PollId(call.path("poll")))
    await state.boards.look()
    return Answer(body=poll)


LIST_POLLS = Operation(
    name="listPolls",
    method="GET",
    path="/api/v1/shows/{show}/polls",
    summary="A show's polls, the newest first. Staff see counts that viewers do not see yet.",
    answers={200: PollPage},
    tag="audience",
)


async def list_polls(call: Call[None]) -> Answer:
    """GET /api/v1/shows/{show}/polls."""
    who, show = call.principal, _show(call)
    staff = who is not None and who.role.covers(Role.MODERATOR) and who.show_id in {None, show}
    return Answer(body=await call.request.state.polls.page(show, shown=not staff))


VOTE = Operation(
    name="voteInPoll",
    method="PUT",
    path="/api/v1/shows/{show}/polls/{poll}/vote",
    summary="One's vote; while the poll is open another one takes its place.",
    role=Role.VIEWER,
    body=VoteRequest,
    answers={204: None},
    errors=(*_BODY, Conflict, Banned, RateLimited, Unavailable),
    tag="audience",
)


async def vote(call: Call[VoteRequest]) -> Answer:
    """PUT /api/v1/shows/{show}/polls/{poll}/vote."""
    polls = call.request.state.polls
    await polls.vote(call.who, _show(call), PollId(call.path("poll")), call.body.option)
    return Answer(status=204)


ASK = Operation(
    name="askQuestion",
    method="POST",
    path="/api/v1/shows/{show}/questions",
    summary="Ask the host something; three open questions an account.",
    role=Role.VIEWER,
    body=AskRequest,
    answers={201: Question},
    errors=(*_BODY, NotFound, Conflict, Muted, Banned, MessageBlocked, LinksNotAllowed, RateLimited, Unavailable),
    tag="audience",
)


async def ask(call: Call[AskRequest]) -> Answer:
    """POST /api/v1/shows/{show}/questions."""
    question: Question = await call.request.state.questions.ask(call.who, _show(call), call.body.text)
    return Answer(status=201, body=question)


LIST_QUESTIONS = Operation(
    name="listQuestions",
    method="GET",
    path="/api/v1/shows/{show}/questions",
    summary="A show's open questions, those with most votes first, or the answered ones in the order of their answers.",
    answers={200: QuestionPage},
    query={"state": "open (without) or answered"},
    errors=(Invalid,),
    tag="audience",
)


async def list_questions(call: Call[None]) -> Answer:
    """GET /api/v1/shows/{show}/questions."""
    state = call.request.query_params.get("state", "open")
    if state not in {QuestionState.OPEN, QuestionState.ANSWERED}:
        raise Invalid("state is open or answered", pointer="/state")
    return Answer(body=await call.request.state.questions.page(_show(call), QuestionState(state)))


WANT = Operation(
    name="voteForQuestion",
    method="PUT",
    path="/api/v1/shows/{show}/questions/{question}/vote",
    summary="Want a question answered, too; twice is once.",
    role=Role.VIEWER,
    answers={204: None},
    errors=(Conflict, Banned, RateLimited, Unavailable),
    tag="audience",
)


async def want(call: Call[None]) -> Answer:
    """PUT /api/v1/shows/{show}/questions/{question}/vote."""
    questions = call.request.state.questions
    await questions.want(call.who, _show(call), QuestionId(call.path("question")))
    return Answer(status=204)


ANSWERED = Operation(
    name="answerQuestion",
    method="PUT",
    path="/api/v1/shows/{show}/questions/{question}/answered",
    summary="The host answers a question now; it leaves the queue, and keeps the moment of the video.",
    role=Role.HOST,
    body=AnsweredRequest,
    body_optional=True,
    answers={200: Question},
    errors=(*_BODY, NotFound, Unavailable),
    tag="audience",
)


async def answered(call: Call[AnsweredRequest]) -> Answer:
    """PUT /api/v1/shows/{show}/questions/{question}/answered."""
    state, show = call.request.state, _show(call)
    captured_at_ms = state.relay.capture_ms(show, call.body.captured_at_ms)  # first of all: the video goes on
    question: Question = await state.questions.answer(show, QuestionId(call.path("question")), captured_at_ms)
    await state.boards.look()
    return Answer(body=question)


DISMISS = Operation(
    name="dismissQuestion",
    method="DELETE",
    path="/api/v1/shows/{show}/questions/{question}",
    summary="Take a question away, unanswered; twice is once.",
    role=Role.MODERATOR,
    answers={204: None},
    errors=(NotFound, Unavailable),
    tag="audience",
)


async def dismiss(call: Call[None]) -> Answer:
    """DELETE /api/v1/shows/{show}/questions/{question}."""
    state = call.request.state
    await state.questions.dismiss(_show(call), QuestionId(call.path("question")))
    await state.boards.look()
    return Answer(status=204)


ANNOUNCE = Operation(
    name="announce",
    method="PUT",
    path="/api/v1/shows/{show}/announcement",
    summary="Tell everybody who watches or comes later, in the place of what was announced before.",
    role=Role.HOST,
    body=AnnouncementRequest,
    answers={200: Announcement},
    errors=(*_BODY, NotFound, Unavailable),
    tag="audience",
)


async def announce(call: Call[AnnouncementRequest]) -> Answer:
    """PUT /api/v1/shows/{show}/announcement."""
    return Answer(body=await call.request.state.announcements.announce(call.who, _show(call), call.body))


END_ANNOUNCEMENT = Operation(
    name="endAnnouncement",
    method="DELETE",
    path="/api/v1/shows/{show}/announcement",
    summary="Announce nothing any more; nothing announced is no mistake.",
    role=Role.HOST,
    answers={204: None},
    errors=(Unavailable,),
    tag="audience",
)


async def end_announcement(call: Call[None]) -> Answer:
    """DELETE /api/v1/shows/{show}/announcement."""
    await call.request.state.announcements.end(_show(call))
    return Answer(status=204)


routes: list[BaseRoute] = [
    route(OPEN_POLL, open_poll),
    route(CLOSE_POLL, close_poll),
    route(LIST_POLLS, list_polls),
    route(VOTE, vote),
    route(ASK, ask),
    route(LIST_QUESTIONS, list_questions),
    route(WANT, want),
    route(ANSWERED, answered),
    route(DISMISS, dismiss),
    route(ANNOUNCE, announce),
    route(END_ANNOUNCEMENT, end_announcement),
]
