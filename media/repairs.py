"""What a publisher sends again, back to the packets it repeats.

Owns: which of its SSRCs repairs which layer. Invariant: at most `MAX_BOUND` SSRCs are remembered; a repair of a
layer that cannot be told is nothing.

    payload type 97 (apt=96), SSRC 9, repaired-rid h   ->   payload type 96, the SSRC of layer h, the original's number
"""

from collections.abc import Callable, Mapping
from typing import Final, Self

from media.core.extensions import REPAIRED_RID
from media.core.formats import Codec
from media.core.rtp import Header, extension
from media.core.rtx import original
from media.core.sdp import Section

MAX_BOUND: Final = 16


class Repairs:
    """Of one publisher's picture."""

    def __init__(
        self, formats: Mapping[int, int], *, sources: Mapping[int, int], rids: tuple[str, ...], extension: int
    ) -> None:
        """`formats`: payload type of what is repaired, by that of the repair; `sources`: SSRCs likewise."""
        self.formats = formats
        self._sources = sources
        self._rids = rids
        self._extension = extension
        self._layers: dict[int, int] = {}

    @classmethod
    def of(cls, section: Section, codecs: Mapping[int, Codec]) -> Self:
        """As the section offers them, for what was answered of it."""
        return cls(
            {repair: number for number, repair in section.rtx.items() if number in codecs},
            sources=section.repairs,
            rids=section.rids,
            extension=section.extensions.get(REPAIRED_RID, 0),
        )

    def original(
        self, header: Header, payload: bytes, ssrc_of: Callable[[int], int | None]
    ) -> tuple[Header, bytes] | None:
        """The packet that this repeats; None if it is no repair of anything. `ssrc_of` tells a layer's SSRC."""
        ssrc = self._sources.get(header.ssrc) if not self._rids else None
        if ssrc is None:
            layer = self._layer(header)
            ssrc = ssrc_of(layer) if layer is not None else None
        if ssrc is None:
            return None
        return original(header, payload, ssrc=ssrc, payload_type=self.formats[header.payload_type])

    def _layer(self, header: Header) -> int | None:
        if not self._rids:
            return 0
        rid = extension(header.extensions, self._extension) if self._extension else None
        name = rid.decode("ascii", "replace") if rid else ""
        if name in self._rids and (header.ssrc in self._layers or len(self._layers) < MAX_BOUND):
            self._layers[header.ssrc] = self._rids.index(name)
        return self._layers.get(header.ssrc)
