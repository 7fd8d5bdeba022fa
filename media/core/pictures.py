"""VP8's numbers of pictures, made one sequence over all layers of a show (RFC 7741 section 4.2).

Owns: what each layer's picture ids and TL0PICIDX are shifted by. Does no I/O and reads no clock.
Invariant: within one group of pictures the shift is constant; a keyframe's numbers are higher than all that were
given before it, in any layer; a single layer is left as it is.

Each layer of a browser counts for itself, from a random start. A viewer's browser ties pictures together by these
numbers, and keeps the last fifty of TL0PICIDX: after a switch to a layer whose numbers fall among those, it takes new
pictures for old ones, and stands still. The numbers are shifted here, once a packet for all viewers, at keyframes:

    layer l    picture ids  7 (key)  8  9 | 10  11  12              as they came
    layer h                               | 3000 (key)  3001
    given      l: 7  8  9  10 ; h's key: 11, then 12 ; l goes on with 11, 12, and its next keyframe is at least 13

    | X R N S R PID | I L T K RSV | M, picture id (7 or 15 bits) | TL0PICIDX | TID Y KEYIDX |
"""

from typing import NamedTuple

_LONG, _SHORT, _TL0 = 15, 7, 8


class _Group(NamedTuple):
    """A group of pictures, and what its numbers are shifted by."""

    first: int
    """Sequence of its keyframe's first packet."""
    picture: int
    level: int


class _Layer:
    def __init__(self) -> None:
        self.groups: list[_Group] = []
        self.picture: int | None = None
        """The highest given, unwrapped."""
        self.level: int | None = None


class Pictures:
    """One show's."""

    def __init__(self) -> None:
        self._layers: dict[int, _Layer] = {}
        self._picture = -1
        self._level = -1

    def begin(self, layer: int) -> None:
        """Another source begins in this layer."""
        self._layers.pop(layer, None)

    def renumber(self, layer: int, sequence: int, payload: bytes, *, begins_keyframe: bool) -> bytes:
        """The payload with its numbers shifted; as it is if it has none, or is not understood."""
        at = _numbers(payload)
        if at is None:
            return payload
        state = self._layers.setdefault(layer, _Layer())
        picture, level, bits = _read(payload, at)
        if begins_keyframe or not state.groups:
            self._open(state, sequence, picture, level, bits)
        group = next((g for g in reversed(state.groups) if sequence >= g.first), state.groups[0])
        self._note(state, picture + group.picture, level + group.level, bits)
        if not group.picture % (1 << bits) and not group.level % (1 << _TL0):
            return payload
        return _write(payload, at, picture + group.picture, level + group.level, bits)

    def _open(self, state: _Layer, sequence: int, picture: int, level: int, bits: int) -> None:
        last = state.groups[-1] if state.groups else _Group(0, 0, 0)
        given = _unwrap(picture + last.picture, state.picture, bits)
        given_level = _unwrap(level + last.level, state.level, _TL0)
        first = self._picture < 0
        if not first and (state.picture is None or given <= self._picture):
            given = self._picture + 1
        if not first and (state.level is None or given_level <= self._level):
            given_level = self._level + 1
        state.picture, state.level = given, given_level
        state.groups = [*state.groups[-1:], _Group(sequence, given - picture, given_level - level)]

    def _note(self, state: _Layer, picture: int, level: int, bits: int) -> None:
        assert state.picture is not None
        assert state.level is not None
        state.picture = max(state.picture, _unwrap(picture, state.picture, bits))
        state.level = max(state.level, _unwrap(level, state.level, _TL0))
        self._picture = max(self._picture, state.picture)
        self._level = max(self._level, state.level)


def _unwrap(number: int, reference: int | None, bits: int) -> int:
    if reference is None:
        return number
    half, whole = 1 << bits - 1, 1 << bits
    return reference + (number - reference + half) % whole - half


class _At(NamedTuple):
    picture: int
    is_long: bool
    level: int
    """Its place; 0 if there is none."""


def _numbers(payload: bytes) -> _At | None:
    """Where the picture id and TL0PICIDX stand; None where there is no picture id."""
    if len(payload) < 4 or not payload[0] & 0x80 or not payload[1] & 0x80:
        return None
    is_long = bool(payload[2] & 0x80)
    level = (4 if is_long else 3) if payload[1] & 0x40 else 0
    return _At(2, is_long, level) if len(payload) > max(3, level) else None


def _read(payload: bytes, at: _At) -> tuple[int, int, int]:
    picture = (payload[2] & 0x7F) << 8 | payload[3] if at.is_long else payload[2]
    return picture, payload[at.level] if at.level else 0, _LONG if at.is_long else _SHORT


def _write(payload: bytes, at: _At, picture: int, level: int, bits: int) -> bytes:
    picture %= 1 << bits
    out = bytearray(payload)
    out[2:4] = (0x80 | picture >> 8, picture & 0xFF) if at.is_long else (picture, payload[3])
    if at.level:
        out[at.level] = level & 0xFF
    return bytes(out)
