"""What waits to be sent, and when it goes: a relay of one show, light peers."""

import asyncio
import itertools
from types import SimpleNamespace

import pytest

from media import flush as flush_module
from media.config import RelayConfig
from media.core.audience import Row
from media.show import Batch
from schema.ids import ShowId

SIZES = [1180, 1174, 1100]


@pytest.fixture
async def on_air(peers, wait_until):
    """A host and a viewer who has seen the first keyframe."""
    host, viewer = await peers.host(), await peers.viewer()
    await pictures(host, viewer, wait_until, 1)
    return host, viewer


def video(peer):
    return [header.sequence for header, _, _ in peer.seen if header.payload_type == 96]


async def pictures(host, viewer, wait_until, count, *, keyframe=True):
    had = len(video(viewer))
    for number in range(count):
        host.show(SIZES, keyframe=keyframe and number == 0)
    await wait_until(lambda: len(video(viewer)) >= had + count * len(SIZES), "the pictures arrive")


async def turns_of_others(flush):
    """How often others ran until all that waited had been sent."""
    turns = 0
    flush.flush()
    while flush._rounds is not None:
        turns += 1
        await asyncio.sleep(0)
    return turns


async def turns_of_others_during_a_fan_out(floor, monkeypatch):
    """How often others ran while one batch went to five rows."""
    show, flush = floor.relay.shows["demo"], floor.relay._flush
    monkeypatch.setattr(show, "take", lambda: [Batch([Row(show.subscribers)] * 5, [])])
    flush.wake(show, False)
    return await turns_of_others(flush)


async def test_a_long_fan_out_gives_others_their_turn(on_air, floor, monkeypatch):
    monkeypatch.setattr(flush_module, "HOLD_S", -1)
    assert await turns_of_others_during_a_fan_out(floor, monkeypatch) >= 4


async def test_without_the_look_at_the_clock_it_would_not(on_air, floor, monkeypatch):
    monkeypatch.setattr(flush_module, "HOLD_S", 3600)
    assert await turns_of_others_during_a_fan_out(floor, monkeypatch) == 0


async def turns_of_others_during_five_shows(floor, monkeypatch, step_s):
    """How often others ran while five shows sent to a row each, by a clock that goes on by so much at a look."""
    clock, flush, row = itertools.count(), floor.relay._flush, Row(floor.relay.shows["demo"].subscribers)
    monkeypatch.setattr(flush_module, "time", SimpleNamespace(monotonic=lambda: step_s * next(clock)))
    for number in range(5):
        show = floor.relay._show(ShowId(f"show{number}"))
        monkeypatch.setattr(show, "take", lambda: [Batch([row], [])])
        flush.wake(show, False)
    return await turns_of_others(flush)


async def test_many_shows_together_hold_others_up_no_longer_than_one(on_air, floor, monkeypatch):
    """None of them takes its whole time: two looks at the clock are 4 ms of the 6."""
    assert await turns_of_others_during_five_shows(floor, monkeypatch, flush_module.HOLD_S / 3) >= 1
    assert await turns_of_others_during_five_shows(floor, monkeypatch, flush_module.HOLD_S / 100) == 0


async def turns_of_others_during_first_reports(floor, peers, monkeypatch):
    """How often others ran while three who have just begun were reported to; how many reports went out."""
    for name in ("viewer-eve", "viewer-sue"):
        await peers.viewer(token=name)
    show, flush, reports = floor.relay.shows["demo"], floor.relay._flush, []
    for subscriber in show.subscribers:
        monkeypatch.setattr(subscriber, "report_first", lambda now: reports.append(now) or True)
        show._unreported.add(subscriber)
    monkeypatch.setattr(show, "take", list)
    flush.wake(show, False)
    return await turns_of_others(flush), len(reports)


async def test_reports_to_a_crowd_that_begins_at_once_give_others_their_turn(on_air, floor, peers, monkeypatch):
    monkeypatch.setattr(flush_module, "HOLD_S", -1)
    turns, reports = await turns_of_others_during_first_reports(floor, peers, monkeypatch)
    assert turns >= 3
    assert reports == 3


async def test_without_the_look_at_the_clock_they_would_not(on_air, floor, peers, monkeypatch):
    monkeypatch.setattr(flush_module, "HOLD_S", 3600)
    assert await turns_of_others_during_first_reports(floor, peers, monkeypatch) == (0, 3)


async def test_a_flush_that_fails_costs_its_packets_and_no_more(on_air, floor, wait_until, monkeypatch):
    host, viewer = on_air
    send, failed = floor.relay._egress.send, []

    def fails_once(targets, runs):
        if not failed:
            failed.append(runs)
            raise ValueError
        send(targets, runs)

    monkeypatch.setattr(floor.relay._egress, "send", fails_once)
    host.show(SIZES)
    await wait_until(lambda: failed, "a flush has failed")
    await pictures(host, viewer, wait_until, 2, keyframe=False)


async def test_what_a_look_brings_leaves_with_it_in_one_send_a_viewer(on_air, floor, wait_until):
    host, viewer = on_air
    show, port = floor.relay.shows["demo"], floor.relay._port
    await wait_until(lambda: not show.layers[0].pending and port._empty, "nothing waits, and nothing came")
    had, sends, looked, at_the_end = len(video(viewer)), floor.relay.totals().sends, port.looked, []
    port.looked = lambda: at_the_end.append(len(show.layers[0].pending))
    host.show(SIZES, keyframe=False)  # loopback: all of it is in the socket before the loop goes on
    await wait_until(lambda: sum(at_the_end), "they were taken")
    assert len(show.layers[0].pending) == len(SIZES), "nothing leaves in the middle of a look"
    port.looked = looked
    looked()
    assert not show.layers[0].pending
    await wait_until(lambda: len(video(viewer)) == had + len(SIZES), "they arrive")
    assert floor.relay.totals().sends == sends + 1


async def test_what_came_by_no_look_leaves_by_the_timer_and_the_end_of_a_picture_at_once(on_air, floor, wait_until):
    show, flush, loop = floor.relay.shows["demo"], floor.relay._flush, asyncio.get_running_loop()
    flush._wait_s = 3600
    await wait_until(lambda: flush._timer is None, "nothing waits")
    flush.wake(show, False)
    timer = flush._timer
    flush.wake(show, False)
    assert flush._timer is timer, "one timer for all"
    assert timer.when() > loop.time() + 60
    flush.wake(show, True)
    assert timer.cancelled()
    await wait_until(lambda: flush._timer is None and not flush._waiting, "it rang")


async def test_a_relay_that_ends_leaves_no_timer(open_floor, new_peers):
    async with open_floor(RelayConfig(bind_host="127.0.0.1")) as floor:
        peers = new_peers(floor)
        await peers.host()
        flush = floor.relay._flush
        flush._wait_s = 3600
        flush.wake(floor.relay.shows["demo"], False)
        timer = flush._timer
        for peer in peers.all:
            await peer.close()
    assert timer.cancelled()
