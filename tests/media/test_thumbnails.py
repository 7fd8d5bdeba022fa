"""Pictures of shows: real keyframes of the relay, and decoders that die, hang and lie."""

import os
import sys
from pathlib import Path

import pytest

from media.clock import now_ms
from media.core.formats import Codec, Kind
from media.core.history import Packet
from media.decoder import Picture, Request, frame
from media.thumbnails import BLAME_MS, EVERY_MS, IDLE_S, STALE_MS, Decoder, DecoderLost, Thumbnails, keyframe_of
from schema.ids import ShowId

DEMO, OTHER = ShowId("demo"), ShowId("other")
BEGIN = f"""
import sys, os, time
def tell(said={frame(Picture(jpeg=b"a picture", width=4, height=2))!r}):
    sys.stdout.buffer.write(said); sys.stdout.flush()
def ask():
    return sys.stdin.buffer.read(int.from_bytes(sys.stdin.buffer.read(4), "big"))
tell({frame(Picture())!r})
"""
"""A process that greets; what follows is how it behaves."""


def packet(sequence, timestamp=90_000, *, marker=False, payload=b"x", padded=False, codec=Codec.VP8):
    return Packet(Kind.VIDEO, codec, sequence, timestamp, marker, payload, padded, sequence == 1)


WHOLE = [packet(1), packet(2), packet(3, marker=True)]


def that(program: str, **options) -> Decoder:
    return Decoder((sys.executable, "-c", BEGIN + program), **options)


class Shows:
    """Keyframes as the relay has them, and which shows anyone may watch."""

    def __init__(self, **on_air):
        self.on_air = {ShowId(name): packets for name, packets in on_air.items()}
        self.open = set(self.on_air)
        self.wanted = []

    def keyframes(self):
        return self.on_air

    def want_picture(self, show):
        self.wanted.append(show)

    async def allowed(self, show):
        return show in self.open


@pytest.fixture
async def make():
    made = []

    def thumbnails(shows, decoder):
        made.append(Thumbnails(shows, shows.allowed, decoder))
        return made[-1]

    yield thumbnails
    for one in made:
        await one.decoder.stop()


# Which packets are a keyframe


def test_a_keyframe_is_what_shares_its_first_packets_timestamp():
    assert keyframe_of([*WHOLE, packet(4, 93_000, marker=True)]) == Request("VP8", (b"x", b"x", b"x"))


@pytest.mark.parametrize(
    "packets",
    [[], WHOLE[:2], [WHOLE[0], WHOLE[2]], [packet(1, payload=bytes(2_100_000), marker=True)]],
    ids=["nothing", "its end is missing", "its middle is missing", "too large"],
)
def test_a_part_of_a_keyframe_or_a_huge_one_is_none(packets):
    assert keyframe_of(packets) is None


def test_padding_is_no_picture():
    padded = [packet(1, payload=b"ab\0\0\3", padded=True), packet(2, payload=b"\0\0\0\4", padded=True, marker=True)]
    assert keyframe_of(padded) == Request("VP8", (b"ab",))


# The process


async def test_a_decoder_answers_more_than_once_in_one_process():
    decoder = that("while ask(): tell()")
    for _ in range(3):
        assert (await decoder.decode(Request("VP8", (b"x",)))).jpeg == b"a picture"
    assert (decoder.starts, decoder.losses) == (1, 0)
    await decoder.stop()


@pytest.mark.parametrize(
    "program",
    [
        "os.kill(os.getpid(), 11)",
        "sys.exit(0)",
        "time.sleep(60)",
        "tell(b'\\xff' * 100); time.sleep(60)",
        "tell(b'\\0\\0\\0\\1\\xc1'); time.sleep(60)",
    ],
    ids=["crashes", "ends", "hangs", "says too much", "says nonsense"],
)
async def test_a_decoder_that_does_not_answer_is_gone_and_the_next_request_gets_another(program):
    decoder = that(program, deadline_s=0.5)
    for times in (1, 2):
        with pytest.raises(DecoderLost):
            await decoder.decode(Request("VP8", (b"x",)))
        assert (decoder.starts, decoder.losses, decoder.pid) == (times, times, None)


async def test_a_process_that_was_killed_between_two_requests_is_replaced():
    decoder = Decoder()
    assert await decoder.decode(Request("VP8", (b"junk",))) == Picture()
    os.kill(decoder.pid, 9)
    await decoder._process.wait()
    assert await decoder.decode(Request("VP8", (b"junk",))) == Picture()
    assert (decoder.starts, decoder.losses) == (2, 0)
    await decoder.stop()


async def test_the_process_knows_no_secret_of_ours(monkeypatch):
    monkeypatch.setenv("SHOWFLOOR_TOKEN_SECRET", "geheim")
    decoder = that("time.sleep(60)", deadline_s=0.1)
    process = await decoder._running()
    assert Path(f"/proc/{process.pid}/environ").read_bytes() == b"LANG=C.UTF-8\0"  # noqa: ASYNC240 - it is memory
    await decoder.stop()


# The pictures of shows


def answering() -> Decoder:
    return that("while ask(): tell()")


async def test_only_shows_that_anyone_may_watch_are_shown_and_one_that_closes_is_forgotten(make):
    shows = Shows(demo=WHOLE, other=WHOLE)
    shows.open = {DEMO}
    thumbnails = make(shows, answering())
    await thumbnails.look(1_000)
    shown = thumbnails.get(DEMO)
    assert (shown.jpeg, shown.width, shown.height, shown.taken_ms) == (b"a picture", 4, 2, 1_000)
    assert thumbnails.get(OTHER) is None
    shows.open = set()
    await thumbnails.look(2_000)
    assert thumbnails.get(DEMO) is None


async def test_a_show_is_asked_every_ten_seconds_and_only_for_a_new_keyframe(make):
    shows = Shows(demo=WHOLE)
    thumbnails = make(shows, answering())

    async def taken(now, packets):
        shows.on_air[DEMO] = packets
        await thumbnails.look(now)
        return thumbnails.get(DEMO).taken_ms

    later = [one._replace(sequence=one.sequence + 50, timestamp=1) for one in WHOLE]
    assert await taken(0, WHOLE) == 0
    assert await taken(EVERY_MS - 1, later) == 0
    assert await taken(EVERY_MS, WHOLE) == 0
    assert await taken(EVERY_MS + 1, later) == EVERY_MS + 1


async def test_a_show_that_kills_the_decoder_waits_longer_each_time_and_others_do_not(make):
    evil = [packet(1, payload=b"evil", marker=True)]
    shows = Shows(demo=evil, other=WHOLE)
    thumbnails = make(shows, that("while said := ask(): os.kill(os.getpid(), 11) if b'evil' in said else tell()"))
    await thumbnails.look(0)
    assert thumbnails.get(DEMO) is None
    assert thumbnails.get(OTHER).jpeg == b"a picture"
    assert thumbnails.decoder.losses == 1

    shows.on_air = {DEMO: evil}
    for number, now in enumerate((BLAME_MS - 1, BLAME_MS, 2 * BLAME_MS, 3 * BLAME_MS)):
        shows.on_air[DEMO] = [evil[0]._replace(sequence=100 + number)]
        await thumbnails.look(now)
    assert thumbnails.decoder.losses == 3  # at 0, at 20 s, and 40 s after that


async def test_a_host_that_sends_no_keyframe_is_asked_once_a_minute_while_somebody_looks(make):
    shows = Shows(demo=WHOLE, other=WHOLE)
    thumbnails, began = make(shows, answering()), now_ms()
    await thumbnails.look(began)
    shows.on_air = {DEMO: [], OTHER: []}  # the group of pictures has been given up
    await thumbnails.look(began + STALE_MS)
    assert shows.wanted == []  # nobody looks
    assert thumbnails.get(DEMO).jpeg == b"a picture"  # a minute old is better than none
    looks = [STALE_MS - 1, STALE_MS, STALE_MS + 1, 2 * STALE_MS - 1]
    for after in looks:
        thumbnails._shows[DEMO].wanted_ms = began + after
        await thumbnails.look(began + after)
    assert shows.wanted == [DEMO]
    later = [one._replace(sequence=one.sequence + 50) for one in WHOLE]
    shows.on_air[DEMO] = later  # it came late
    thumbnails._shows[DEMO].wanted_ms = began + 2 * STALE_MS
    await thumbnails.look(began + 2 * STALE_MS)
    assert shows.wanted == [DEMO]
    await thumbnails.look(began + 3 * STALE_MS - 1)
    await thumbnails.look(began + 3 * STALE_MS + 1)
    assert shows.wanted == [DEMO]  # the last look at it was more than a minute ago


async def test_a_picture_that_was_never_there_is_asked_for_with_the_first_look(make):
    shows = Shows(demo=[])
    thumbnails, now = make(shows, answering()), now_ms()
    await thumbnails.look(now)
    assert shows.wanted == []
    assert thumbnails.get(DEMO) is None
    await thumbnails.look(now)
    await thumbnails.look(now + 1000)
    assert shows.wanted == [DEMO]


async def test_without_work_the_process_ends(make):
    thumbnails = make(Shows(demo=WHOLE), answering())
    await thumbnails.look(1_000)
    assert thumbnails.decoder.pid
    await thumbnails.look(1_001 + int(IDLE_S * 1000))
    assert thumbnails.decoder.pid is None
