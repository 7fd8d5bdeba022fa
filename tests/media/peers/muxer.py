"""Publish a moving picture and a tone through FFmpeg's WHIP muxer: `muxer.py URL TOKEN [SECONDS]`."""

import math
import struct
import sys
import time
from fractions import Fraction

import av

WIDTH, HEIGHT, FPS, RATE, SAMPLES = 320, 180, 25, 48_000, 960


def picture(number: int) -> av.VideoFrame:
    frame = av.VideoFrame(WIDTH, HEIGHT, "yuv420p")
    luma, *chroma = frame.planes
    row = bytes((x + number * 4) & 0xFF for x in range(luma.line_size))
    luma.update(row * luma.height)
    for plane in chroma:
        plane.update(bytes([128 + (number & 31)]) * plane.buffer_size)
    frame.pts, frame.time_base = number, Fraction(1, FPS)
    return frame


def tone(number: int) -> av.AudioFrame:
    frame = av.AudioFrame(format="s16", layout="stereo", samples=SAMPLES)
    start = number * SAMPLES
    wave = (int(8000 * math.sin((start + n) * 440 * 2 * math.pi / RATE)) for n in range(SAMPLES))
    frame.planes[0].update(b"".join(struct.pack("<hh", value, value) for value in wave))
    frame.pts, frame.sample_rate, frame.time_base = start, RATE, Fraction(1, RATE)
    return frame


def publish(url: str, token: str, seconds: float) -> None:
    with av.open(url, "w", format="whip", options={"authorization": token}) as out:
        video = out.add_stream(
            "libx264", rate=FPS, options={"profile": "baseline", "tune": "zerolatency", "g": "25", "sc_threshold": "0"}
        )
        video.width, video.height, video.pix_fmt, video.bit_rate = WIDTH, HEIGHT, "yuv420p", 500_000
        video.codec_context.max_b_frames = 0
        audio = out.add_stream("libopus", rate=RATE, layout="stereo")
        began, heard = time.monotonic(), 0
        for number in range(int(seconds * FPS)):
            out.mux(video.encode(picture(number)))
            while heard * SAMPLES / RATE < (number + 1) / FPS:
                out.mux(audio.encode(tone(heard)))
                heard += 1
            time.sleep(max(0.0, began + (number + 1) / FPS - time.monotonic()))


if __name__ == "__main__":
    publish(sys.argv[1], sys.argv[2], float(sys.argv[3]) if len(sys.argv) > 3 else 60)
