"""A show whose fan-out gets no turn."""

from media import show as show_module
from media.core.formats import Codec, Kind
from media.core.rtp import Header
from media.feed import Stream

SOUNDS, PACKETS = 10, 3000


async def on_air(floor, peers, wait_until):
    """The show of a host who is connected."""
    await peers.host()
    show = floor.relay.shows["demo"]
    await wait_until(lambda: show.feed, "the host is on air")
    return show


def flood(show):
    """Ten packets of sound, then three thousand of video, before anything is flushed; what waits then."""
    feed = show.feed.rtp
    for number in range(SOUNDS):
        feed(Header(111, False, number, 960 * number, 1, False, 12), bytes(80), 1000)
    for number in range(PACKETS):
        feed(Header(96, False, number, 3000 * number, 2, False, 12), b"\x10\x01", 1000)
    return show._pending_sound + show.layers[0].pending


async def test_of_what_waits_for_a_flush_the_oldest_video_goes_first(floor, peers, wait_until):
    show = await on_air(floor, peers, wait_until)
    waiting = flood(show)
    assert len(waiting) == 2048
    assert [packet.kind for packet in waiting[:SOUNDS]] == [Kind.AUDIO] * SOUNDS
    video = [packet.sequence for packet in waiting[SOUNDS:]]
    assert video == list(range(video[0], video[0] + 2048 - SOUNDS))
    assert video[-1] == show.layers[0].track.highest
    assert show.stats().packets_dropped == SOUNDS + PACKETS - 2048


async def test_without_the_bound_all_would_wait(floor, peers, wait_until, monkeypatch):
    monkeypatch.setattr(show_module, "MAX_PENDING", 1 << 30)
    assert len(flood(await on_air(floor, peers, wait_until))) == SOUNDS + PACKETS


async def waiting(floor, peers, wait_until):
    """The show of a silent host, with a viewer who waits for the first keyframe."""
    show = await on_air(floor, peers, wait_until)
    await peers.viewer()
    await wait_until(lambda: show.layers[0].wished, "the viewer waits")
    return show


def is_asked_for(show):
    """Whether the host is about to be asked for a keyframe."""
    return show.feed._wishes[0].due(1 << 50)


async def test_who_waits_for_a_picture_has_a_keyframe_asked_for_again_when_one_was_given_up(floor, peers, wait_until):
    show = await waiting(floor, peers, wait_until)
    show.feed.keyframe_arrived(0)  # and then it was given up, for the fan-out had fallen behind
    assert not is_asked_for(show)
    show.watch(1000, 1 << 40)
    assert is_asked_for(show)


async def test_another_source_of_a_layer_is_asked_for_a_keyframe(floor, peers, wait_until):
    show = await on_air(floor, peers, wait_until)
    show.feed.keyframe_arrived(0)
    show.begin(Stream(Kind.AUDIO, 0, Codec.OPUS))
    assert not is_asked_for(show)
    show.begin(Stream(Kind.VIDEO, 0, Codec.VP8))
    assert is_asked_for(show)
