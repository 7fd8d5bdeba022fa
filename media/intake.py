"""What a look of the port takes from the socket, datagram by datagram.

Owns: nothing. Invariant: at most `BURST` datagrams a look, each handed to the port in the order it came. This is the
reference of media/native, which reads them in one call and decrypts a host's packets in the same.
"""

import socket
import struct
from collections import Counter
from typing import Final, Protocol

from media.core.demux import Address, Roster
from media.core.rtp import Header
from media.dtls import Receiver
from media.peer import Peer

BURST: Final = 64
"""Datagrams read before others get a turn."""
_DATAGRAM: Final = 2048
_CONTROL: Final = 64
_IPV4_PKTINFO: Final = struct.Struct("=I4s4s")


class Port(Protocol):
    """Who handles what came."""

    socket: socket.socket
    pktinfo: tuple[int, int] | None
    counts: Counter[str]
    roster: Roster[Peer]

    def take(self, datagram: bytes, source: Address) -> None:
        """A datagram as it came; never raises."""
        ...

    def heard(self, peer: Peer, header: Header, payload: bytes, now_ms: int) -> None:
        """A packet of media, authentic and new; never raises."""
        ...


class Intake:
    """Reads the socket of one port."""

    def __init__(self, port: Port) -> None:
        self._port = port
        self._receive = self._plain if port.pktinfo is None else self._with_our_end

    def receiver(self, receiver: Receiver) -> Receiver:
        """The receiver as this hears a peer by it."""
        return receiver

    def take(self) -> int:
        """Hand on what has come; how many datagrams."""
        receive, port = self._receive, self._port
        for taken in range(BURST):
            try:
                datagram, source = receive()
            except (BlockingIOError, InterruptedError):
                return taken
            except OSError:  # an ICMP error of an earlier send
                port.counts["receive_failed"] += 1
                continue
            port.take(datagram, source)
        return BURST

    def _plain(self) -> tuple[bytes, Address]:
        datagram, source = self._port.socket.recvfrom(_DATAGRAM)
        return datagram, source if len(source) == 2 else source[:2]

    def _with_our_end(self) -> tuple[bytes, Address]:
        datagram, control, _, source = self._port.socket.recvmsg(_DATAGRAM, _CONTROL)
        own = next((data for level, kind, data in control if (level, kind) == self._port.pktinfo), b"")
        is_ipv4 = len(own) == _IPV4_PKTINFO.size
        # Our address, and any interface: a route may change, the address must not.
        answer_from = _IPV4_PKTINFO.pack(0, own[4:8], bytes(4)) if is_ipv4 else own[:16] + bytes(4)
        return datagram, (source[0], source[1], answer_from)
