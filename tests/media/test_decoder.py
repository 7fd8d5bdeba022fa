"""The decoder's process, asked over its pipes: pictures of real encoders, mangled ones, and what it is allowed."""

import random
import resource
import subprocess
import sys
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import msgspec
import pytest
from aiortc.codecs import get_encoder
from aiortc.rtcrtpparameters import RTCRtpCodecParameters

from media.decoder import MAX_BYTES, MEMORY_BYTES, Picture, Request, answer, frame, thumbnail

WIDTH, HEIGHT = 640, 360
JPEG = b"\xff\xd8\xff"
AV1_ENCODER = Path(__file__).parent / "av1_encoder.py"


def pictures(count: int, width: int = WIDTH, height: int = HEIGHT) -> Iterator[av.VideoFrame]:
    with av.open(f"testsrc2=size={width}x{height}:rate=30", format="lavfi") as source:
        for number, made in enumerate(source.decode(video=0)):
            if number == count:
                return
            ready = made.reformat(format="yuv420p")
            ready.pts, ready.time_base = number, Fraction(1, 30)
            yield ready


def from_aiortc(codec: str) -> tuple[bytes, ...]:
    """A keyframe as aiortc puts it into RTP."""
    parameters = {"packetization-mode": "1", "profile-level-id": "42e01f"} if codec == "H264" else {}
    encoder = get_encoder(RTCRtpCodecParameters(f"video/{codec}", 90000, payloadType=100, parameters=parameters))
    payloads, _ = encoder.encode(next(pictures(1)), force_keyframe=True)
    return tuple(payloads)


def encoded(name: str, count: int, **options: str) -> bytes:
    encoder = av.VideoCodecContext.create(name, "w")
    encoder.width, encoder.height, encoder.pix_fmt = WIDTH, HEIGHT, "yuv420p"
    encoder.time_base, encoder.options = Fraction(1, 30), options
    packets = [packet for one in pictures(count) for packet in encoder.encode(one)]
    return bytes((packets + encoder.encode(None))[0])


def vp9() -> tuple[bytes, ...]:
    data = encoded("libvpx-vp9", 1)
    parts = [data[at : at + 1200] for at in range(0, len(data), 1200)]
    return tuple(bytes((0x8 if n == 0 else 0,)) + part for n, part in enumerate(parts))


def av1() -> tuple[bytes, ...]:
    """A temporal unit, cut as RTP cuts it: one element that goes on from packet to packet for each large unit.

    The encoder has a process of its own: for root, SVT-AV1 makes its caller a real-time process (SCHED_FIFO, 99),
    with every process that is started afterwards.
    """
    encoder = subprocess.run([sys.executable, AV1_ENCODER], capture_output=True, check=True, timeout=60)
    data, payloads, at = encoder.stdout, [], 0
    while at < len(data):
        head, size, shift, start = data[at], 0, 0, at + 1
        while True:
            size |= (data[start] & 0x7F) << shift
            shift, start = shift + 7, start + 1
            if not data[start - 1] & 0x80:
                break
        unit, at = bytes((head & ~2,)) + data[start : start + size], start + size
        parts = [unit[n : n + 1100] for n in range(0, len(unit), 1100)]
        payloads += [
            bytes((0x10 | (0x80 if n else 0) | (0x40 if n < len(parts) - 1 else 0),)) + part
            for n, part in enumerate(parts)
        ]
    return tuple(payloads)


KEYFRAMES = {"VP8": lambda: from_aiortc("VP8"), "H264": lambda: from_aiortc("H264"), "VP9": vp9, "AV1": av1}


@pytest.fixture(scope="module", params=KEYFRAMES)
def keyframe(request: pytest.FixtureRequest) -> Request:
    return Request(request.param, KEYFRAMES[request.param]())


def colour(jpeg: bytes) -> set[int]:
    decoder = av.VideoCodecContext.create("mjpeg", "r")
    shown = decoder.decode(av.Packet(jpeg))[0]
    assert (shown.width, shown.height) == (320, 180)
    return set(bytes(shown.planes[0]))


def test_a_keyframe_of_each_codec_becomes_a_small_jpeg(keyframe):
    made = thumbnail(keyframe)
    assert (made.width, made.height) == (WIDTH, HEIGHT)
    assert made.jpeg.startswith(JPEG)
    assert len(made.jpeg) <= MAX_BYTES
    assert len(colour(made.jpeg)) > 100  # a test card, not a grey picture


def test_a_picture_smaller_than_a_thumbnail_is_not_made_larger():
    encoder = get_encoder(RTCRtpCodecParameters("video/VP8", 90000, payloadType=100))
    payloads, _ = encoder.encode(next(pictures(1, 160, 90)), force_keyframe=True)
    made = thumbnail(Request("VP8", tuple(payloads)))
    decoder = av.VideoCodecContext.create("mjpeg", "r")
    assert decoder.decode(av.Packet(made.jpeg))[0].width == 160


def test_noise_that_hardly_compresses_stays_within_the_bound():
    encoder = av.VideoCodecContext.create("libvpx", "w")
    encoder.width, encoder.height, encoder.pix_fmt, encoder.time_base = 320, 320, "yuv420p", Fraction(1, 30)
    noisy = av.VideoFrame(320, 320, "yuv420p")
    noise = random.Random(5)
    for plane in noisy.planes:
        plane.update(noise.randbytes(plane.buffer_size))
    noisy.pts, noisy.time_base = 0, Fraction(1, 30)
    data = bytes([*encoder.encode(noisy), *encoder.encode(None)][0])
    made = thumbnail(Request("VP8", (b"\x10" + data,)))
    assert made.jpeg[:3] == JPEG
    assert len(made.jpeg) <= MAX_BYTES


@pytest.mark.parametrize("request_", [Request("VP8", ()), Request("H265", (b"x",)), Request("H264", (b"\x65none",))])
def test_what_is_no_picture_is_answered_with_none(request_):
    assert answer(msgspec.msgpack.encode(request_)) == Picture()


def test_what_is_no_request_is_answered_with_none():
    assert answer(b"\xc1") == Picture()


def converse(requests: list[Request]) -> list[Picture]:
    """A process of its own, asked all of it at once."""
    program = [sys.executable, "-m", "media.decoder"]
    said = b"".join(map(frame, requests))
    ended = subprocess.run(program, input=said, capture_output=True, check=False, timeout=60, env={})
    heard, found = ended.stdout, []
    while heard:
        size = int.from_bytes(heard[:4], "big")
        found.append(msgspec.msgpack.decode(heard[4 : 4 + size], type=Picture))
        heard = heard[4 + size :]
    return found


def test_the_process_greets_answers_in_order_and_ends_with_its_input(keyframe):
    assert converse([Request("VP8", (b"junk",)), keyframe]) == [Picture(), Picture(), thumbnail(keyframe)]


def test_mangled_keyframes_leave_it_able_to_show_the_next_whole_one(keyframe):
    chance, mangled = random.Random(11), []
    for _ in range(60):
        payloads = [bytearray(payload) for payload in keyframe.payloads]
        for _ in range(chance.randrange(1, 20)):
            payload = chance.choice(payloads)
            payload[chance.randrange(len(payload))] = chance.randrange(256)
        if chance.random() < 0.3:
            payloads.pop(chance.randrange(len(payloads)))
        mangled.append(Request(keyframe.codec, tuple(map(bytes, payloads))))
    heard = converse([*mangled, keyframe])
    # A decoder that dies is replaced by its owner; one that goes on must not be spoiled.
    assert len(heard) < 62 or heard[-1] == thumbnail(keyframe)


def test_the_process_is_confined():
    program = """
import sys, resource, os, media.decoder
media.decoder.confine()
print(resource.getrlimit(resource.RLIMIT_AS)[0], resource.getrlimit(resource.RLIMIT_FSIZE)[0], os.nice(0), os.geteuid())
"""
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True, timeout=60, text=True)
    memory, files, niceness, user = map(int, ended.stdout.split())
    assert (memory, files, niceness) == (MEMORY_BYTES, 0, 19)
    assert user != 0


def test_more_memory_than_allowed_is_an_answer_without_a_picture():
    """A VP8 keyframe that says it is 16383 x 16383: 400 MB a frame, and a decoder wants several."""
    head = b"\x10" + b"\x10\x02\x00" + b"\x9d\x01\x2a" + b"\xff\x3f\xff\x3f" + bytes(200)
    assert converse([Request("VP8", (head,))]) == [Picture(), Picture()]
    assert resource.getrlimit(resource.RLIMIT_AS)[0] != MEMORY_BYTES  # the process that asks is not confined
