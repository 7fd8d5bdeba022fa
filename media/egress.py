"""The hot path: every subscriber's packets get its headers, its keys, and go to the kernel in few calls.

Owns: the backlog behind a full socket.
Invariant: `send` never blocks and never raises for one target's sake; what it gives a target for one packet
is the same bits each time. This is the reference of media/native, which does the plain case in C and leaves the
rest to what stands here.
"""

import errno
import functools
import struct
from collections.abc import Sequence
from typing import Final, Protocol

from media.core.backlog import Backlog, Send
from media.core.demux import Address, OverTcp
from media.core.extensions import filled
from media.core.formats import Codec, Kind
from media.core.history import Packet
from media.core.press import later
from media.core.rewrite import FIRST, SSRC, Line, pack_header
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


class Strip(Protocol):
    """Packets in order, which many targets get one after the other: a reel."""

    packets: list[Packet]
    twin: object | None
    """Belongs to media.native."""


class _Repairs:
    """A target as its retransmissions see it."""

    def __init__(self, target: Target) -> None:
        self.peer = target.peer
        self.lines = tuple(line.repair if line else None for line in target.lines)


class Egress:
    """Sends runs to targets through one port."""

    def __init__(self, port: MediaPort) -> None:
        self._port = port
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
            sender, address = peer.sender, peer.address
            if sender is not None and address is not None and not peer.is_closed:
                for run in runs:
                    self._run(target, sender, address, run)

    def hurry(self, target: Target, reel: Strip, begin: int, end: int) -> None:
        """Send the packets between two places of a reel, all of one track, to one target."""
        self.send([target], regroup(reel.packets[begin:end]))

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

    def _run(self, target: Target, sender: Sender, address: Address, run: Run, segment: int = 0) -> None:
        """Send a run, from its `segment` on as this target gets it."""
        parts = _seal(target.lines, sender, run)[2 * segment :]
        if parts:
            size = run.payload_bytes + _HEADER_BYTES + sender.tag_bytes if len(parts) > 2 or segment else 0
            self._emit(target.peer, address, parts, size, run)

    def _emit(self, peer: Route, address: Address, parts: list[bytes], size: int, run: Run) -> None:
        self.packets += len(parts) >> 1
        self.octets += sum(map(len, parts))
        if isinstance(address, OverTcp):  # it has a queue of its own
            address.link.send(b"".join(parts), segment_bytes=size, packets=len(parts) >> 1, has_audio=run.has_audio)
        elif size and not peer.uses_gso:
            self._one_by_one(address, parts, run)
        elif not self._try(address, parts, size, run):
            peer.uses_gso = False
            self.gso_refused += 1
            self._one_by_one(address, parts, run)

    def _try(self, address: Address, parts: list[bytes], size: int, run: Run) -> bool:
        """False if the path knows no segmentation; a full buffer counts as done, the backlog has it."""
        if len(self._backlog):
            self._backlog.push(_later(address, parts, size, run))
            return True
        self.sends += 1
        try:
            self._to_kernel(address, parts, size)
        except BlockingIOError:
            self._port.when_writable(self._drain)
            self._backlog.push(_later(address, parts, size, run))
        except OSError as error:
            if size and error.errno in _NO_GSO:
                return False
            self._port.counts["send_failed"] += 1
        return True

    def _one_by_one(self, address: Address, parts: list[bytes], run: Run) -> None:
        for at in range(0, len(parts), 2):
            self._try(address, parts[at : at + 2], 0, run)

    def _to_kernel(self, address: Address, parts: Sequence[bytes], size: int) -> None:
        port = self._port
        if len(address) == 2:
            port.socket.sendmsg(parts, _cut(size), 0, address)
        else:
            port.socket.sendmsg(parts, [*port.control(address), *_cut(size)], 0, address[:2])

    def _drain(self) -> None:
        while (send := self._backlog.head()) is not None:
            try:
                self._to_kernel(send.address, [send.data], send.segment_bytes)
            except BlockingIOError:
                return
            except OSError:
                self._port.counts["send_failed"] += 1
            self._backlog.pop()
        self._port.when_writable(None)


def _seal(lines: Sequence[Line | None], sender: Sender, run: Run) -> list[bytes]:
    """The run as a target gets it: header, ciphertext, header, ciphertext; empty if it gets nothing of it."""
    # The innermost loop of the product: what is constant stands outside it, and names are local. The parts stay apart:
    # the kernel gathers them, which costs less than writing them into one buffer here.
    encrypt, salt = sender.encrypt, sender.salt
    parts: list[bytes] = []
    counted = octets = first = shift = timestamp_shift = ssrc = nonce = 0
    last: Codec | None = None
    line: Line | None = None
    payload_type = press = None
    picture, later_by = -1, 0
    for kind, codec, sequence, timestamp, marker, payload, padded, _, capture in run.packets:
        if codec is not last:
            if line is not None:
                line.count(len(parts) - counted >> 1, octets)
            last, line, counted, octets = codec, lines[kind], len(parts), 0
            payload_type = line.payload_types.get(codec) if line else None
            if line is not None:
                first, shift, timestamp_shift, ssrc = line.numbers[FIRST : SSRC + 1]
                press, nonce = line.press, ssrc << 48 ^ salt
        if line is None or payload_type is None or sequence < first:
            continue
        index = sequence + shift
        if press is not None:
            if timestamp != picture:  # once for all packets of a picture
                picture, later_by = timestamp, press.shift(timestamp)
            timestamp, capture = timestamp + later_by, later(capture, later_by)  # noqa: PLW2901 - for this line
        header = pack_header(
            0xA0 if padded else 0x80,
            payload_type | 0x80 if marker else payload_type,
            index & 0xFFFF,
            timestamp + timestamp_shift & 0xFFFFFFFF,
            ssrc,
        )
        if capture:
            header = bytes((header[0] | _HAS_EXTENSIONS,)) + header[1:] + filled(line.extensions, capture)
        parts.append(header)
        parts.append(encrypt((nonce ^ index).to_bytes(12, "big"), payload, header))
        octets += len(payload)
    if line is not None:
        line.count(len(parts) - counted >> 1, octets)
    return parts


def _later(address: Address, parts: Sequence[bytes], size: int, run: Run) -> Send:
    """For the backlog."""
    return Send(b"".join(parts), size, address, len(parts) >> 1, run.has_audio)


@functools.lru_cache(4096)
def _cut(size: int) -> tuple[tuple[int, int, bytes], ...]:
    """The control message that has the kernel cut a message into datagrams of `size`; none for 0."""
    return ((_SOL_UDP, _UDP_SEGMENT, struct.pack("=H", size)),) if size else ()
