import asyncio
import json

import msgspec
import pytest
import redis.asyncio
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from realtime.hub import RETURNS_PER_S
from schema.ids import VariantId
from schema.people import Role
from schema.wire import Frame, Pinned, Unpinned


async def refused(url: str, **options) -> InvalidStatus:
    with pytest.raises(InvalidStatus) as caught:
        async with connect(url, **options):
            pass
    return caught.value


async def test_a_newcomer_gets_a_snapshot_and_then_what_is_said(running, show, say):
    await say("before")  # nobody is there yet, so no tick waits
    client = await running.join(show)
    await client.until(lambda it: it.frames)
    first = client.frames[0]
    assert first["snapshot"] is True
    assert [one["text"] for one in first["ev"]] == ["before"]
    await say("after")
    await client.until(lambda it: len(it.events) == 2)
    assert client.texts() == ["before", "after"]
    assert client.offsets() == [1, 2]


async def test_the_snapshot_holds_pins_until_they_are_dropped_and_the_whole_state(running, show):
    for name in ("a", "b"):
        await running.hub.publish(show, Pinned(variant_id=VariantId(name), at_ms=1), key=f"pin.{name}")
    await running.hub.publish(show, Unpinned(variant_id=VariantId("a")), key="pin.a", drop=True)
    running.hub.set_state(show, "stock.a", {"available": 3})
    watching = await running.join(show)
    await watching.until(lambda it: "stock.a" in it.state)
    later = await running.join(show)
    await later.until(lambda it: it.frames)
    assert [(one["t"], one["variant_id"]) for one in later.frames[0]["ev"]] == [("pin", "b")]
    assert later.frames[0]["st"]["stock.a"] == {"available": 3}


async def test_two_clients_see_the_same_order(running, show, say):
    one, two = await running.join(show, "ann"), await running.join(show, "bob")
    await asyncio.gather(*(say(f"{name} {at}", name) for at in range(25) for name in ("ann", "bob")))
    for client in (one, two):
        await client.until(lambda it: len(it.events) == 50)
    assert one.events == two.events
    assert one.offsets() == list(range(1, 51))


async def test_both_subprotocols_say_the_same(running, show, say):
    text, binary = await running.join(show), await running.join(show, binary=True)
    running.hub.set_state(show, "host", True)
    await say("grüße")
    for client in (text, binary):
        await client.until(lambda it: it.events and it.state.get("host") and it.state.get("viewers") == 2)
    assert text.events == binary.events
    assert text.state == binary.state
    assert binary.connection.subprotocol == "showfloor.v1+msgpack"


async def test_every_frame_is_a_frame_of_the_schema(running, show, say):
    await say("before")
    async with connect(running.url(show, running.tickets.issue()), compression=None) as raw:
        data = await raw.recv()
        assert raw.subprotocol is None
    frame = msgspec.json.decode(data, type=Frame)
    assert frame.snapshot
    assert frame.o == 1


async def test_after_a_break_a_client_gets_exactly_what_it_missed(running, show, say):
    client = await running.join(show)
    await say("one")
    await client.until(lambda it: len(it.events) == 1)
    await client.close()
    for text in ("two", "three"):
        await say(text)
    back = await running.join(show, epoch=client.epoch, offset=client.offset)
    await back.until(lambda it: it.frames)
    assert back.frames[0]["recovered"] is True
    assert "snapshot" not in back.frames[0]
    await say("four")
    await back.until(lambda it: len(it.events) == 3)
    assert back.texts() == ["two", "three", "four"]
    assert back.offsets() == [2, 3, 4]


@pytest.mark.parametrize(("epoch", "offset"), [("nosuchepoch", 1), (None, 99)])
async def test_who_cannot_resume_is_told_and_begins_anew(running, show, say, epoch, offset):
    await say("one")
    client = await running.join(show)
    await client.until(lambda it: it.events)
    back = await running.join(show, epoch=epoch or client.epoch, offset=offset)
    await back.until(lambda it: it.frames)
    assert back.frames[0]["recovered"] is False
    assert back.frames[0]["snapshot"] is True
    assert back.texts() == ["one"]


async def test_a_ticket_opens_one_socket_once(running, show):
    ticket = running.tickets.issue()
    async with connect(running.url(show, ticket)) as first:
        await first.recv()
        error = await refused(running.url(show, ticket))
    assert error.response.status_code == 401
    assert error.response.headers["content-type"] == "application/problem+json"
    assert json.loads(error.response.body)["code"] == "unauthenticated"


async def test_without_a_ticket_nobody_comes_in(running, show):
    assert (await refused(f"ws://127.0.0.1:{running.port}/ws/{show}")).response.status_code == 401


async def test_where_the_route_is_mounted_elsewhere_the_application_lets_in_and_refuses(running, show, say):
    def inside(ticket: str, **more: str) -> str:
        return running.url(show, ticket, **more).replace("/ws/", "/inside/ws/")

    async with connect(inside(running.tickets.issue())) as raw:
        assert json.loads(await raw.recv())["snapshot"] is True
        await say("hello")
        async with asyncio.timeout(10):
            while not (events := json.loads(await raw.recv()).get("ev")):
                pass
        assert events[0]["text"] == "hello"
    assert (await refused(inside("nobody's"))).response.status_code == 401
    assert (await refused(inside(running.tickets.issue(), epoch="e"))).response.status_code == 400


async def test_a_ticket_for_another_show_is_refused(running, show):
    assert (await refused(running.url(show, running.tickets.issue(show="other")))).response.status_code == 403


@pytest.mark.parametrize("query", [{"epoch": "e"}, {"offset": "1"}, {"epoch": "e", "offset": "-1"}])
async def test_half_a_position_is_refused(running, show, query):
    error = await refused(running.url(show, running.tickets.issue(), **query))
    assert error.response.status_code == 400


async def test_a_page_of_another_site_is_refused_and_its_ticket_stays_unused(running, show):
    ticket = running.tickets.issue()
    assert (await refused(running.url(show, ticket), origin="https://evil.example")).response.status_code == 403
    async with connect(running.url(show, ticket), origin=f"http://127.0.0.1:{running.port}") as own:
        assert json.loads(await own.recv())["snapshot"]


async def test_an_unknown_subprotocol_is_refused(running, show):
    error = await refused(running.url(show, running.tickets.issue()), subprotocols=["chat.v9"])
    assert error.response.status_code == 400


async def test_a_show_that_cannot_be_loaded_is_503_before_the_upgrade(running, show, monkeypatch):
    monkeypatch.setattr("realtime.hub.LOAD_DEADLINE_S", 0.05)
    monkeypatch.setattr(running.hub._broker, "subscribe", lambda _: None)
    error = await refused(running.url(show, running.tickets.issue()))
    assert error.response.status_code == 503
    assert error.response.headers["retry-after"] == "2"


async def test_a_command_on_the_socket_is_answered_with_its_reference(running, show):
    client = await running.join(show)
    await client.connection.send('{"t":"ping","ref":"1"}')
    await client.connection.send('{"t":"chat","ref":"2","text":"hello"}')
    await client.until(lambda it: len(it.replies) == 2 and it.events)
    assert client.replies[0]["re"] == "1"
    assert client.replies[0]["ok"]["at_ms"] > 0
    assert client.replies[1] == {"re": "2", "ok": {"offset": 1, "id": client.events[0]["id"]}}
    assert client.texts() == ["hello"]


async def test_commands_in_msgpack(running, show):
    client = await running.join(show, binary=True)
    await client.connection.send(msgspec.msgpack.encode({"t": "chat", "ref": "2", "text": "hello"}))
    await client.until(lambda it: it.replies and it.events)
    assert client.replies[0]["ok"]["offset"] == 1


@pytest.mark.parametrize(
    ("sent", "re", "code"),
    [
        ('{"t":"nonsense","ref":"7"}', "7", "invalid"),
        ('{"t":"chat","ref":"7"}', "7", "invalid"),
        ('{"t":"chat","ref":"7","text":" "}', "7", "invalid"),
        ('{"t":"chat","ref":"7","text":"x","more":1}', "7", "invalid"),
        ("not json", "", "bad_request"),
        ("[" * 16_000, "", "invalid"),
        ('{"t":"ping","ref":9}', "", "invalid"),
    ],
)
async def test_a_mistaken_command_gets_an_error_and_keeps_its_connection(running, show, sent, re, code):
    client = await running.join(show)
    await client.connection.send(sent)
    await client.connection.send('{"t":"ping","ref":"after"}')
    await client.until(lambda it: len(it.replies) == 2)
    assert client.replies[0]["re"] == re
    assert client.replies[0]["error"]["code"] == code
    assert client.replies[1]["re"] == "after"


async def test_more_than_thirty_commands_a_second_are_refused_one_by_one(running, show, monkeypatch):
    now = running.hub.now_ms()
    monkeypatch.setattr(running.hub, "now_ms", lambda: now)
    client = await running.join(show)
    for at in range(40):
        await client.connection.send(f'{{"t":"ping","ref":"{at}"}}')
    await client.until(lambda it: len(it.replies) == 40)
    errors = [one for one in client.replies if "error" in one]
    assert len(errors) == 10
    assert errors[0]["error"]["code"] == "rate_limited"
    assert errors[0]["error"]["retry_after_ms"] > 0


async def test_ten_tabs_are_ten_and_a_closed_one_drops(running, show):
    host = await running.join(show, "host", Role.HOST)
    tabs = [await running.join(show, "ann") for _ in range(10)]
    await host.until(lambda it: it.state.get("viewers") == 10)
    assert running.hub.viewers(show) == 10
    for tab in tabs[:4]:
        await tab.close()
    tabs[4].connection.transport.abort()
    await host.until(lambda it: it.state.get("viewers") == 5)


async def test_a_deleted_message_leaves_the_page_the_snapshot_the_ring_and_the_log(running, show, say, redis_url):
    client = await running.join(show)
    await say("fine")
    rude = await say("rude words")
    await client.until(lambda it: len(it.events) == 2)
    host = running.tickets.people[running.tickets.issue("host", Role.HOST)]
    await running.chat.delete(host, show, rude.id)
    await client.until(lambda it: len(it.events) == 3)
    assert (client.events[2]["t"], client.events[2]["id"]) == ("chat_deleted", rude.id)
    newcomer = await running.join(show)
    back = await running.join(show, epoch=client.epoch, offset=0)
    for one in (newcomer, back):
        await one.until(lambda it: it.frames)
        assert "rude" not in json.dumps(one.frames)
    assert back.frames[0]["recovered"] is True
    async with redis.asyncio.from_url(redis_url) as store:
        assert b"rude" not in b"".join([str(await store.xrange(f"sf:{{{show}}}:log")).encode()])


async def test_when_the_server_ends_everybody_is_told_to_come_back(running, show):
    clients = [await running.join(show) for _ in range(3)]
    await running.hub.close_all()
    for client in clients:
        await client.until(lambda it: it.code is not None)
        assert client.code == 4003


async def test_a_server_that_is_told_to_end_tells_its_viewers_and_ends(running, show, until):
    clients = [await running.join(show) for _ in range(3)]
    running.server.should_exit = True
    for client in clients:
        await client.until(lambda it: it.code is not None)
        assert client.code == 4003
    await until(lambda: not running.server.server_state.connections)


async def test_a_server_that_ends_gives_each_viewer_another_moment_to_come_back_at(running, show, say):
    clients = [await running.join(show, f"ann{number}", binary=number % 2 > 0) for number in range(20)]
    await say("one")
    for client in clients:
        await client.until(lambda it: it.offsets() == [1])
    await running.hub.close_all()
    for client in clients:
        await client.until(lambda it: it.code == 4003)
    last = [client.frames[-1] for client in clients]
    assert {(frame["e"], frame["o"], len(frame["ev"])) for frame in last} == {(clients[0].epoch, 1, 0)}
    moments = {frame["reconnect_ms"] for frame in last}
    assert len(moments) > 5
    assert all(0 <= moment <= 20 * 1000 // RETURNS_PER_S for moment in moments)
