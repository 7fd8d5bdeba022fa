"""What workers say to each other about their shows: messages, and how they lie in a stream of bytes.

Each message is msgpack behind its length (four bytes, big endian). Reads no clock and does no I/O.
Invariant: a message has at most `MAX_BYTES`; whoever sends more, or what is no message, is not one of us: ValueError.

    the worker with the host      ->  OnAir, OffAir: to everybody.  Granted, Begin, Told, Packets: to who pulls
    a worker with its viewers     ->  Pull, Drop, Wish
"""

from typing import Final

import msgspec
from msgspec import Struct

from media.core.formats import Codec
from media.feed import Incoming, Stream
from schema.ids import ShowId

MAX_BYTES: Final = 16 << 20
"""A group of pictures is at most a quarter of it."""
_HEAD: Final = 4


class OnAir(Struct, frozen=True, array_like=True, tag=1):
    """A host's session is up in the worker that says so, since `since_ns` of the machine's monotonic clock."""

    show: ShowId
    since_ns: int
    present: bool
    """Whether its packets arrive."""
    codecs: dict[int, Codec]
    h264_profile: str
    rids: tuple[str, ...]
    clock_ns: int
    """`media.clock.START_NS` of the worker that says so, by whose clock all its times are."""


class OffAir(Struct, frozen=True, array_like=True, tag=2):
    """It has gone."""

    show: ShowId


class AllTold(Struct, frozen=True, array_like=True, tag=3):
    """Behind the first messages of a connection: what came before is all that is on air."""


class Begin(Struct, frozen=True, array_like=True, tag=4):
    """`Stage.begin`."""

    show: ShowId
    stream: Stream


class Told(Struct, frozen=True, array_like=True, tag=5):
    """`Stage.told`."""

    show: ShowId
    stream: Stream
    timestamp: int
    wall_ms: float
    host_ms: float | None
    """`Feed.wall_ms(0)`: the zero of the host's clock in our wall time, for pins; None where it is not known."""


class Packets(Struct, frozen=True, array_like=True, tag=6):
    """`Stage.ingest`, of what one turn of the sender's loop brought."""

    show: ShowId
    packets: list[tuple[Stream, Incoming]]


class Pull(Struct, frozen=True, array_like=True, tag=7):
    """Send me this show's packets: the group of pictures on air, then all that come."""

    show: ShowId
    number: int
    """Of this wish; answered by a `Granted`, so that what was still under way for one before is not taken for it."""


class Granted(Struct, frozen=True, array_like=True, tag=10):
    """What follows is the answer to that `Pull`."""

    show: ShowId
    number: int


class Drop(Struct, frozen=True, array_like=True, tag=8):
    """Send me no more of it."""

    show: ShowId


class Wish(Struct, frozen=True, array_like=True, tag=9):
    """Somebody here needs a keyframe."""

    show: ShowId
    layer: int


Message = OnAir | OffAir | AllTold | Granted | Begin | Told | Packets | Pull | Drop | Wish

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Message)


def written(message: Message) -> bytes:
    """As it lies in the stream."""
    body = _encoder.encode(message)
    return len(body).to_bytes(_HEAD, "big") + body


class Reader:
    """Messages out of a stream that comes in pieces."""

    def __init__(self) -> None:
        self._held = bytearray()

    def read(self, data: bytes) -> list[Message]:
        """The messages that `data` completes. Raises ValueError for what none of us says."""
        self._held += data
        messages: list[Message] = []
        at = 0
        while len(self._held) - at >= _HEAD:
            size = int.from_bytes(self._held[at : at + _HEAD], "big")
            if size > MAX_BYTES:
                raise ValueError(f"a message of {size} bytes")
            if len(self._held) - at - _HEAD < size:
                break
            messages.append(_decode(bytes(self._held[at + _HEAD : at + _HEAD + size])))
            at += _HEAD + size
        del self._held[:at]
        return messages


def _decode(body: bytes) -> Message:
    try:
        message: Message = _decoder.decode(body)
    except msgspec.MsgspecError as error:
        raise ValueError(str(error)) from None
    return message
