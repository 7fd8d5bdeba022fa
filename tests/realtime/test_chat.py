import asyncio

import pytest

from schema.errors import Forbidden, Invalid, NotFound, RateLimited, Unavailable
from schema.ids import AccountId, MessageId, ShowId, new_id
from schema.people import Principal, Role


def who(role: Role, name: str = "ann") -> Principal:
    return Principal(account_id=AccountId(f"acc_{name}"), role=role, name=name)


async def test_history_is_what_is_still_up(running, show, say):
    for text in ("one", "two", "three"):
        last = await say(text)
    await running.chat.delete(who(Role.HOST), ShowId(show), last.id)
    assert [one.text for one in await running.chat.history(ShowId(show))] == ["one", "two"]


async def test_of_many_tries_at_once_slow_mode_lets_one_through(running, second, show):
    for server in (running, second):
        server.rules.slow_ms = 60_000
    tries = [server.chat.say(who(Role.VIEWER), ShowId(show), "me") for server in (running, second) * 10]
    answers = await asyncio.gather(*tries, return_exceptions=True)
    assert sum(isinstance(one, RateLimited) for one in answers) == 19
    assert len(await running.chat.history(ShowId(show))) == 1


async def test_a_refused_text_takes_no_turn(running, show):
    running.rules.slow_ms = 60_000
    with pytest.raises(Invalid):
        await running.chat.say(who(Role.VIEWER), ShowId(show), " ")
    assert (await running.chat.say(who(Role.VIEWER), ShowId(show), "x")).offset == 1


async def test_a_viewer_deletes_nothing_and_nothing_is_deleted_twice(running, show, say):
    said = await say("stays")
    with pytest.raises(Forbidden):
        await running.chat.delete(who(Role.VIEWER), ShowId(show), said.id)
    assert len(await running.chat.history(ShowId(show))) == 1
    await running.chat.delete(who(Role.OPERATOR), ShowId(show), said.id)
    with pytest.raises(NotFound):
        await running.chat.delete(who(Role.OPERATOR), ShowId(show), said.id)
    for unknown in (new_id("msg"), "msg_" + "0" * 26, "msg_1", 'x"'):
        with pytest.raises(NotFound):
            await running.chat.delete(who(Role.OPERATOR), ShowId(show), MessageId(unknown))


async def test_a_message_that_could_not_be_published_is_refused(running, show, monkeypatch):
    async def down(_):
        raise ConnectionError("no route")

    monkeypatch.setattr(running.hub._broker, "_execute", down)
    with pytest.raises(Unavailable):
        await running.chat.say(who(Role.VIEWER), ShowId(show), "x")
