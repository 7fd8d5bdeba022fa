"""The client for programs, against a real server that is cut off, ended, started again, and forgetful."""

import asyncio
import contextlib

import msgspec
import pytest

from realtime.client import CommandRefused, Other, OutOfTries, ShowClient, StayAway
from realtime.core.returning import pause_ms
from schema.errors import Banned
from schema.ids import AccountId, ShowId
from schema.wire import Chat, Event, SalesChanged


class Listener:
    """Iterates over a client, as a program does, and remembers."""

    def __init__(self, client):
        self.client, self.told, self.happened, self.state, self.ended = client, [], [], {}, None
        self.task = asyncio.create_task(self.listen())

    async def listen(self):
        try:
            async for told in self.client:
                self.told.append(told)
                if told.snapshot:
                    self.happened, self.state = [], {}
                self.happened += told.events
                self.state |= told.state
        except (StayAway, OutOfTries) as error:
            self.ended = error

    @property
    def texts(self):
        return [event.text for _, event in self.happened if isinstance(event, Chat)]

    @property
    def offsets(self):
        return [offset for offset, _ in self.happened]


@contextlib.asynccontextmanager
async def listening(running, show, *, name="ann", ticket=None, **more):
    async def issue():
        return running.tickets.issue(name)

    async with ShowClient(f"http://127.0.0.1:{running.port}", show, ticket=ticket or issue, **more) as client:
        listener = Listener(client)
        try:
            yield listener
        finally:
            listener.task.cancel()
            await asyncio.gather(listener.task, return_exceptions=True)


def cut(listener):
    """As a network does: without a close frame."""
    listener.client._socket.transport.abort()


async def test_it_begins_with_the_snapshot_and_hears_what_follows(running, show, say, until):
    await say("one")
    async with listening(running, show) as ann:
        await until(lambda: ann.texts == ["one"])
        assert (ann.told[0].snapshot, ann.told[0].recovered) == (True, None)
        await say("two")
        await until(lambda: ann.texts == ["one", "two"] and ann.state.get("viewers") == 1)
        assert ann.offsets == [1, 2]


async def test_what_was_said_while_it_was_cut_off_comes_once_and_in_order(running, show, say, until):
    async with listening(running, show) as ann:
        await until(lambda: ann.told)
        for number in range(30):
            if number % 10 == 5:
                await until(lambda: ann.client._socket)
                cut(ann)
            await say(f"{number}", name=f"speaker{number}")
        await until(lambda: len(ann.texts) == 30)
        assert ann.offsets == list(range(1, 31))
        assert ann.client.connections > 1
        assert {told.recovered for told in ann.told if told.recovered is not None} == {True}


class Shop:
    """A port behind which one server after the other stands."""

    def __init__(self, serve, redis_url):
        self.serve, self.redis_url, self.port, self.server = serve, redis_url, 0, None
        self.stack = contextlib.AsyncExitStack()

    async def open(self):
        self.server = await self.stack.enter_async_context(self.serve(self.redis_url, port=self.port))
        self.port = self.server.port

    async def close(self):
        await self.stack.aclose()

    async def ticket(self):
        return self.server.tickets.issue()


@pytest.fixture
async def shop(serve, redis_url):
    made = Shop(serve, redis_url)
    await made.open()
    yield made
    await made.close()


async def test_a_server_that_ends_says_when_to_come_back_and_is_obeyed(shop, running, show, say, until, monkeypatch):
    paused = []

    def note(attempt, chance, **more):
        paused.append((attempt, more["directed_ms"]))
        return pause_ms(attempt, chance, **more)

    monkeypatch.setattr("realtime.client.pause_ms", note)
    async with listening(shop.server, show, ticket=shop.ticket) as ann:
        await until(lambda: ann.told)
        await shop.close()
        await until(lambda: paused)
        await say("while it was away")
        await shop.open()
        await until(lambda: ann.texts == ["while it was away"])
    assert paused[0][0] == 0
    assert paused[0][1] is not None
    assert [directed for _, directed in paused[1:]] == [None] * (len(paused) - 1)
    assert ann.told[-1].recovered or ann.told[-2].recovered


async def test_a_server_that_forgot_everything_is_believed_by_its_snapshot(shop, show, redis, until):
    async with listening(shop.server, show, ticket=shop.ticket) as ann:
        await until(lambda: ann.told)
        await shop.server.hub.publish(ShowId(show), SalesChanged(open=True))
        await until(lambda: ann.offsets == [1])
        before = ann.told[-1].epoch
        await shop.close()
        await redis.flushdb()
        await shop.open()
        await until(lambda: ann.told[-1].epoch != before)
        first = next(told for told in ann.told if told.epoch != before)
        assert (first.recovered, first.snapshot) == (False, True)
        assert ann.offsets == []


async def test_it_goes_on_from_where_another_run_of_the_program_stopped(running, show, say, until):
    async with listening(running, show) as ann:
        await say("one")
        await until(lambda: ann.texts == ["one"])
        stood = ann.client.position.epoch, ann.client.position.offset
    await say("two")
    async with listening(running, show, resume=stood) as again:
        await until(lambda: again.texts == ["two"])
        assert again.told[0].recovered


async def test_commands_are_answered_and_refused(running, show, until):
    async with listening(running, show) as ann:
        await until(lambda: ann.told)
        accepted = await ann.client.say("hello")
        assert (accepted.offset, await ann.client.ping() > 0) == (1, True)
        with pytest.raises(CommandRefused) as refused:
            await ann.client.say("")
        assert refused.value.code == "invalid"
        await until(lambda: ann.texts == ["hello"])


async def test_a_command_whose_answer_is_lost_says_so(running, show, until, monkeypatch):
    hang = asyncio.Event()

    async def slow(*_args):
        await hang.wait()

    async with listening(running, show) as ann:
        await until(lambda: ann.told)
        monkeypatch.setattr(running.chat, "say", slow)
        asking = asyncio.create_task(ann.client.say("hello"))
        await until(lambda: ann.client._pending)
        cut(ann)
        with pytest.raises(CommandRefused) as refused:
            await asking
        assert refused.value.code == "network"
        hang.set()
        await until(lambda: ann.client.connections == 2)


async def test_something_private_has_no_offset_and_moves_nothing(running, show, say, until):
    async with listening(running, show) as ann:
        await say("one")
        await until(lambda: ann.offsets == [1])
        await running.hub.whisper(ShowId(show), AccountId("acc_ann"), SalesChanged(open=True))
        await until(lambda: ann.offsets == [1, None])
        assert ann.client.position.offset == 1


class Newer(Event, frozen=True, kw_only=True, tag="from_a_newer_server"):
    colour: str


async def test_an_event_of_an_unknown_type_is_handed_on_as_it_came(running, show, until):
    async with listening(running, show) as ann:
        await until(lambda: ann.told)
        await running.hub.publish(ShowId(show), Newer(colour="teal"))
        await until(lambda: ann.happened)
        offset, event = ann.happened[0]
        assert offset == 1
        assert isinstance(event, Other)
        assert (event.t, event.fields["colour"]) == ("from_a_newer_server", "teal")


async def test_who_is_sent_away_for_good_does_not_come_back(running, show, until):
    async with listening(running, show) as ann:
        await until(lambda: ann.told)
        await running.hub.dismiss(ShowId(show), AccountId("acc_ann"))
        await until(lambda: ann.ended)
        assert isinstance(ann.ended, StayAway)
        assert ann.ended.code == Banned.close_code
        with pytest.raises(StayAway):  # whoever asks again hears it again
            await anext(ann.client)


async def test_a_door_that_never_opens_is_tried_so_often_and_no_more(shop, show, until):
    tries = []

    async def ticket():
        tries.append(1)
        return "wrong"

    async with listening(shop.server, show, ticket=ticket, tries=2) as ann:
        await until(lambda: ann.ended)
        assert isinstance(ann.ended, OutOfTries)
        assert len(tries) == 3  # the first, and two more


async def test_a_program_that_does_not_take_what_comes_is_no_burden_and_misses_nothing(running, show, say, until):
    async with listening(running, show) as ann:
        await until(lambda: ann.told)
        ann.task.cancel()
        room = running.hub._rooms[ShowId(show)]
        for _ in range(300):
            await running.hub.publish(ShowId(show), SalesChanged(open=True))
            room.flush()
        await until(ann.client._told.full)
        again = Listener(ann.client)
        await until(lambda: len(again.happened) >= 300 - len(ann.happened))
        again.task.cancel()
        offsets = [*ann.offsets, *again.offsets]
        assert offsets == list(range(1, 301))


async def test_a_server_that_talks_nonsense_ends_the_iteration_with_what_is_wrong(running, show, until):
    async with listening(running, show) as ann:
        await until(lambda: ann.told)
        ann.task.cancel()
        (viewer,) = running.hub._rooms[ShowId(show)].viewers
        viewer.reply(b'{"e": 7}')
        again = Listener(ann.client)
        with pytest.raises(msgspec.ValidationError):
            await asyncio.wait_for(again.task, 10)


async def test_reactions_votes_questions_and_wishes_are_calls_and_a_refusal_is_raised(running, show):
    async with listening(running, show) as ann:
        async with asyncio.timeout(20):
            while not ann.told:
                await asyncio.sleep(0.01)
        await ann.client.react("heart", 3)
        await ann.client.vote("poll_1", 1)
        assert await ann.client.ask("Is it oven-proof?") == "que_1"
        await ann.client.want("que_1")
        with pytest.raises(CommandRefused) as refused:
            await ann.client.vote("poll_1", 5)
    assert refused.value.code == "conflict"
    assert running.crowd.deeds == [
        ("acc_ann", "heart", 3),
        ("acc_ann", "poll_1", 1),
        ("acc_ann", "Is it oven-proof?"),
        ("acc_ann", "que_1"),
    ]
