"""How large a picture is, from the first packet of its keyframe (RFC 6386 section 9.1, H.264 section 7.3.2.1).

Works on any bytes and never raises: what cannot be read has no size.
"""

from media.core.formats import Codec

_SPS, _STAP_A = 7, 24
_HIGH_PROFILES = (100, 110, 122, 244, 44, 83, 86, 118, 128)
MAX_SIDE = 16_384


def resolution(codec: Codec, payload: bytes) -> tuple[int, int] | None:
    """Width and height in pixels, or None where the packet does not tell."""
    try:
        size = _vp8(payload) if codec is Codec.VP8 else _h264(payload) if codec is Codec.H264 else None
    except (IndexError, ValueError):
        return None
    return size if size is not None and all(0 < side <= MAX_SIDE for side in size) else None


def _vp8(payload: bytes) -> tuple[int, int] | None:
    at = 1
    if payload[0] & 0x80:
        flags, at = payload[1], 2
        if flags & 0x80:
            at += 2 if payload[at] & 0x80 else 1
        at += bool(flags & 0x40) + bool(flags & 0x30)
    frame = payload[at : at + 10]
    if len(frame) < 10 or frame[0] & 1 or frame[3:6] != b"\x9d\x01\x2a":
        return None
    return int.from_bytes(frame[6:8], "little") & 0x3FFF, int.from_bytes(frame[8:10], "little") & 0x3FFF


def _h264(payload: bytes) -> tuple[int, int] | None:
    kind = payload[0] & 31
    if kind == _STAP_A:
        at = 1
        while at + 3 <= len(payload):
            size = int.from_bytes(payload[at : at + 2], "big")
            if payload[at + 2] & 31 == _SPS:
                return _sps(payload[at + 2 : at + 2 + size])
            at += 2 + size
    return _sps(payload) if kind == _SPS else None


class _Bits:
    """Bits of an RBSP, most significant first."""

    def __init__(self, unit: bytes) -> None:
        data = unit.replace(b"\0\0\3", b"\0\0")  # emulation prevention
        self._bits, self._left = int.from_bytes(data, "big"), 8 * len(data)

    def take(self, count: int) -> int:
        if count > self._left:
            raise ValueError
        self._left -= count
        return self._bits >> self._left & (1 << count) - 1

    def ue(self) -> int:
        """Exp-Golomb, section 9.1."""
        zeros = 0
        while not self.take(1):
            zeros += 1
            if zeros > 31:
                raise ValueError
        return (1 << zeros) - 1 + self.take(zeros)

    def se(self) -> int:
        code = self.ue()
        return (code + 1) // 2 if code & 1 else -(code // 2)


def _sps(unit: bytes) -> tuple[int, int]:
    bits = _Bits(unit[1:256])
    profile = bits.take(8)
    bits.take(16)
    bits.ue()
    chroma = 1
    if profile in _HIGH_PROFILES:
        chroma = _skip_high(bits)
    bits.ue()
    _skip_order(bits)
    bits.ue()
    bits.take(1)
    width, height = 16 * (bits.ue() + 1), bits.ue() + 1
    is_frame = bits.take(1)
    if not is_frame:
        bits.take(1)
    height *= 16 * (2 - is_frame)
    bits.take(1)
    if not bits.take(1):
        return width, height
    left, right, top, bottom = (bits.ue() for _ in range(4))
    across, down = (2 if chroma in (1, 2) else 1), (2 if chroma == 1 else 1) * (2 - is_frame)
    return width - across * (left + right), height - down * (top + bottom)


def _skip_high(bits: _Bits) -> int:
    chroma = bits.ue()
    if chroma == 3:
        bits.take(1)
    bits.ue()
    bits.ue()
    bits.take(1)
    if bits.take(1):
        for number in range(8 if chroma != 3 else 12):
            if bits.take(1):
                _skip_scaling_list(bits, 16 if number < 6 else 64)
    return chroma


def _skip_scaling_list(bits: _Bits, size: int) -> None:
    last = following = 8
    for _ in range(size):
        if following:
            following = (last + bits.se()) % 256
        last = following or last


def _skip_order(bits: _Bits) -> None:
    kind = bits.ue()
    if kind == 0:
        bits.ue()
    elif kind == 1:
        bits.take(1)
        bits.se()
        bits.se()
        for _ in range(min(255, bits.ue())):
            bits.se()
