"""Retransmissions in a stream of their own (RFC 4588): to a subscriber, and from a publisher.

Reads no clock and does no I/O. Invariant: each packet that leaves by a repairing line has an index of its own, so
that no nonce meets two texts, whatever is repeated and however often. What comes from a publisher may be anything.

    the line      SSRC 6  PT 96   seq 20   timestamp   payload
    its repair    SSRC 7  PT 97   seq 8    timestamp   00 14 | payload      the original's number (OSN) in front
"""

from typing import Final

from media.core.history import Packet
from media.core.rewrite import Line
from media.core.rtp import Header, strip_padding

OSN_BYTES: Final = 2


def repaired(line: Line, packet: Packet) -> Packet | None:
    """`packet`, which left by `line` before, for its repairing line; None where that does not take its codec.

    Its number there is the next one: call it once for each time that it is to be sent.
    """
    repair = line.repair
    if repair is None or packet.codec not in repair.payload_types:
        return None
    osn = packet.sequence + line.shift & 0xFFFF
    repair.timestamp_shift = line.timestamp_shift
    return packet._replace(sequence=repair.take(), payload=osn.to_bytes(OSN_BYTES, "big") + packet.payload)


def original(header: Header, payload: bytes, *, ssrc: int, payload_type: int) -> tuple[Header, bytes] | None:
    """The packet that a publisher's retransmission repeats, as it was sent at first; None if there is none in it.

    Browsers probe for bandwidth with retransmissions of nothing, and of packets that were never lost.
    """
    content = strip_padding(payload) if header.padded else payload
    if content is None or len(content) < OSN_BYTES:
        return None
    number = int.from_bytes(content[:OSN_BYTES], "big")
    return header._replace(ssrc=ssrc, payload_type=payload_type, sequence=number, padded=False), content[OSN_BYTES:]
