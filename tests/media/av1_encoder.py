"""Writes the first temporal unit of a test card to standard output, as SVT-AV1 makes it. A process of its own."""

import sys
from fractions import Fraction

import av

WIDTH, HEIGHT = 640, 360


def main() -> None:
    encoder = av.VideoCodecContext.create("libsvtav1", "w")
    encoder.width, encoder.height, encoder.pix_fmt = WIDTH, HEIGHT, "yuv420p"
    encoder.time_base, encoder.options = Fraction(1, 30), {"svtav1-params": "lookahead=0:pred-struct=1"}
    packets = []
    with av.open(f"testsrc2=size={WIDTH}x{HEIGHT}:rate=30", format="lavfi") as source:
        for number, made in zip(range(2), source.decode(video=0), strict=False):
            ready = made.reformat(format="yuv420p")
            ready.pts, ready.time_base = number, Fraction(1, 30)
            packets += encoder.encode(ready)
    sys.stdout.buffer.write(bytes((packets + encoder.encode(None))[0]))


if __name__ == "__main__":
    main()
