"""A small drawing board: filled shapes on RGB rows, handed to FFmpeg's scaler for smooth edges.

Owns: the pixels. Pure Python and quick, because every shape is a run of pixels per row.
"""

from collections.abc import Callable
from math import sqrt

import av

SUPERSAMPLING = 2
"""Drawn twice as large as shown; the scaler's averaging is the anti-aliasing."""

Colour = tuple[int, int, int]


class Canvas:
    """`width` x `height` pixels as shown. Coordinates are those; parts outside are cut off."""

    def __init__(self, width: int, height: int, colour: Colour) -> None:
        self.width, self.height = width, height
        self._columns = width * SUPERSAMPLING
        self._rows = [bytearray(bytes(colour) * self._columns) for _ in range(height * SUPERSAMPLING)]

    def rectangle(  # noqa: PLR0917 - x, y, width, height are read as one
        self, x: float, y: float, width: float, height: float, colour: Colour, radius: float = 0
    ) -> None:
        """A rectangle, with rounded corners where `radius` is more than 0."""

        def span(row: float) -> tuple[float, float]:
            into = max(y + radius - row, row - (y + height - radius), 0.0)
            inset = radius - sqrt(max(radius * radius - into * into, 0.0))
            return x + inset, x + width - inset

        self._fill(y, y + height, span, colour)

    def circle(self, x: float, y: float, radius: float, colour: Colour) -> None:
        """A disc around (x, y)."""

        def span(row: float) -> tuple[float, float]:
            half = sqrt(max(radius * radius - (row - y) ** 2, 0.0))
            return x - half, x + half

        self._fill(y - radius, y + radius, span, colour)

    def trapezium(self, top: tuple[float, float, float], bottom: tuple[float, float, float], colour: Colour) -> None:
        """Between two level edges, each (left, right, y)."""
        (left, right, y), (left_below, right_below, y_below) = top, bottom

        def span(row: float) -> tuple[float, float]:
            share = (row - y) / (y_below - y)
            return left + (left_below - left) * share, right + (right_below - right) * share

        self._fill(y, y_below, span, colour)

    def _fill(self, top: float, bottom: float, span: Callable[[float], tuple[float, float]], colour: Colour) -> None:
        first = max(0, round(top * SUPERSAMPLING))
        last = min(len(self._rows), round(bottom * SUPERSAMPLING))
        for index in range(first, last):
            left, right = span((index + 0.5) / SUPERSAMPLING)
            start = max(0, round(left * SUPERSAMPLING))
            end = min(self._columns, round(right * SUPERSAMPLING))
            if end > start:
                self._rows[index][start * 3 : end * 3] = bytes(colour) * (end - start)

    def planes(self) -> tuple[list[bytes], list[bytes], list[bytes]]:
        """The rows of Y (`height` of `width` bytes), U and V (half of each): yuv420p, limited range."""
        large = av.VideoFrame(self._columns, len(self._rows), "rgb24")
        stride = large.planes[0].line_size
        large.planes[0].update(b"".join(bytes(row).ljust(stride, b"\0") for row in self._rows))
        small = large.reformat(width=self.width, height=self.height, format="yuv420p", interpolation="AREA")
        return _rows(small, 0), _rows(small, 1), _rows(small, 2)


def _rows(frame: av.VideoFrame, index: int) -> list[bytes]:
    plane = frame.planes[index]
    data, stride = bytes(plane), plane.line_size
    return [data[row * stride : row * stride + plane.width] for row in range(plane.height)]
