"""Layers in one relay, light peers: every packet across a switch is looked at."""

import itertools

import pytest

from media.clock import now_ms
from media.core import rtcp
from media.core.layers import OFF, Move, Rung

TICKS = 3000


def video(peer):
    return [item for item in peer.seen if item[0].payload_type == 96]


@pytest.fixture
async def stage(peers, floor, wait_until, layered):
    """A host with two layers on air, and a viewer on the first."""
    host = peers.light_host()
    answer = await floor.post("/whip/demo", layered.offer_of(host), "host-ann")
    assert "a=simulcast:recv a;b" in answer.text
    await host.connect(answer.text)
    layers, show = layered.Layers(host), floor.relay.shows["demo"]
    layers.show("a", "b", key=layered.RIDS)
    await wait_until(lambda: [layer.packets for layer in show.layers] == [2, 2], "both are on air")
    layers.tell(1_000_000)
    viewer = await peers.viewer()
    subscriber = next(iter(show.subscribers))
    subscriber.consider = lambda _: None  # these tests decide
    await wait_until(lambda: len(video(viewer)) == 2, "the first picture")
    return layers, show, viewer, subscriber


async def until_live(stage, wait_until):
    layers, _, _, subscriber = stage

    def live():
        if not subscriber.video.has_begun:
            layers.show("a", "b")
        return subscriber.video.has_begun

    await wait_until(live, "the fan-out has it")
    await settled(stage, wait_until)


async def settled(stage, wait_until):
    layers, show, viewer, subscriber = stage
    await wait_until(lambda: sum(layer.packets for layer in show.layers) == packets_of(layers), "all has come in")
    await wait_until(lambda: not any(layer.pending for layer in show.layers), "all is flushed")
    await wait_until(lambda: subscriber.video.packets <= len(video(viewer)), "all has arrived")


def packets_of(layers):
    return layers.index["a"] - 20_000 + layers.index["b"] - 65_530


async def switched(stage, to, wait_until):
    layers, show, _, subscriber = stage
    show.move(subscriber, Move(to, False))
    for _ in range(3):
        layers.show("a", "b")
    await settled(stage, wait_until)
    layers.show("a", "b", key=layers.rids[to])
    await wait_until(lambda: subscriber.layer is show.layers[to], "it has moved")
    for _ in range(3):
        layers.show("a", "b")
    await settled(stage, wait_until)


async def test_a_switch_leaves_no_seam_in_numbers_or_in_time(stage, wait_until):
    _, _, viewer, subscriber = stage
    await until_live(stage, wait_until)
    before = len(video(viewer))
    for to in (1, 0, 1):
        await switched(stage, to, wait_until)
    headers = [header for header, _, _ in video(viewer)]
    first = headers[0].sequence
    assert [header.sequence - first & 0xFFFF for header in headers] == list(range(len(headers)))
    assert {header.ssrc for header in headers} == {subscriber.video.ssrc}
    stamps = [header.timestamp - headers[0].timestamp & 0xFFFFFFFF for header in headers]
    assert stamps == sorted(stamps)
    pictures = sorted(set(stamps[before - 2 :]))
    assert all(0 < b - a <= 2 * TICKS for a, b in itertools.pairwise(pictures))
    assert subscriber.switches == 3
    assert all(payload is not None for _, payload, _ in video(viewer)), "no packet was sealed wrongly"


async def test_a_switch_happens_at_a_keyframe_and_the_old_layer_plays_until_then(stage, wait_until):
    layers, show, viewer, subscriber = stage
    await until_live(stage, wait_until)
    had = len(video(viewer))
    show.move(subscriber, Move(1, False))
    layers.show("a", "b")
    await settled(stage, wait_until)
    assert len(video(viewer)) == had + 2
    layers.show("a", "b", key="b")
    await wait_until(lambda: subscriber.layer is show.layers[1], "it moves")
    await settled(stage, wait_until)
    keys = [payload for _, payload, _ in video(viewer)[had + 2 :] if payload[:2] == b"\x10\x00"]
    assert len(keys) == 1


async def test_a_nack_after_a_switch_is_answered_with_the_bits_that_were_sent(stage, wait_until):
    _, show, viewer, subscriber = stage
    await until_live(stage, wait_until)
    await switched(stage, 1, wait_until)
    await switched(stage, 0, wait_until)
    sent = video(viewer)
    show.layers[0].newcomers.watch(1 << 60)
    for header, _, datagram in sent[2:]:
        subscriber._budget.allows = lambda *_: True
        viewer.send_rtcp(rtcp.nack(1, header.ssrc, [header.sequence]))

        def copies(header=header):
            return [item[2] for item in video(viewer) if item[0].sequence == header.sequence]

        await wait_until(lambda copies=copies: len(copies()) == 2, "it is sent again")
        assert copies() == [datagram, datagram]


async def test_one_nonce_never_meets_two_texts(stage, wait_until):
    _, _, viewer, subscriber = stage
    await until_live(stage, wait_until)
    for to in (1, 0, 1, 0):
        await switched(stage, to, wait_until)
        for number in range(len(video(viewer))):
            subscriber.rtcp(
                rtcp.nack(1, subscriber.video.ssrc, [video(viewer)[number][0].sequence]), 10**9 + number * 100
            )
    seen = {}
    for header, _, datagram in video(viewer):
        assert seen.setdefault(header.sequence, datagram) == datagram


async def test_who_gets_sound_alone_gets_it_and_comes_back_without_a_seam(stage, wait_until):
    layers, show, viewer, subscriber = stage
    await until_live(stage, wait_until)
    had = len(video(viewer))
    show.move(subscriber, Move(OFF, True))
    layers.show("a", "b")
    layers.host.say()
    await settled(stage, wait_until)
    await wait_until(lambda: any(header.payload_type == 111 for header, _, _ in viewer.seen), "the sound goes on")
    assert len(video(viewer)) == had
    await switched(stage, 0, wait_until)
    numbers = [header.sequence for header, _, _ in video(viewer)]
    assert [n - numbers[0] & 0xFFFF for n in numbers] == list(range(len(numbers)))
    assert len(numbers) > had


async def test_what_was_far_too_much_is_not_sent_again_and_drains_before_the_lower_layer_comes(stage, wait_until):
    layers, show, viewer, subscriber = stage
    await until_live(stage, wait_until)
    await switched(stage, 1, wait_until)
    lost = [video(viewer)[-1][0].sequence]
    subscriber.rtcp(rtcp.nack(1, subscriber.video.ssrc, lost), now_ms())
    assert subscriber.resent == 1

    def considers():
        show.rungs = (Rung(0, 100_000), Rung(1, 1_000_000))
        type(subscriber).consider(subscriber, now_ms())
        return subscriber.layer, subscriber.wish

    count = len(viewer.reports)
    subscriber.bandwidth.estimate_bps, subscriber.bandwidth.congested_ms = 255_000, now_ms()
    assert considers() == (None, None)
    subscriber.rtcp(rtcp.nack(1, subscriber.video.ssrc, lost), now_ms() + 1000)
    assert subscriber.resent == 1
    await wait_until(lambda: len(viewer.reports) > count, "a report right behind it")
    assert considers() == (None, None)
    mark = viewer.reports[-1].ntp >> 16 & 0xFFFFFFFF
    block = rtcp.ReportBlock(subscriber.video.ssrc, 200, 9, 9, 0, mark, 0)
    subscriber.rtcp(rtcp.receiver_report(1, [block]), now_ms())
    assert subscriber.bandwidth.mean_loss == 0.0, "of the layer that was left"
    assert considers() == (None, show.layers[0])
    layers.show("a", "b", key=layers.rids[0])
    await wait_until(lambda: subscriber.layer is show.layers[0], "it has moved")


async def test_sender_reports_follow_a_switch_and_agree_with_its_timestamps(stage, wait_until):
    _, show, viewer, subscriber = stage
    await until_live(stage, wait_until)
    await switched(stage, 1, wait_until)
    count = len(viewer.reports)
    subscriber.report(1_000_000)
    await wait_until(lambda: len(viewer.reports) > count, "a report")
    report = next(p for p in viewer.reports[count:] if p.ssrc == subscriber.video.ssrc)
    stood = show.layers[1].track.timestamp_at(1_000_000) + subscriber.video.timestamp_shift & 0xFFFFFFFF
    assert report.timestamp == stood


async def test_an_encoder_that_sends_a_keyframe_at_once_makes_no_burst_of_it(stage, wait_until):
    _, show, _, _ = stage
    await until_live(stage, wait_until)
    layer = show.layers[0]
    layer.pending = [layer.track.history.get(layer.flushed)] * 100
    assert len(layer.take()) == 48
    assert len(layer.pending) == 52
    layer.pending.clear()


async def test_the_statistics_name_the_layers(stage, floor):
    layers = floor.show("demo").layers
    assert [(layer.rid, layer.is_on_air, layer.keyframes) for layer in layers] == [("a", True, 1), ("b", True, 1)]
    assert sum(layer.viewers for layer in layers) == 1
