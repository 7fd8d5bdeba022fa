"""Where a picture can start, and how often a publisher may be asked for such a place.

Reads no clock and does no I/O. Invariant: at most one request a second goes upstream, however many viewers
ask, and none that was asked is forgotten until a keyframe has come.
"""

from typing import Final

from media.core.formats import Codec

INTERVAL_MS: Final = 1000
PATIENT_MS: Final = 2000
"""For who has a picture and wants a better one: a keyframe costs everybody who watches the layer."""

_IDR, _SPS, _STAP_A, _FU_A = 5, 7, 24, 28


def begins_keyframe(codec: Codec, payload: bytes) -> bool:
    """True if a decoder can start at this packet. Works on any bytes; never raises."""
    if codec is Codec.VP8:
        return _vp8(payload)
    return codec is Codec.H264 and _h264(payload)


def _vp8(payload: bytes) -> bool:
    """RFC 7741 section 4.2: S=1 and partition 0 in the descriptor, then P=0 in the payload header."""
    if not payload or payload[0] & 0x17 != 0x10:  # S, then three bits of partition index
        return False
    at = 1
    if payload[0] & 0x80:
        if len(payload) < 2:
            return False
        flags, at = payload[1], 2
        if flags & 0x80:  # picture id, of one byte or two
            at += 2 if len(payload) > at and payload[at] & 0x80 else 1
        at += bool(flags & 0x40) + bool(flags & 0x30)
    return len(payload) > at and not payload[at] & 1


def _h264(payload: bytes) -> bool:
    """RFC 6184: a parameter set or an IDR slice, alone (5.6), first in a STAP-A (5.7.1), or an FU-A's start (5.8)."""
    if not payload:
        return False
    kind = payload[0] & 31
    if kind == _STAP_A:
        return any(unit in (_SPS, _IDR) for unit in _stap_units(payload))
    if kind == _FU_A:
        return len(payload) > 1 and bool(payload[1] & 0x80) and payload[1] & 31 in (_IDR, _SPS)
    return kind in (_SPS, _IDR)


def _stap_units(payload: bytes) -> list[int]:
    units, at = [], 1
    while at + 3 <= len(payload):
        units.append(payload[at + 2] & 31)
        at += 2 + int.from_bytes(payload[at : at + 2], "big")
    return units


class KeyframeRequests:
    """When to ask one publisher for a keyframe of one layer."""

    def __init__(self) -> None:
        self._asked_ms: int | None = None
        self._wanted = False
        self._is_patient = True

    def want(self, *, patiently: bool = False) -> None:
        """Somebody cannot go on without a keyframe; or, patiently, would like to move here."""
        self._is_patient = patiently and (self._is_patient or not self._wanted)
        self._wanted = True

    def arrived(self) -> None:
        """A keyframe came; everybody waiting has it."""
        self._wanted = False

    def due(self, now_ms: int) -> bool:
        """True if a request must go upstream now; counts it as sent. It stays wanted until `arrived`."""
        interval_ms = PATIENT_MS if self._is_patient else INTERVAL_MS
        if not self._wanted or (self._asked_ms is not None and now_ms - self._asked_ms < interval_ms):
            return False
        self._asked_ms = now_ms
        return True


class KeyframeBudget:
    """How often one viewer's wish for a keyframe is heard: a keyframe costs all who watch.

    Without it a single broken or ill-meaning viewer has the host send one a second for the whole show.
    """

    def __init__(self, *, every_ms: int = 3000, burst: int = 3) -> None:
        self._every_ms, self._burst = every_ms, burst
        self._tokens, self._at_ms = float(burst), 0

    def allows(self, now_ms: int) -> bool:
        """True if the wish counts; then it counts against the budget."""
        self._tokens = min(self._burst, self._tokens + (now_ms - self._at_ms) / self._every_ms)
        self._at_ms = now_ms
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True
