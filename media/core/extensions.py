"""The RTP header extensions that the relay understands, by their names in SDP, and the block it sends.

Reads no clock and does no I/O. Invariant: the block has one size, whatever a subscriber negotiated: so a packet
that carries it is as long for all, and a run stays one that the kernel can cut apart. What was not negotiated is
padding (RFC 8285 section 4.2). `rtp.extension` finds one in a header that came, by the number that SDP gave it.

    BE DE 00 04 | c7 NTP, 32.32 bits | d2 min, max, 12 bits each | 00 00 00     c, d: the subscriber's numbers
    BE DE 00 04 | c7 NTP, 32.32 bits | 00 00 00 00               | 00 00 00     without playout-delay
"""

from collections.abc import Mapping
from typing import Final

MID: Final = "urn:ietf:params:rtp-hdrext:sdes:mid"
RID: Final = "urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id"
REPAIRED_RID: Final = "urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id"
ABS_CAPTURE_TIME: Final = "http://www.webrtc.org/experiments/rtp-hdrext/abs-capture-time"
PLAYOUT_DELAY: Final = "http://www.webrtc.org/experiments/rtp-hdrext/playout-delay"

FROM_PUBLISHER: Final = (MID, RID, REPAIRED_RID, ABS_CAPTURE_TIME)
"""Those a publisher may send us."""
TO_SUBSCRIBER: Final = (ABS_CAPTURE_TIME, PLAYOUT_DELAY)
"""Those we send, where they were offered."""
BLOCK_BYTES: Final = 20
MAX_DELAY_MS: Final = 40_950

_MOST_NUMBER: Final = 14
_DELAY_STEP_MS: Final = 10
_PREFIX: Final = b"\xbe\xde\0\4"
_CAPTURE_AT, _DELAY_AT = 4, 13
BLANK: Final = _PREFIX + bytes(16)
"""The block of a subscriber that negotiated none."""


def sendable(offered: Mapping[str, int]) -> dict[str, int]:
    """Of the extensions that a subscriber offers, those we send, with its numbers; the one-byte form has 1 to 14."""
    return {uri: offered[uri] for uri in TO_SUBSCRIBER if 1 <= offered.get(uri, 0) <= _MOST_NUMBER}


def template(numbers: Mapping[str, int], *, least_ms: int, most_ms: int) -> bytes:
    """One subscriber's block but for the capture time; a playout delay of `least_ms` to `most_ms`, in steps of 10."""
    block = bytearray(BLANK)
    if number := numbers.get(ABS_CAPTURE_TIME):
        block[_CAPTURE_AT] = number << 4 | 7
    if number := numbers.get(PLAYOUT_DELAY):
        delay = least_ms // _DELAY_STEP_MS << 12 | most_ms // _DELAY_STEP_MS
        block[_DELAY_AT : _DELAY_AT + 4] = bytes((number << 4 | 2,)) + delay.to_bytes(3, "big")
    return bytes(block)


def holding(block: bytes, least_ms: int) -> bytes:
    """The same block with another least delay, at most what the most is; unchanged where none was negotiated."""
    if not block[_DELAY_AT]:
        return block
    most = int.from_bytes(block[_DELAY_AT + 1 : _DELAY_AT + 4], "big") & 0xFFF
    delay = min(least_ms // _DELAY_STEP_MS, most) << 12 | most
    return block[: _DELAY_AT + 1] + delay.to_bytes(3, "big") + block[_DELAY_AT + 4 :]


def filled(block: bytes, capture: int) -> bytes:
    """A subscriber's block with a packet's capture time, NTP in 32.32 bits."""
    if not block[_CAPTURE_AT]:
        return block
    return block[: _CAPTURE_AT + 1] + capture.to_bytes(8, "big") + block[_DELAY_AT:]
