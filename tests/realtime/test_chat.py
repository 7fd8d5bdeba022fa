import asyncio

import pytest
from websockets.exceptions import InvalidStatus

from realtime import chat
from realtime.chat import ChatService
from realtime.core.chat import Rules as Decided
from realtime.core.chat import Ruling
from schema.errors import (
    Banned,
    Forbidden,
    Invalid,
    LinksNotAllowed,
    MessageBlocked,
    Muted,
    NotFound,
    RateLimited,
    Unavailable,
)
from schema.ids import AccountId, MessageId, ShowId, new_id
from schema.moderation import SanctionKind
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


class Slow:
    """Rules that take as long as the test wants; counts who asks at once."""

    def __init__(self, rules):
        self.rules_of, self.open, self.inside, self.most = rules.rules, asyncio.Event(), 0, 0

    async def __call__(self, show):
        self.inside += 1
        self.most = max(self.most, self.inside)
        await self.open.wait()
        self.inside -= 1
        return await self.rules_of(show)


async def test_of_a_flood_few_are_decided_at_once_and_the_staff_do_not_wait_behind_it(
    running, show, monkeypatch, until
):
    slow = Slow(running.rules)
    monkeypatch.setattr(running.rules, "rules", slow)
    flood = [running.chat.say(who(Role.VIEWER, f"v{n}"), ShowId(show), "me!") for n in range(60)]
    saying = asyncio.gather(*flood)
    await until(lambda: slow.inside == chat.UNDER_WAY_MAX)
    host = asyncio.create_task(running.chat.say(who(Role.HOST), ShowId(show), "quiet, please"))
    await until(lambda: slow.inside == chat.UNDER_WAY_MAX + 1)
    slow.open.set()
    assert len(await saying) == 60
    assert (await host).id
    assert slow.most == chat.UNDER_WAY_MAX + 1


async def test_who_gets_no_turn_in_time_is_told_so_and_may_try_again(running, show, monkeypatch, until):
    slow = Slow(running.rules)
    monkeypatch.setattr(running.rules, "rules", slow)
    monkeypatch.setattr(chat, "TURN_S", 0.05)
    first = [
        asyncio.create_task(running.chat.say(who(Role.VIEWER, f"v{n}"), ShowId(show), "me!"))
        for n in range(chat.UNDER_WAY_MAX)
    ]
    await until(lambda: slow.inside == chat.UNDER_WAY_MAX)
    with pytest.raises(Unavailable):
        await running.chat.say(who(Role.VIEWER, "late"), ShowId(show), "me too")
    slow.open.set()
    await asyncio.gather(*first)
    assert (await running.chat.say(who(Role.VIEWER, "late"), ShowId(show), "me too")).id


async def test_a_message_that_could_not_be_published_is_refused(running, show, monkeypatch):
    async def down(_):
        raise ConnectionError("no route")

    monkeypatch.setattr(running.hub._broker._only.sender, "_execute", down)
    with pytest.raises(Unavailable):
        await running.chat.say(who(Role.VIEWER), ShowId(show), "x")


def sanctioned(kind: SanctionKind, name: str = "ann", until_ms: int | None = None) -> Decided:
    return Decided(sanctions={AccountId(f"acc_{name}"): Ruling(kind, until_ms)})


async def test_who_is_muted_is_told_and_the_staff_are_above_it(running, show):
    running.rules.decided = sanctioned(SanctionKind.MUTE)
    with pytest.raises(Muted):
        await running.chat.say(who(Role.VIEWER), ShowId(show), "x")
    await running.chat.admit(who(Role.VIEWER), ShowId(show))
    await running.chat.say(who(Role.MODERATOR), ShowId(show), "x")
    running.rules.decided = sanctioned(SanctionKind.MUTE, until_ms=1)
    await running.chat.say(who(Role.VIEWER), ShowId(show), "it is over")


async def test_a_shadow_banned_message_comes_back_to_its_author_in_every_tab_and_to_nobody_else(
    running, second, show, until
):
    running.rules.decided = sanctioned(SanctionKind.SHADOW_BAN)
    author, other_tab = await running.join(show), await second.join(show, binary=True)
    other = await running.join(show, "bob")
    accepted = await running.chat.say(who(Role.VIEWER), ShowId(show), "buy mine instead")
    await until(lambda: author.private and other_tab.private)
    assert [one["text"] for one in author.private + other_tab.private] == ["buy mine instead"] * 2
    assert author.private[0]["id"] == accepted.id
    await running.chat.say(who(Role.VIEWER, "bob"), ShowId(show), "hello")
    await other.until(lambda one: one.texts() == ["hello"])
    assert other.private == []
    assert [one.text for one in await running.chat.history(ShowId(show))] == ["hello"]


async def test_who_is_banned_is_sent_away_everywhere_and_not_let_in_again(running, second, show, until):
    tabs = [await running.join(show), await second.join(show)]
    bystander = await second.join(show, "bob")
    for server in (running, second):
        server.rules.decided = sanctioned(SanctionKind.BAN)
    await running.hub.dismiss(ShowId(show), AccountId("acc_ann"))
    await until(lambda: all(tab.code == Banned.close_code for tab in tabs))
    with pytest.raises(Banned):
        await running.chat.say(who(Role.VIEWER), ShowId(show), "x")
    with pytest.raises(InvalidStatus) as refused:
        await second.join(show)
    assert refused.value.response.status_code == 403
    assert bystander.code is None


async def test_a_blocked_word_costs_no_turn_and_the_staff_may_say_it(running, show):
    running.rules.slow_ms = 60_000
    running.rules.decided = Decided(languages=("english",), blocked=("rolexx",))
    for text in ("rоlехх", "s h i t"):  # noqa: RUF001
        with pytest.raises(MessageBlocked):
            await running.chat.say(who(Role.VIEWER), ShowId(show), text)
    await running.chat.say(who(Role.VIEWER), ShowId(show), "lovely")
    await running.chat.say(who(Role.MODERATOR), ShowId(show), "no rolexx here")


async def test_links_are_for_those_whom_the_show_lets(running, show):
    running.rules.decided = Decided(links_from=Role.HOST)
    for role in (Role.VIEWER, Role.MODERATOR):
        with pytest.raises(LinksNotAllowed):
            await running.chat.say(who(role), ShowId(show), "see https://shop.example")
    await running.chat.say(who(Role.HOST), ShowId(show), "see https://shop.example")


async def test_a_reply_shows_what_it_answers(running, show, say, until):
    asked = await say("is it dishwasher safe?" + "?" * 200)
    client = await running.join(show, "bob")
    await running.chat.say(who(Role.HOST, "host"), ShowId(show), "yes", reply_to=asked.id)
    await client.until(lambda one: one.texts()[-1:] == ["yes"])
    answered = client.events[-1]["reply_to"]
    assert (answered["id"], answered["name"], len(answered["text"])) == (asked.id, "ann", 80)
    with pytest.raises(Invalid):
        await running.chat.say(who(Role.VIEWER), ShowId(show), "to whom?", reply_to=new_id("msg"))


async def test_what_one_account_said_is_taken_down_at_once(running, show, say):
    for number in range(60):  # more than newcomers are shown
        await say(f"spam {number}", name="spammer" if number % 2 else "ann")
    client = await running.join(show, "bob")
    assert await running.chat.take_down(ShowId(show), AccountId("acc_spammer")) == 30
    await client.until(lambda one: sum(event["t"] == "chat_deleted" for event in one.events) == 30)
    assert {one.name for one in await running.chat.history(ShowId(show))} == {"ann"}
    assert len(running.rules.forgotten) == 30


async def test_above_the_cap_everybody_sees_the_same_sample_and_authors_their_own(running, second, show, until):
    readers = [await running.join(show, "reader"), await second.join(show, "reader2")]
    crowd = [(who(Role.VIEWER, f"fan{number}"), await running.join(show, f"fan{number}")) for number in range(20)]
    capped = ChatService(running.hub, running.limits, running.rules, most_a_second=20)
    said = [await capped.say(fan, ShowId(show), f"{number} of {fan.name}") for number in range(3) for fan, _ in crowd]
    await capped.say(who(Role.HOST, "host"), ShowId(show), "the staff are always heard")
    await until(lambda: all(reader.texts()[-1:] == ["the staff are always heard"] for reader in readers))
    shown = [event["id"] for event in readers[0].events]
    assert shown == [event["id"] for event in readers[1].events]
    assert 20 <= len(shown) < len(said)
    assert readers[0].offsets() == list(range(1, len(shown) + 1))  # what was left out leaves no hole

    def own(fan: Principal, client) -> list[str]:
        events = client.private + [event for event in client.events if event["name"] == fan.name]
        return sorted(event["text"] for event in events)

    await until(lambda: all(own(fan, client) == [f"{n} of {fan.name}" for n in range(3)] for fan, client in crowd))


async def test_below_the_cap_nothing_is_left_out_however_it_bunches(running, show):
    capped = ChatService(running.hub, running.limits, running.rules, most_a_second=60)
    reader = await running.join(show, "reader")
    for number in range(60):
        await capped.say(who(Role.VIEWER), ShowId(show), str(number))
    await reader.until(lambda one: len(one.texts()) == 60)
