"""The synthetic host's picture: a camera gliding along a kitchen counter with the shop's goods, and two clocks.

Owns: the panorama, drawn once. A frame is then 720 copied rows and two clocks: under a millisecond.
Invariant: the clock for people (top left) and the row of blocks for machines (bottom) show the same instant.
"""

import time
from functools import lru_cache

import av

from live.demo import pixel_clock
from live.demo.canvas import Canvas, Colour

WIDTH, HEIGHT, FPS = 640, 360, 30
PERIOD = 1280
"""The panorama's width in pixels; it repeats."""
STEP = 2
"""Pixels a frame, even, so that the half-sized colour planes move along."""
BAR = 16
"""Height of the machine's clock: one macroblock of VP8, so that its edges stay sharp."""

_DIGITS = {
    "0": "01110 10001 10011 10101 11001 10001 01110",
    "1": "00100 01100 00100 00100 00100 00100 01110",
    "2": "01110 10001 00001 00110 01000 10000 11111",
    "3": "11111 00010 00100 00010 00001 10001 01110",
    "4": "00010 00110 01010 10010 11111 00010 00010",
    "5": "11111 10000 11110 00001 00001 10001 01110",
    "6": "00110 01000 10000 11110 10001 10001 01110",
    "7": "11111 00001 00010 00100 01000 01000 01000",
    "8": "01110 10001 10001 01110 10001 10001 01110",
    "9": "01110 10001 10001 01111 00001 00010 01100",
    ":": "00000 00100 00100 00000 00100 00100 00000",
    ".": "00000 00000 00000 00000 00000 01100 01100",
}
_SCALE = 3
_LEFT, _TOP, _PAD = 16, 16, 9
_PANEL_LUMA, _INK_LUMA = 28, 225


class Picture:
    """Draws frames. One at a time; each frame is the caller's to keep."""

    def __init__(self) -> None:
        canvas = Canvas(PERIOD, HEIGHT, (246, 228, 208))
        _paint(canvas)
        y, u, v = canvas.planes()
        # The first screenful again at the end, so that a row of any offset is one slice.
        self._planes = [[memoryview(row + row[:width]) for row in plane] for plane, width in _widths(y, u, v)]
        self._glyphs = {char: _glyph(bits) for char, bits in _DIGITS.items()}

    def frame(self, index: int, now_ms: int) -> av.VideoFrame:
        """The picture number `index`, with the clocks at `now_ms` (milliseconds since 1970)."""
        made = av.VideoFrame(WIDTH, HEIGHT, "yuv420p")
        offset = index * STEP % PERIOD
        for plane, rows, divisor in zip(made.planes, self._planes, (1, 2, 2), strict=True):
            target, stride, start, width = memoryview(plane), plane.line_size, offset // divisor, plane.width
            for number, row in enumerate(rows):
                target[number * stride : number * stride + width] = row[start : start + width]
        self._draw_digits(made, now_ms)
        _draw_blocks(made, now_ms)
        return made

    def _draw_digits(self, frame: av.VideoFrame, now_ms: int) -> None:
        text = clock_text(now_ms)
        luma, stride = memoryview(frame.planes[0]), frame.planes[0].line_size
        panel = bytes([_PANEL_LUMA])
        blank = panel * (len(text) * 6 * _SCALE - _SCALE + 2 * _PAD)
        rows = [
            panel * _PAD + b"".join(self._glyphs[char][row] for char in text)[:-_SCALE] + panel * _PAD
            for row in range(7)
        ]
        lines = [blank] * _PAD + [row for row in rows for _ in range(_SCALE)] + [blank] * _PAD
        for number, line in enumerate(lines, _TOP):
            luma[number * stride + _LEFT : number * stride + _LEFT + len(line)] = line
        for plane in frame.planes[1:]:
            chroma, stride, grey = memoryview(plane), plane.line_size, bytes([128]) * (len(blank) // 2)
            for number in range(_TOP // 2, (_TOP + len(lines)) // 2):
                chroma[number * stride + _LEFT // 2 : number * stride + _LEFT // 2 + len(grey)] = grey


def clock_text(now_ms: int) -> str:
    """HH:MM:SS.mmm in the time zone of this machine."""
    seconds, millis = divmod(now_ms, 1000)
    return f"{_whole_seconds(seconds)}.{millis:03d}"


@lru_cache(maxsize=2)
def _whole_seconds(seconds: int) -> str:
    return time.strftime("%H:%M:%S", time.localtime(seconds))


def _draw_blocks(frame: av.VideoFrame, now_ms: int) -> None:
    width = WIDTH // pixel_clock.BLOCKS
    white, black = bytes([pixel_clock.WHITE]) * width, bytes([pixel_clock.BLACK]) * width
    line = b"".join(white if bit else black for bit in pixel_clock.blocks(now_ms))
    luma, stride = memoryview(frame.planes[0]), frame.planes[0].line_size
    for number in range(HEIGHT - BAR, HEIGHT):
        luma[number * stride : number * stride + WIDTH] = line


def _glyph(bits: str) -> list[bytes]:
    """Seven rows of five dots and a gap, each dot `_SCALE` wide."""
    ink, panel = bytes([_INK_LUMA]) * _SCALE, bytes([_PANEL_LUMA]) * _SCALE
    return [b"".join(ink if dot == "1" else panel for dot in row + "0") for row in bits.split()]


def _widths(y: list[bytes], u: list[bytes], v: list[bytes]) -> list[tuple[list[bytes], int]]:
    return [(y, WIDTH), (u, WIDTH // 2), (v, WIDTH // 2)]


COUNTER_Y = 262
_RED, _BLUE, _CREAM = (196, 62, 52), (54, 98, 168), (240, 226, 190)
_STEEL, _DARK, _WOOD, _WOOD_DARK = (196, 204, 210), (58, 50, 48), (176, 120, 76), (140, 92, 56)


def _paint(canvas: Canvas) -> None:
    _wall(canvas)
    _counter(canvas)
    for number, colour in enumerate([(206, 132, 40), (150, 60, 40), (110, 130, 60), (214, 178, 70)]):
        _jar(canvas, 70 + 48 * number, colour)
    _knife_block(canvas, 330)
    for x, colour in ((500, _RED), (640, _BLUE), (780, _CREAM)):
        _pot(canvas, x, colour)
    _apron(canvas, 960)
    _cookbook(canvas, 1110)


def _wall(canvas: Canvas) -> None:
    for x in range(0, PERIOD, 80):
        for row, y in enumerate(range(0, COUNTER_Y, 44)):
            canvas.rectangle(x + 40 * (row % 2) - 38, y + 2, 76, 40, (250, 236, 218), radius=4)
    canvas.rectangle(0, 118, PERIOD, 8, _WOOD)
    for x in (40, 430, 720, 1040):
        canvas.rectangle(x, 84, 22, 34, (214, 150, 110), radius=4)
        canvas.circle(x + 11, 72, 20, (108, 148, 92))
        canvas.circle(x - 2, 80, 13, (128, 166, 104))
        canvas.circle(x + 24, 80, 13, (92, 132, 80))


def _counter(canvas: Canvas) -> None:
    canvas.rectangle(0, COUNTER_Y, PERIOD, 14, _WOOD)
    canvas.rectangle(0, COUNTER_Y + 14, PERIOD, HEIGHT, _WOOD_DARK)
    for x in range(0, PERIOD, 160):
        canvas.rectangle(x + 6, COUNTER_Y + 24, 148, 50, (152, 102, 64), radius=6)
        canvas.rectangle(x + 70, COUNTER_Y + 44, 20, 6, _STEEL, radius=3)
    canvas.rectangle(0, HEIGHT - BAR, PERIOD, BAR, (0, 0, 0))


def _jar(canvas: Canvas, x: float, colour: Colour) -> None:
    canvas.rectangle(x, COUNTER_Y - 58, 38, 58, (232, 238, 240), radius=7)
    canvas.rectangle(x + 4, COUNTER_Y - 44, 30, 40, colour, radius=5)
    canvas.rectangle(x + 2, COUNTER_Y - 70, 34, 16, _DARK, radius=4)
    canvas.rectangle(x + 8, COUNTER_Y - 32, 22, 16, (250, 246, 236), radius=2)


def _knife_block(canvas: Canvas, x: float) -> None:
    canvas.trapezium((x - 4, x + 62, COUNTER_Y - 66), (x + 4, x + 84, COUNTER_Y), _WOOD_DARK)
    for number in range(4):
        canvas.rectangle(x + 2 + 15 * number, COUNTER_Y - 104 + 4 * number, 9, 42, _DARK, radius=3)
        canvas.circle(x + 6.5 + 15 * number, COUNTER_Y - 94 + 4 * number, 2, _STEEL)
    canvas.rectangle(x + 108, COUNTER_Y - 20, 74, 8, _STEEL, radius=4)
    canvas.rectangle(x + 92, COUNTER_Y - 22, 34, 11, _DARK, radius=4)


def _pot(canvas: Canvas, x: float, colour: Colour) -> None:
    shade: Colour = (colour[0] * 4 // 5, colour[1] * 4 // 5, colour[2] * 4 // 5)
    canvas.rectangle(x - 14, COUNTER_Y - 56, 128, 12, shade, radius=6)
    canvas.rectangle(x, COUNTER_Y - 66, 100, 66, colour, radius=14)
    canvas.rectangle(x, COUNTER_Y - 70, 100, 10, shade, radius=4)
    canvas.trapezium((x + 20, x + 80, COUNTER_Y - 84), (x + 2, x + 98, COUNTER_Y - 70), colour)
    canvas.circle(x + 50, COUNTER_Y - 91, 8, _DARK)
    canvas.rectangle(x + 12, COUNTER_Y - 54, 8, 40, (255, 255, 255), radius=4)


def _apron(canvas: Canvas, x: float) -> None:
    canvas.rectangle(x + 34, 126, 4, 16, _DARK)
    canvas.trapezium((x + 16, x + 56, 142), (x + 4, x + 68, 176), (62, 110, 104))
    canvas.rectangle(x - 6, 174, 84, 74, (62, 110, 104), radius=8)
    canvas.rectangle(x + 16, 196, 40, 26, (48, 88, 84), radius=4)


def _cookbook(canvas: Canvas, x: float) -> None:
    canvas.rectangle(x, COUNTER_Y - 92, 70, 92, (120, 44, 62), radius=4)
    canvas.rectangle(x + 64, COUNTER_Y - 88, 8, 84, (244, 240, 228))
    canvas.rectangle(x + 10, COUNTER_Y - 78, 46, 8, (236, 200, 120), radius=2)
    canvas.rectangle(x + 16, COUNTER_Y - 64, 34, 5, (236, 200, 120), radius=2)
    canvas.circle(x + 33, COUNTER_Y - 34, 15, (236, 200, 120))
