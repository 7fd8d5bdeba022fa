"""One picture out of its RTP payloads: VP8, VP9, H264 and AV1, as a decoder takes it.

Reads no clock and does no I/O. Used for thumbnails alone, and there in the process that decodes: the relay itself
never looks deeper into a payload than a keyframe's first bytes.
Invariant: on any bytes it returns at most what came in (plus start codes and lengths) or raises Unreadable.
"""

from collections.abc import Callable, Sequence
from typing import Final

_STAP_A, _FU_A = 24, 28
_START_CODE: Final = b"\0\0\0\1"
_TEMPORAL_DELIMITER: Final = b"\x12\0"
_HAS_SIZE, _HAS_EXTENSION = 0x02, 0x04
_TEMPORAL_DELIMITER_TYPE, _TILE_LIST_TYPE = 2, 8


class Unreadable(Exception):  # noqa: N818 - the word says it
    """These payloads are no picture."""


def picture(codec: str, payloads: Sequence[bytes]) -> bytes:
    """The bitstream of one picture; `payloads` are all of it, in order, without RTP padding.

    `codec` is the name in SDP. H264 comes in Annex B, AV1 as a temporal unit of OBUs with sizes.
    """
    reader = _READERS.get(codec)
    if reader is None:
        raise Unreadable(f"no codec {codec}")
    try:
        return reader(payloads)
    except IndexError:
        raise Unreadable("a payload ends too soon") from None


def _vp8(payloads: Sequence[bytes]) -> bytes:
    """RFC 7741 section 4.2: the descriptor is one byte, its X byte, and what that announces."""
    return b"".join(payload[_vp8_descriptor(payload) :] for payload in payloads)


def _vp8_descriptor(payload: bytes) -> int:
    if not payload[0] & 0x80:
        return 1
    flags, at = payload[1], 2
    if flags & 0x80:
        at += 2 if payload[at] & 0x80 else 1
    return at + bool(flags & 0x40) + bool(flags & 0x30)


def _vp9(payloads: Sequence[bytes]) -> bytes:
    """RFC 9628 section 4.2. A picture of several spatial layers becomes one superframe's worth of frames in a row."""
    return b"".join(payload[_vp9_descriptor(payload) :] for payload in payloads)


def _vp9_descriptor(payload: bytes) -> int:
    """`I P L F B E V Z`, then picture id, layers, references and the scalability structure, each if announced."""
    flags, at = payload[0], 1
    if flags & 0x80:
        at += 2 if payload[at] & 0x80 else 1
    if flags & 0x20:
        at += 1 if flags & 0x10 else 2  # without flexible mode TL0PICIDX follows
    if flags & 0x50 == 0x50:  # flexible mode and inter-predicted: up to three references
        for _ in range(3):
            at += 1
            if not payload[at - 1] & 1:
                break
    return _vp9_structure(payload, at) if flags & 0x02 else at


def _vp9_structure(payload: bytes, at: int) -> int:
    head = payload[at]
    at += 1
    if head & 0x10:
        at += 4 * ((head >> 5) + 1)
    if head & 0x08:
        groups, at = payload[at], at + 1
        for _ in range(groups):
            at += 1 + (payload[at] >> 2 & 3)
    return at


def _h264(payloads: Sequence[bytes]) -> bytes:
    """RFC 6184: single units, STAP-A (5.7.1) and FU-A (5.8), each unit behind a start code."""
    out = bytearray()
    for payload in payloads:
        kind = payload[0] & 31
        if kind == _STAP_A:
            out += _stap(payload)
        elif kind == _FU_A:
            if payload[1] & 0x80:
                out += _START_CODE + bytes((payload[0] & 0xE0 | payload[1] & 31,))
            out += payload[2:]
        else:
            out += _START_CODE + payload
    return bytes(out)


def _stap(payload: bytes) -> bytes:
    out, at = bytearray(), 1
    while at + 2 <= len(payload):
        size = int.from_bytes(payload[at : at + 2], "big")
        out += _START_CODE + payload[at + 2 : at + 2 + size]
        at += 2 + size
    return bytes(out)


def _av1(payloads: Sequence[bytes]) -> bytes:
    """The AV1 RTP payload specification, section 4: `Z Y W W N - - -`, then OBUs or fragments of them.

    Z: the first element goes on from the packet before. Y: the last one goes on in the next. W: how many elements,
    the last of them without a length; 0: each has one.
    """
    units, open_unit = list[bytes](), b""
    for payload in payloads:
        elements = _av1_elements(payload)
        if payload[0] & 0x80 and elements:
            elements[0] = open_unit + elements[0]
        open_unit = elements.pop() if payload[0] & 0x40 and elements else b""
        units += elements
    return _TEMPORAL_DELIMITER + b"".join(_with_size(unit) for unit in units if unit)


def _av1_elements(payload: bytes) -> list[bytes]:
    count, at, found = payload[0] >> 4 & 3, 1, list[bytes]()
    while at < len(payload):
        size = len(payload) - at
        if count == 0 or len(found) + 1 < count:
            size, at = _leb128(payload, at)
        found.append(payload[at : at + size])
        at += size
    return found


def _with_size(unit: bytes) -> bytes:
    """The OBU with its size in it; a delimiter has no place inside a temporal unit, a tile list none in a picture."""
    if unit[0] >> 3 & 15 in (_TEMPORAL_DELIMITER_TYPE, _TILE_LIST_TYPE):
        return b""
    if unit[0] & _HAS_SIZE:
        return unit
    head = 2 if unit[0] & _HAS_EXTENSION else 1
    if len(unit) < head:
        raise Unreadable("an OBU of half a header")
    return bytes((unit[0] | _HAS_SIZE,)) + unit[1:head] + _to_leb128(len(unit) - head) + unit[head:]


def _leb128(data: bytes, at: int) -> tuple[int, int]:
    """The number at `at`, and where it ends."""
    value = 0
    for n in range(8):
        value |= (data[at + n] & 0x7F) << 7 * n
        if not data[at + n] & 0x80:
            return value, at + n + 1
    raise Unreadable("a length of more than eight bytes")


def _to_leb128(value: int) -> bytes:
    out = bytearray()
    while True:
        value, low = value >> 7, value & 0x7F
        out.append(low | (0x80 if value else 0))
        if not value:
            return bytes(out)


_READERS: Final[dict[str, Callable[[Sequence[bytes]], bytes]]] = {
    "VP8": _vp8,
    "VP9": _vp9,
    "H264": _h264,
    "AV1": _av1,
}
