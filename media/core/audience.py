"""Who gets one layer: in rows, each served in one go.

Owns: who is in which row. Reads no clock and does no I/O.
Invariant: everybody stands in one row, once; a row is the same object until somebody comes to it or leaves it, so that
media/native can keep what it knows of those in it; there are at most twice as many rows as are needed, and one.
"""

from collections.abc import Iterable, Iterator
from typing import Final, Generic, TypeVar

T = TypeVar("T")

ROW: Final = 32
"""Served between two looks at the clock."""


class Row(tuple[T, ...]):  # noqa: SLOT001 - a tuple has no room for a slot that is not empty
    """Some of an audience."""

    twin: object | None = None
    """Belongs to media.native: what it knows of them."""


class Audience(Generic[T]):
    """The viewers of one layer, or those without a picture."""

    def __init__(self) -> None:
        self._rows: list[Row[T]] = []
        self._places: dict[T, int] = {}

    def __len__(self) -> int:
        return len(self._places)

    def __iter__(self) -> Iterator[T]:
        return iter(self._places)

    def __contains__(self, one: object) -> bool:
        return one in self._places

    @property
    def rows(self) -> list[Row[T]]:
        """All of them, none empty; a list of the caller's own."""
        return [row for row in self._rows if row]

    def add(self, one: T) -> None:
        if one in self._places:
            return
        at = next((at for at, row in enumerate(self._rows) if len(row) < ROW), len(self._rows))
        if at == len(self._rows):
            self._rows.append(Row())
        self._rows[at] = Row((*self._rows[at], one))
        self._places[one] = at

    def discard(self, one: T) -> None:
        at = self._places.pop(one, None)
        if at is None:
            return
        self._rows[at] = Row(other for other in self._rows[at] if other is not one)
        if len(self._rows) > 2 * -(-len(self._places) // ROW) + 1:
            self._seat(list(self._places))

    def _seat(self, all_: Iterable[T]) -> None:
        """Anew, close together."""
        everybody = tuple(all_)
        self._rows = [Row(everybody[at : at + ROW]) for at in range(0, len(everybody), ROW)]
        self._places = {one: at for at, row in enumerate(self._rows) for one in row}
