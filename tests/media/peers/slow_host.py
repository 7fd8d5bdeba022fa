"""A host with 4 s between its keyframes that answers no PLI: `slow_host.py BASE SHOW TOKEN VP8|H264`.

H264 by FFmpeg's WHIP muxer; VP8 by a light peer. The picture carries the machine's clock, the sound is a tone.
"""

import asyncio
import struct
import sys
import time
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import httpx2

sys.path.insert(0, str(Path(__file__).parents[3]))
sys.path.insert(0, str(Path(__file__).parents[3] / "benchmarks"))

from light_peer import LightHost

from live.demo.picture import FPS, HEIGHT, WIDTH, Picture
from live.demo.sound import RATE, SAMPLES, Sound
from media.clock import now_ms
from media.core import rtcp
from media.core.reception import ntp
from media.dtls import Certificate

GOP = 4 * FPS
MTU = 1150


def camera(picture: Picture, number: int) -> av.VideoFrame:
    frame = picture.frame(number, now_ms())
    frame.pts, frame.time_base = number, Fraction(1, FPS)
    return frame


def microphone(sound: Sound, number: int) -> av.AudioFrame:
    frame = sound.frame(number)
    frame.pts, frame.time_base = number * SAMPLES, Fraction(1, RATE)
    return frame


def beats() -> Iterator[tuple[int, float]]:
    """Picture numbers, and how long to wait before each."""
    began = time.monotonic()
    for number in range(120 * FPS):
        yield number, max(0.0, began + number / FPS - time.monotonic())


def mux(url: str, token: str) -> None:
    with av.open(url, "w", format="whip", options={"authorization": token}) as out:
        settings = {"profile": "baseline", "preset": "ultrafast", "tune": "zerolatency", "g": str(GOP)}
        video = out.add_stream("libx264", rate=FPS, options=settings | {"sc_threshold": "0"})
        video.width, video.height, video.pix_fmt, video.bit_rate = WIDTH, HEIGHT, "yuv420p", 1_500_000
        video.codec_context.max_b_frames = 0
        audio = out.add_stream("libopus", rate=RATE, layout="stereo")
        picture, sound, heard = Picture(), Sound(), 0
        for number, pause in beats():
            time.sleep(pause)
            out.mux(video.encode(camera(picture, number)))
            while heard * SAMPLES / RATE < (number + 1) / FPS:
                out.mux(audio.encode(microphone(sound, heard)))
                heard += 1


async def send(base: str, show: str, token: str) -> None:
    host = LightHost(Certificate.generateCertificate())
    headers = {"Content-Type": "application/sdp", "Authorization": f"Bearer {token}"}
    async with httpx2.AsyncClient(base_url=base) as http:
        offer = host.offer("opus", "VP8", direction="sendonly")
        await host.connect((await http.post(f"/whip/{show}", content=offer, headers=headers)).text)
    video = av.CodecContext.create("libvpx", "w")
    video.width, video.height, video.pix_fmt, video.bit_rate = WIDTH, HEIGHT, "yuv420p", 1_500_000
    video.time_base, video.framerate, video.gop_size = Fraction(1, FPS), Fraction(FPS), GOP
    video.options = {"deadline": "realtime", "cpu-used": "8", "lag-in-frames": "0", "keyint_min": str(GOP)}
    audio = av.CodecContext.create("libopus", "w")
    audio.sample_rate, audio.layout, audio.format = RATE, "stereo", "s16"
    picture, sound, heard = Picture(), Sound(), 0
    for number, pause in beats():
        await asyncio.sleep(pause)
        while heard * SAMPLES / RATE < (number + 1) / FPS:
            for packet in audio.encode(microphone(sound, heard)):
                host.timestamp[111] += SAMPLES
                host._packet(111, host.audio_ssrc, bytes(packet), marker=False)
            heard += 1
        if number % FPS == 0:
            report(host)
        for packet in video.encode(camera(picture, number)):
            await show_picture(host, bytes(packet))


def report(host: LightHost) -> None:
    for ssrc, kind in ((host.audio_ssrc, 111), (host.video_ssrc, 96)):
        told = rtcp.SenderReport(ssrc, ntp(now_ms()), host.timestamp[kind] & 0xFFFFFFFF, 0, 0)
        host.send_rtcp(rtcp.sender_report(told, "slow"))


async def show_picture(host: LightHost, picture: bytes) -> None:
    host.timestamp[96] += 90_000 // FPS
    for at in range(0, len(picture), MTU):
        payload = struct.pack("B", 0x10 if at == 0 else 0) + picture[at : at + MTU]
        host._packet(96, host.video_ssrc, payload, marker=at + MTU >= len(picture))
        if at // MTU % 8 == 7:
            await asyncio.sleep(0.001)


if __name__ == "__main__":
    base, show, token, codec = sys.argv[1:]
    if codec == "H264":
        mux(f"{base}/whip/{show}", token)
    else:
        asyncio.run(send(base, show, token))
