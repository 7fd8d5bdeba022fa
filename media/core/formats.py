"""The codecs that pass through, and the tracks they belong to."""

from enum import IntEnum, StrEnum
from typing import Final


class Kind(IntEnum):
    """A track of a show; a small integer, because it indexes each subscriber's lines."""

    AUDIO = 0
    VIDEO = 1


class Codec(StrEnum):
    """A codec by its name in SDP."""

    OPUS = "opus"
    VP8 = "VP8"
    VP9 = "VP9"
    AV1 = "AV1"
    H264 = "H264"

    @property
    def kind(self) -> Kind:
        return Kind.AUDIO if self is Codec.OPUS else Kind.VIDEO


CLOCK_HZ: Final = {Kind.AUDIO: 48_000, Kind.VIDEO: 90_000}
