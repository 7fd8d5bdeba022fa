"""A show's feed whose publisher is in another worker: its packets come over a link, once for all viewers here.

Owns: the wishes for keyframes of this worker. Invariant: at most one wish a second and layer goes over the link; the
times of its packets are of this worker's clock.
"""

import itertools
from collections.abc import Callable, Mapping

from media.clock import START_NS
from media.core.formats import Codec, Kind
from media.core.keyframe import KeyframeRequests
from media.core.linkwire import Begin, Granted, OnAir, Packets, Told
from media.show import Show

_numbers = itertools.count(1)


class Pulled:
    """A `Feed`."""

    def __init__(
        self,
        show: Show,
        worker: int,
        host: OnAir,
        *,
        wish: Callable[["Pulled", int], None],
        ended: Callable[["Pulled"], None],
    ) -> None:
        self.show = show
        self.worker = worker
        self.since_ns = host.since_ns
        self.codecs: Mapping[int, Codec] = host.codecs
        self.h264_profile = host.h264_profile
        self.rids = host.rids
        self.plis = 0
        self.nacks = 0
        self.packets = 0
        self.number = next(_numbers)
        """Of the wish that it stands for."""
        self._host_ms: float | None = None
        self._shift_ms = (START_NS - host.clock_ns) // 1_000_000
        self._is_granted = False
        self._wishes = [KeyframeRequests() for _ in host.rids or ("",)]
        self._wish = wish
        self._ended = ended

    @property
    def video(self) -> Codec | None:
        return next((codec for codec in self.codecs.values() if codec.kind is Kind.VIDEO), None)

    def heard(self, message: Granted | Packets | Begin | Told) -> None:
        """What the worker with the host sent."""
        if isinstance(message, Granted):
            self._is_granted = self._is_granted or message.number == self.number
        elif not self._is_granted:
            return
        elif isinstance(message, Packets):
            self.packets += len(message.packets)
            for stream, packet in message.packets:
                self.show.ingest(stream, packet._replace(now_ms=packet.now_ms + self._shift_ms))
        elif isinstance(message, Begin):
            self.show.begin(message.stream)
        else:
            if message.host_ms is not None:
                self._host_ms = message.host_ms + self._shift_ms
            self.show.told(message.stream, message.timestamp, message.wall_ms + self._shift_ms)

    def want_keyframe(self, layer: int, *, patiently: bool = False) -> None:
        if layer < len(self._wishes):
            self._wishes[layer].want(patiently=patiently)

    def keyframe_arrived(self, layer: int) -> None:
        if layer < len(self._wishes):
            self._wishes[layer].arrived()

    def react(self, now_ms: int) -> None:
        """Every few milliseconds: pass on who cannot go on without a keyframe."""
        for layer, wish in enumerate(self._wishes):
            if wish.due(now_ms):
                self.plis += 1
                self._wish(self, layer)

    def report(self, now_ms: int) -> None:
        """The worker with the host reports to it."""

    def wall_ms(self, host_ms: float) -> float | None:
        """By the shift that the worker with the host knows: a pin may land here as well."""
        return None if self._host_ms is None else host_ms + self._host_ms

    def end(self) -> None:
        self._ended(self)
