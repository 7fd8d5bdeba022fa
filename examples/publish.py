"""Publish a test picture and a tone to a show by WHIP, with FFmpeg's muxer out of PyAV's wheel.

python examples/publish.py http://127.0.0.1:8080/whip/demo TOKEN [SECONDS]
"""

import sys
import time
from fractions import Fraction

import av


def main(url: str, token: str, seconds: str = "30") -> None:
    out = av.open(url, "w", format="whip", options={"authorization": token})
    video = out.add_stream(
        "libx264", rate=30, options={"preset": "ultrafast", "tune": "zerolatency", "bf": "0", "g": "30"}
    )
    video.width, video.height, video.pix_fmt, video.profile = 640, 360, "yuv420p", "Baseline"
    video.bit_rate = 1_000_000
    audio = out.add_stream("libopus", rate=48_000, layout="stereo")
    began, tone = time.monotonic(), bytes(960 * 4)
    samples = 0
    for number in range(int(float(seconds) * 30)):
        frame = av.VideoFrame(640, 360, "yuv420p")
        for plane, level in zip(frame.planes, (number * 3 % 220 + 16, 90, 160), strict=True):
            plane.update(bytes([level]) * plane.buffer_size)
        frame.pts, frame.time_base = number, Fraction(1, 30)
        out.mux(video.encode(frame))
        while samples < number * 1600:
            sound = av.AudioFrame(format="s16", layout="stereo", samples=960)
            sound.planes[0].update(tone)
            sound.sample_rate, sound.pts, sound.time_base = 48_000, samples, Fraction(1, 48_000)
            out.mux(audio.encode(sound))
            samples += 960
        time.sleep(max(0.0, began + number / 30 - time.monotonic()))
    out.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
