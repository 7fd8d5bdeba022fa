"""The hot path: every subscriber's packets get its headers, its keys, and go to the kernel in few calls.

Owns: the shared buffer, the backlog behind a full socket.
Invariant: `send` never blocks and never raises for one target's sake; what it gives a target for one packet
is the same bits each time. This is the reference of media/native, which does the plain case in C and leaves the
rest to what stands here.
"""

import errno
import struct
from collections.abc import Sequence
from typing import Final, Protocol

from media.core.backlog import Backlog, Send
from media.core.demux import Address, OverTcp
from media.core.extensions import filled
from media.core.formats import Codec, Kind
from media.core.history import Packet
from media.core.press import later
from media.core.rewrite import Line, pack_header
from media.core.rtx import repaired
from media.core.runs import Run, regroup
from media.dtls import Sender
from media.port import MediaPort

_SOL_UDP: Final = 17
_UDP_SEGMENT: Final = 103
_BACKLOG: Final = 512
_HEADER_BYTES: Final = 12
_HAS_EXTENSIONS: Final = 0x10
# Kernels, interfaces and paths without segmentation offload answer with one of these.
_NO_GSO: Final = frozenset({errno.EIO, errno.EINVAL, errno.EMSGSIZE, errno.ENOPROTOOPT, errno.EOPNOTSUPP})


class Route(Protocol):
    """Where a target's packets go: the peer."""

    address: Address | None
    sender: Sender | None
    is_closed: bool
    uses_gso: bool


class Target(Protocol):
    """Who receives: a subscriber."""

    @property
    def peer(self) -> Route: ...

    @property
    def lines(self) -> Sequence[Line | None]:
        """By Kind; None where the subscriber takes no such track."""
        ...


class _Repairs:
    """A target as its retransmissions see it."""

    def __init__(self, target: Target) -> None:
        self.peer = target.peer
        self.lines = tuple(line.repair if line else None for line in target.lines)


class Egress:
    """Sends runs to targets through one port."""

    def __init__(self, port: MediaPort) -> None:
        self._port = port
        self._buffer = memoryview(bytearray(65536))
        self._backlog = Backlog(_BACKLOG)
        self.packets = 0
        self.octets = 0
        self.sends = 0
        self.gso_refused = 0

    @property
    def dropped_packets(self) -> int:
        return self._backlog.dropped_packets

    def send(self, targets: Sequence[Target], runs: Sequence[Run]) -> None:
        """Send every run to every target that is up and has begun its lines."""
        for target in targets:
            peer = target.peer
            if peer.sender is not None and peer.address is not None and not peer.is_closed:
                for run in runs:
                    self._run(target, peer.sender, peer.address, run)

    def hurry(self, target: Target, packets: Sequence[Packet]) -> None:
        """Send packets of one track, whose padding is decided, to one target."""
        self.send([target], regroup(packets))

    def resend(self, target: Target, packets: Sequence[Packet]) -> None:
        """Send packets that left before once more: as RTX where the target takes it, else the same bits again."""
        again: tuple[list[Packet], list[Packet]] = ([], [])
        for packet in packets:
            line = target.lines[packet.kind]
            repair = repaired(line, packet) if line else None
            again[repair is not None].append(repair or packet)
        for of, some in zip((target, _Repairs(target)), again, strict=True):
            if some:
                self.send([of], [run for kind in Kind for run in regroup([p for p in some if p.kind is kind])])

    def _run(self, target: Target, sender: Sender, address: Address, run: Run) -> None:
        send = self._seal(target, sender, address, run)
        if send is not None:
            self._emit(target.peer, send)

    def _seal(self, target: Target, sender: Sender, address: Address, run: Run) -> Send | None:
        """The run as this target gets it, in the shared buffer; None if it gets nothing of it."""
        # The innermost loop of the product: what is constant stands outside it, and names are local.
        buffer, seal_into = self._buffer, sender.seal_into
        at = count = 0
        last: Codec | None = None
        line: Line | None = None
        payload_type = press = None
        picture, later_by = -1, 0
        for kind, codec, sequence, timestamp, marker, payload, padded, _, capture in run.packets:
            if codec is not last:
                last, line = codec, target.lines[kind]
                payload_type = line.payload_types.get(codec) if line else None
                press = line.press if line else None
            if line is None or payload_type is None or sequence < line.first:
                continue
            index = sequence + line.shift
            if press is not None:
                if timestamp != picture:  # once for all packets of a picture
                    picture, later_by = timestamp, press.shift(timestamp)
                timestamp, capture = timestamp + later_by, later(capture, later_by)  # noqa: PLW2901 - for this line
            header = pack_header(
                0xA0 if padded else 0x80,
                payload_type | 0x80 if marker else payload_type,
                index & 0xFFFF,
                timestamp + line.timestamp_shift & 0xFFFFFFFF,
                line.ssrc,
            )
            if capture:
                header = bytes((header[0] | _HAS_EXTENSIONS,)) + header[1:] + filled(line.extensions, capture)
            at = seal_into(line.ssrc << 48 | index, header, payload, buffer, at)
            line.packets += 1
            line.octets += len(payload)
            count += 1
        if not count:
            return None
        segment = run.payload_bytes + _HEADER_BYTES + sender.tag_bytes if count > 1 else 0
        return Send(buffer[:at], segment, address, count, run.has_audio)  # type: ignore[arg-type]

    def _emit(self, peer: Route, send: Send) -> None:
        self.packets += send.packets
        self.octets += len(send.data)
        if isinstance(send.address, OverTcp):  # it has a queue of its own
            send.address.link.send(
                send.data, segment_bytes=send.segment_bytes, packets=send.packets, has_audio=send.has_audio
            )
        elif send.segment_bytes and not peer.uses_gso:
            self._one_by_one(send)
        elif not self._try(send):
            peer.uses_gso = False
            self.gso_refused += 1
            self._one_by_one(send)

    def _try(self, send: Send) -> bool:
        """False if the path knows no segmentation; a full buffer counts as done, the backlog has it."""
        if len(self._backlog):
            self._backlog.push(send._replace(data=bytes(send.data)))
            return True
        self.sends += 1
        try:
            self._to_kernel(send)
        except BlockingIOError:
            self._wait_for_room(send)
        except OSError as error:
            if send.segment_bytes and error.errno in _NO_GSO:
                return False
            self._port.counts["send_failed"] += 1
        return True

    def _one_by_one(self, send: Send) -> None:
        size = send.segment_bytes
        for at in range(0, len(send.data), size):
            self._try(send._replace(data=send.data[at : at + size], segment_bytes=0, packets=1))

    def _to_kernel(self, send: Send) -> None:
        port, address = self._port, send.address
        if not send.segment_bytes and len(address) == 2:
            port.socket.sendto(send.data, address)
            return
        control = port.control(address)
        if send.segment_bytes:
            control.append((_SOL_UDP, _UDP_SEGMENT, struct.pack("=H", send.segment_bytes)))
        port.socket.sendmsg([send.data], control, 0, address[:2])

    def _wait_for_room(self, send: Send) -> None:
        self._port.when_writable(self._drain)
        self._backlog.push(send._replace(data=bytes(send.data)))

    def _drain(self) -> None:
        while (send := self._backlog.head()) is not None:
            try:
                self._to_kernel(send)
            except BlockingIOError:
                return
            except OSError:
                self._port.counts["send_failed"] += 1
            self._backlog.pop()
        self._port.when_writable(None)
