"""The stage of a show's publishers where other workers watch as well: to the show here, and once to each of them.

Owns: the packets since each layer's last keyframe, for who begins to pull; what one turn of the loop brought.
Invariant: who pulls gets the group of pictures on air and then every packet once, in the order of arrival; a layer's
group is at most `max_packets` packets and 4 MB, or none.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Protocol

from media.core.formats import Kind
from media.core.linkwire import Begin, Granted, Message, Packets, Told
from media.core.payloads import begins_keyframe
from media.core.reel import MAX_BYTES
from media.core.valve import Piece, Valve
from media.feed import Feed, Incoming, Stream
from media.show import Show


class Puller(Protocol):
    """A worker at the other end of a link."""

    @property
    def waiting_bytes(self) -> int:
        """What it has not taken yet."""

    def send(self, message: Message) -> None: ...


class Group:
    """The packets of one layer since its last keyframe, as they came."""

    def __init__(self, max_packets: int) -> None:
        self.pieces: list[Piece] = []
        self._max_packets = max_packets
        self._bytes = 0
        self._keyframe_timestamp: int | None = None

    def take(self, stream: Stream, packet: Incoming) -> Piece:
        """Keep it if a keyframe came before it, or begins with it."""
        begins = begins_keyframe(stream.codec, packet.payload) and packet.timestamp != self._keyframe_timestamp
        piece = Piece(stream, packet, begins)
        if begins:  # one a picture: H264 sends parameter sets and slices of it, each by itself
            self._keyframe_timestamp = packet.timestamp
            self.pieces, self._bytes = [], 0
        if begins or self.pieces:
            self.pieces.append(piece)
            self._bytes += len(packet.payload)
        if len(self.pieces) > self._max_packets or self._bytes > MAX_BYTES:
            self.pieces, self._bytes = [], 0
        return piece


class Outlet:
    """A `Stage`."""

    def __init__(
        self, show: Show, *, max_packets: int, on_air: Callable[["Outlet"], None], off_air: Callable[["Outlet"], None]
    ) -> None:
        self.show = show
        self.feed: Feed | None = None
        self.pullers: dict[Puller, Valve] = {}
        self.packets = 0
        """Given over links."""
        self.left_out = 0
        """Not given to a worker that did not keep up."""
        self._max_packets = max_packets
        self._on_air, self._off_air = on_air, off_air
        self._groups: dict[int, Group] = {}
        self._clocks: dict[Stream, tuple[int, float]] = {}
        self._fresh: list[Piece] = []

    # The publisher's side

    def take_over(self, feed: Feed) -> None:
        """Who pulled the one before asks anew, when it has heard of this one."""
        self._forget()
        self.pullers.clear()
        self.feed = feed
        self.show.take_over(feed)
        self._on_air(self)

    def begin(self, stream: Stream) -> None:
        self._flush()
        if stream.kind is Kind.VIDEO:
            self._groups.pop(stream.layer, None)
        self._clocks.pop(stream, None)
        self.show.begin(stream)
        self._tell(Begin(self.show.show_id, stream))

    def ingest(self, stream: Stream, packet: Incoming) -> None:
        self.show.ingest(stream, packet)
        if stream.kind is Kind.AUDIO:
            piece = Piece(stream, packet, begins_keyframe=False)
        else:
            piece = self._group(stream.layer).take(stream, packet)
        if self.pullers:
            if not self._fresh:
                asyncio.get_running_loop().call_soon(self._flush)
            self._fresh.append(piece)

    def told(self, stream: Stream, timestamp: int, wall_ms: float) -> None:
        self._clocks[stream] = timestamp, wall_ms
        self.show.told(stream, timestamp, wall_ms)
        self._tell(self._told(stream))

    def left(self, feed: Feed) -> None:
        self.show.left(feed)
        if self.feed is feed:
            self._forget()
            self.feed = None
            self.pullers.clear()
            self._off_air(self)

    # The links' side

    def pulled_by(self, puller: Puller, number: int) -> None:
        """From now on it gets everything; first, what it needs to begin with a picture at once."""
        self._flush()
        self.pullers[puller] = Valve()
        puller.send(Granted(self.show.show_id, number))
        for stream in self._clocks:
            puller.send(self._told(stream))
        for group in self._groups.values():
            if group.pieces:
                self._send(puller, group.pieces)

    def dropped_by(self, puller: Puller) -> None:
        self.pullers.pop(puller, None)

    def _told(self, stream: Stream) -> Told:
        host_ms = self.feed.wall_ms(0.0) if self.feed is not None else None
        return Told(self.show.show_id, stream, *self._clocks[stream], host_ms)

    def _group(self, layer: int) -> Group:
        return self._groups.setdefault(layer, Group(self._max_packets))

    def _forget(self) -> None:
        self._groups.clear()
        self._clocks.clear()
        self._fresh.clear()

    def _flush(self) -> None:
        fresh, self._fresh = self._fresh, []
        if not fresh:
            return
        for puller, valve in self.pullers.items():
            shut = valve.shut
            passed = valve.through(fresh, puller.waiting_bytes)
            self.left_out += len(fresh) - len(passed)
            if passed:
                self._send(puller, passed)
            for layer in valve.shut - shut:
                self._wish(layer)

    def _wish(self, layer: int) -> None:
        if self.feed is not None:
            self.feed.want_keyframe(layer)

    def _send(self, puller: Puller, pieces: Sequence[Piece]) -> None:
        self.packets += len(pieces)
        packets = [(piece.stream, piece.packet) for piece in pieces]
        puller.send(Packets(self.show.show_id, packets))

    def _tell(self, message: Message) -> None:
        for puller in self.pullers:
            puller.send(message)
