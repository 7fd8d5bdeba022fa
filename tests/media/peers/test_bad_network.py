"""Peers behind a bad network: the seeded relay stands between them and the media port."""

import asyncio
from pathlib import Path

import pytest
from netem.front import Front
from netem.link import Conditions
from netem.udp import UdpRelay, through

from media.core.hold import Hold

DEADLINE_S = 30
TAB = Path(__file__).parent / "tab.js"


async def test_a_light_viewer_joins_and_is_sent_pictures_through_the_relay(floor, peers, wait_until):
    host = await peers.host()
    viewer = peers.light()
    late = Conditions(delay_ms=5, jitter_ms=5)
    async with UdpRelay(("127.0.0.1", floor.relay.udp_port), seed=7, down=late, up=late) as relay:
        answer = await floor.post("/whep/demo", viewer.offer("opus", "VP8"), "viewer-bob")
        async with asyncio.timeout(DEADLINE_S):
            await viewer.connect(through(answer.text, relay.port))
        host.show([1000, 500], keyframe=True)
        await wait_until(lambda: viewer.packets >= 2, "the picture comes")
        assert viewer.remote == ("127.0.0.1", relay.port)
        await viewer.close()


async def test_chromium_plays_on_behind_loss_and_hears_of_it(floor, tabs, wait_until):
    host = await tabs()
    await host.publish("demo", "host-ann", "VP8")
    await wait_until(lambda: floor.relay.shows and floor.show("demo").host_present, "the host is on air")
    conditions = Conditions(loss=0.05, delay_ms=10)
    async with Front(floor.base_url, seed=7, down=conditions, up=conditions) as front:
        viewer = await tabs()
        await viewer.page.goto(front.base_url + "/")
        await viewer.page.add_script_tag(path=TAB)
        await viewer.play("demo", "viewer-bob")
        async with asyncio.timeout(DEADLINE_S):
            while await viewer.frames() < 150:
                await asyncio.sleep(0.05)
        counts = front.counts()
        assert counts["down_lost"] > 0
        assert floor.show("demo").resent > 0


class Player:
    """How much longer than its network asks for does a tab's player hold each picture back, of late?"""

    def __init__(self, tab):
        self._tab, self._before = tab, (0, 0, 0)
        self.most_ms = 0
        self.repaired = 0

    async def look(self):
        video = (await self._tab.stats())["video"]
        names = ("jitterBufferTargetDelay", "jitterBufferMinimumDelay", "jitterBufferEmittedCount")
        now = tuple(video[name] for name in names)
        target, least, count = (a - b for a, b in zip(now, self._before, strict=True))
        self.repaired = video.get("retransmittedPacketsReceived", 0)
        if count >= 15:
            self._before = now
            self.most_ms = max(self.most_ms, 1000 * (target - least) / count)


@pytest.mark.parametrize("is_told", [True, False], ids=["with the hold", "without the hold"])
async def test_a_player_that_loses_packets_waits_for_those_that_come_again(
    floor, tabs, wait_until, monkeypatch, is_told
):
    if not is_told:
        monkeypatch.setattr(Hold, "missed", lambda *_: None)
    host = await tabs()
    await host.publish("demo", "host-ann", "VP8")
    await wait_until(lambda: floor.relay.shows and floor.show("demo").host_present, "the host is on air")
    conditions = Conditions(loss=0.05, delay_ms=25)
    async with Front(floor.base_url, seed=7, down=conditions, up=conditions) as front:
        viewer = await tabs()
        await viewer.page.goto(front.base_url + "/")
        await viewer.page.add_script_tag(path=TAB)
        await viewer.page.evaluate("kinds = ['video']")  # no sound that the picture must wait for
        await viewer.play("demo", "viewer-bob")
        await wait_until(viewer.frames, "it plays")
        player = Player(viewer)

        async def knows():
            await player.look()
            return player.most_ms > 200 if is_told else player.repaired >= 8

        await wait_until(knows, "it holds its pictures back, or has missed many packets")
        assert (player.most_ms > 200) == is_told, player.most_ms
