"""What every broker guarantees; `TestBroker` of each one's tests inherits it and brings the fixture `broker`."""

import asyncio

import pytest

from realtime.broker_redis import Value
from realtime.core.channel import Kind
from schema.errors import Conflict
from schema.ids import AccountId, MessageId, ShowId


class Heard:
    """A listener that remembers."""

    def __init__(self):
        self.publications, self.states, self.subscribed, self.private, self.gone = [], [], [], [], []

    def on_publication(self, show, epoch, publication):
        self.publications.append((epoch, publication))

    def on_state(self, show, epoch, version, values):
        self.states.append((version, values))

    def on_whisper(self, show, account, data):
        self.private.append((account, data))

    def on_dismissal(self, show, account):
        self.gone.append(account)

    def on_subscribed(self, show):
        self.subscribed.append(show)

    def on_away(self):
        pass

    def on_back(self):
        pass


async def until(holds):
    async with asyncio.timeout(20):
        while not holds():
            await asyncio.sleep(0.005)


class BrokerContract:
    """`broker`, which tells `heard`; `show`, of which it has never heard."""

    async def test_who_subscribed_hears_each_publication_once_and_in_order(self, broker, heard, show):
        broker.subscribe(show)
        await until(lambda: heard.subscribed == [show])
        answers = [await broker.publish(show, Kind.EVENT, "", b'{"n":%d}' % at) for at in range(20)]
        assert [offset for _, offset in answers] == list(range(1, 21))
        await until(lambda: len(heard.publications) == 20)
        assert [one.offset for _, one in heard.publications] == list(range(1, 21))
        assert heard.publications[7][1].data == b'{"n":7}'
        assert {epoch for epoch, _ in heard.publications} == {epoch for epoch, _ in answers}

    async def test_a_load_is_what_was_published(self, broker, show):
        epoch, _ = await broker.publish(show, Kind.KEEP, "pin.a", b'{"t":"pin"}')
        await broker.publish(show, Kind.CHAT, "msg_1", b'{"t":"chat"}')
        await broker.set_state(show, {"host": Value(b"true")})
        loaded = await broker.load(show, "", 0)
        assert (loaded.epoch, loaded.offset, loaded.floor, loaded.state_version) == (epoch, 2, 0, 1)
        assert [(one.offset, one.kind, one.key) for one in loaded.log] == [
            (1, Kind.KEEP, "pin.a"),
            (2, Kind.CHAT, "msg_1"),
        ]
        assert loaded.kept == {"pin.a": (1, b'{"t":"pin"}')}
        assert loaded.state == {"host": b"true"}
        assert [one.offset for one in (await broker.load(show, epoch, 1)).log] == [2]
        assert [one.offset for one in (await broker.load(show, "another", 1)).log] == [1, 2]

    async def test_what_is_dropped_is_retained_no_longer_and_there_is_a_bound(self, broker, show):
        for at in range(500):
            await broker.publish(show, Kind.KEEP, f"pin.{at}", b"{}")
        with pytest.raises(Conflict):
            await broker.publish(show, Kind.KEEP, "pin.more", b"{}")
        await broker.publish(show, Kind.DROP, "pin.0", b"{}")
        await broker.publish(show, Kind.KEEP, "pin.more", b"{}")
        kept = (await broker.load(show, "", 0)).kept
        assert "pin.0" not in kept
        assert len(kept) == 500

    async def test_of_more_than_so_many_a_second_the_rest_is_left_out(self, broker, show):
        offsets = [(await broker.publish(show, Kind.CHAT, f"msg_{at}", b"{}", 5))[1] for at in range(40)]
        assert 5 <= sum(offset > 0 for offset in offsets) < 40
        assert [offset for offset in offsets if offset > 0] == list(range(1, max(offsets) + 1))

    async def test_a_value_never_replaces_one_of_a_higher_version(self, broker, heard, show):
        await broker.set_state(show, {"stock.a": Value(b"5", 7), "host": Value(b"true")})
        await broker.set_state(show, {"stock.a": Value(b"9", 6), "host": Value(b"false")})
        await broker.set_state(show, {"stock.a": Value(b"8", 5)})
        loaded = await broker.load(show, "", 0)
        assert (loaded.state, loaded.state_version) == ({"stock.a": b"5", "host": b"false"}, 2)

    async def test_a_message_is_taken_down_once(self, broker, heard, show):
        broker.subscribe(show)
        await until(lambda: heard.subscribed)
        for at in range(3):
            await broker.publish(show, Kind.CHAT, f"msg_{at}", b"rude" if at == 1 else b"{}")
        assert await broker.delete_chat(show, MessageId("msg_1"), b"{}") == 4
        assert await broker.delete_chat(show, MessageId("msg_1"), b"{}") == 0
        assert await broker.delete_chat(show, MessageId("msg_9"), b"{}") == 0
        assert [one.offset for one in (await broker.load(show, "", 0)).log] == [1, 3, 4]
        await until(lambda: len(heard.publications) == 4)
        assert heard.publications[-1][1].kind is Kind.DELETE

    async def test_a_count_of_viewers_is_told_when_it_changes(self, broker, heard, show):
        broker.subscribe(show)
        await until(lambda: heard.subscribed)
        for count in (2, 2, 5):
            await broker.set_presence(show, count)
        await until(lambda: len(heard.states) == 2)
        assert heard.states == [(1, {"viewers": b"2"}), (2, {"viewers": b"5"})]

    async def test_a_turn_is_taken_once(self, broker, show):
        ann = AccountId("acc_ann")
        assert await broker.take_turn(show, ann, 60_000) == 0
        assert 0 < await broker.take_turn(show, ann, 60_000) <= 60_000
        assert await broker.take_turn(show, AccountId("acc_bob"), 60_000) == 0

    async def test_what_is_for_one_account_alone_is_said_to_the_process(self, broker, heard, show):
        broker.subscribe(show)
        await until(lambda: heard.subscribed)
        await broker.whisper(show, AccountId("acc_ann"), b"{}")
        await broker.dismiss(show, AccountId("acc_bob"))
        await until(lambda: heard.gone and heard.private)
        assert (heard.private, set(heard.gone)) == ([("acc_ann", b"{}")], {"acc_bob"})

    async def test_who_was_sent_away_is_heard_of_by_a_process_that_has_not_opened_the_show(self, broker, heard, show):
        broker.subscribe(ShowId(f"{show}-another"))
        await until(lambda: heard.subscribed)
        await broker.dismiss(show, AccountId("acc_bob"))
        await until(lambda: heard.gone)
        assert set(heard.gone) == {"acc_bob"}

    async def test_who_unsubscribed_hears_nothing(self, broker, heard, show):
        await broker.publish(show, Kind.EVENT, "", b"{}")
        broker.subscribe(show)
        await until(lambda: heard.subscribed)
        await broker.publish(show, Kind.EVENT, "", b"{}")
        await until(lambda: [one.offset for _, one in heard.publications] == [2])
