"""The one UDP port, and the TCP port beside it: everything comes in here, and is dropped unless it proves itself.

Owns: the socket, the roster of peers, the counters of what was dropped.
Invariant: a datagram from a stranger costs a table lookup and leaves nothing behind; no datagram, whatever it
holds, raises out of `take`.
"""

import asyncio
import ipaddress
import socket
import time
from collections import Counter
from collections.abc import Callable
from typing import Final

import structlog

from media.clock import now_ms
from media.config import FLUSH_MS
from media.core import stun
from media.core.catchup import STEP_MS
from media.core.demux import Address, Kind, OverTcp, Roster, classify, is_sound_dtls
from media.core.rtp import Header, parse_header
from media.dtls import Certificate, Receiver
from media.intake import BURST, Intake
from media.peer import Credentials, Peer
from media.tcp import TcpPort

log = structlog.get_logger()

MAX_CLAIMS: Final = 64
"""Addresses of one peer that another one claims, and that are being asked."""
LEAST_GATHER_MS: Final = 5
"""Behind the end of a look that took long."""
EMPTY_LOOKS: Final = 4
"""In a row, and whoever comes next wakes us; between two pictures of a host there is nothing for one or two."""
_IP_PKTINFO: Final = 8
_BUFFER_BYTES: Final = 4 << 20


class MediaPort:
    """One socket on the running loop; `close` it."""

    def __init__(self, host: str, port: int, gather_ms: int = FLUSH_MS) -> None:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.socket = socket.socket(family, socket.SOCK_DGRAM)
        self.socket.setblocking(False)  # noqa: FBT003 - the library's signature
        for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
            self.socket.setsockopt(socket.SOL_SOCKET, option, _BUFFER_BYTES)
        self.pktinfo = self._ask_for_own_address(host, family)
        """Level and type of the control message that names our end; None where there is but one."""
        self.socket.bind((host, port))
        self._host = host
        self._claims: dict[Address, Peer] = {}
        self.certificate = Certificate.generateCertificate()
        self.roster: Roster[Peer] = Roster()
        self.counts: Counter[str] = Counter()
        self.intake = Intake(self)
        """Or its native twin."""
        self.tcp = TcpPort(self.take, self._lost, self.counts)
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self.socket.fileno(), self._readable)
        self._next_look: asyncio.Handle | None = None
        self._gather_s, self._least_s = gather_ms / 1000, min(gather_ms, LEAST_GATHER_MS) / 1000
        self._haste_s = min(gather_ms, STEP_MS) / 1000
        self._empty = 0
        self._is_asleep = True
        """The next datagram wakes us."""
        self.is_looking = False
        self.looked: Callable[[], None] = lambda: None
        """Called at the end of each look, for what came together to leave together."""
        self.goes_on: Callable[[], bool] = lambda: False
        """Asked at the end of each look: True if it is to look on although nothing comes."""

    def _ask_for_own_address(self, host: str, family: int) -> tuple[int, int] | None:
        """On a wildcard: have the kernel say which of our addresses a datagram came to.

        An answer must leave from there: a peer on 192.0.2.2 that asked 127.0.0.1 is otherwise answered from
        192.0.2.2, and a browser drops that.
        """
        if not ipaddress.ip_address(host).is_unspecified:
            return None
        if family == socket.AF_INET6:
            self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
            return socket.IPPROTO_IPV6, socket.IPV6_PKTINFO
        self.socket.setsockopt(socket.IPPROTO_IP, _IP_PKTINFO, 1)
        return socket.IPPROTO_IP, _IP_PKTINFO

    def control(self, address: Address) -> list[tuple[int, int, bytes]]:
        """The control messages that make a datagram to `address` leave from our end of it."""
        if len(address) == 2 or self.pktinfo is None:
            return []
        return [(*self.pktinfo, address[2])]

    async def open_tcp(self, port: int) -> None:
        """Listen on TCP too; 0: the number of the UDP port where it is free. Raises OSError."""
        await self.tcp.open(self._host, port, preferred=self.number)

    @property
    def number(self) -> int:
        number: int = self.socket.getsockname()[1]
        return number

    def close(self) -> None:
        if self._next_look is not None:
            self._next_look.cancel()
        self._loop.remove_reader(self.socket.fileno())
        self._loop.remove_writer(self.socket.fileno())
        self.socket.close()
        self.tcp.close()

    def enrol(self, ufrag: str, peer: Peer) -> None:
        self.roster.enrol(ufrag, peer)

    def retire(self, ufrag: str) -> None:
        self.roster.retire(ufrag)

    def forget(self, peer: Peer) -> None:
        self.roster.forget(peer)

    def receiver(self, receiver: Receiver) -> Receiver:
        """The receiver as a peer of this port is heard by it."""
        return self.intake.receiver(receiver)

    def sendto(self, data: bytes | memoryview, address: Address) -> None:
        """Send or drop: what goes through here (STUN, DTLS, RTCP, resends) is asked for again if it matters."""
        if isinstance(address, OverTcp):
            address.link.send(data)
            return
        try:
            if len(address) == 2:
                self.socket.sendto(data, address)
            else:
                self.socket.sendmsg([data], self.control(address), 0, address[:2])
        except (BlockingIOError, OSError):
            self.counts["send_failed"] += 1

    def when_writable(self, callback: Callable[[], None] | None) -> None:
        """Call back while the socket takes more; None ends that."""
        if callback is None:
            self._loop.remove_writer(self.socket.fileno())
        else:
            self._loop.add_writer(self.socket.fileno(), callback)

    def go_on(self) -> None:
        """Look, although nothing has come."""
        if self._is_asleep:
            self._is_asleep = False
            self._loop.remove_reader(self.socket.fileno())
            self._next_look = self._loop.call_later(self._haste_s, self._look)

    def _readable(self) -> None:
        """The first datagram after a pause: from here on it is we who look, until there is nothing."""
        self._is_asleep = False
        self._loop.remove_reader(self.socket.fileno())
        self._look()

    def _look(self) -> None:
        """Take what has come; then leave it to gather, as a network driver does.

        To be woken for each datagram costs more than to handle it: caches and loop are cold each time. One host and
        fifty viewers send three hundred and fifty a second. What the look and its sends take is no longer left to
        gather, so that where many watch, the last of them waits no longer than it must.
        """
        began = time.monotonic()
        self.is_looking = True
        taken = self.intake.take()
        self.is_looking = False
        goes_on = self.goes_on()
        self.looked()
        self._empty = 0 if taken or goes_on else self._empty + 1
        if taken == BURST:
            self._next_look = self._loop.call_soon(self._look)
        elif self._empty < EMPTY_LOOKS:
            left_s = (self._haste_s if goes_on else self._gather_s) - (time.monotonic() - began)
            self._next_look = self._loop.call_later(max(self._least_s, left_s), self._look)
        else:
            self._is_asleep = True
            self._loop.add_reader(self.socket.fileno(), self._readable)

    def take(self, datagram: bytes, source: Address) -> None:
        """`datagram`, and no fault of ours silences the port for every other peer."""
        try:
            self.datagram(datagram, source)
        except Exception:
            if self._is_worth_a_line():
                log.exception("a datagram was not handled", kind=classify(datagram).name)

    def _is_worth_a_line(self) -> bool:
        """Counts a fault; of the first the log tells."""
        self.counts["fault"] += 1
        return self.counts["fault"] < 10

    def _lost(self, address: OverTcp) -> None:
        """A connection has ended, and with it its address."""
        peer = self.roster.leave(address)
        if peer is not None:
            peer.lost(address)

    def heard(self, peer: Peer, header: Header, payload: bytes, now_ms: int) -> None:
        """A packet of media, authentic and new, to whoever listens; a fault of ours as in `take`."""
        listener = peer.listener
        if listener is None or peer.is_closed:
            self.counts["dropped_early"] += 1
            return
        try:
            listener.rtp(header, payload, now_ms)
        except Exception:
            if self._is_worth_a_line():
                log.exception("a packet of media was not handled")

    def datagram(self, datagram: bytes, source: Address) -> None:
        """Hand one datagram to whom it belongs, or drop it."""
        kind = classify(datagram)
        if kind is Kind.STUN:
            self._stun(datagram, source)
            return
        peer = self.roster.at(source) if kind is not Kind.JUNK else None
        if peer is None:
            self.counts["dropped_stranger"] += 1
        elif kind is Kind.DTLS:
            if not is_sound_dtls(datagram):
                self.counts["dropped_dtls"] += 1
            elif not peer.feed(datagram):
                self.counts["dropped_full"] += 1
        else:
            self._media(peer, kind, datagram)

    def _stun(self, datagram: bytes, source: Address) -> None:
        holder = self.roster.at(source)
        check = stun.again(datagram, holder.last_check) if holder and holder.last_check else None
        check = check or stun.parse_check(datagram)
        if check is not None:
            self._check(check, source, holder)
            return
        claimant = self._claims.get(source)
        reply = stun.parse_reply(datagram) if claimant or holder else None
        if reply and claimant and not claimant.is_closed and claimant.confirmed(source, reply):
            del self._claims[source]
            self.roster.validate(source, claimant, keep=source)
        elif not (reply and holder and holder.confirmed(source, reply)):
            self.counts["dropped_stun"] += 1

    def _check(self, check: stun.Check, source: Address, holder: Peer | None) -> None:
        peer = self.roster.named(check.local)
        held = peer.named(check.local) if peer else None
        password = held.password.encode() if held else b""
        if not peer or not held or check.remote != held.remote_ufrag or not stun.is_authentic(check, password):
            self.counts["dropped_stun"] += 1
            return
        peer.last_check = check
        if holder is not None and holder is not peer:
            self._claim(source, peer, held)
            return
        driven_out = self.roster.validate(source, peer, keep=peer.address)
        if isinstance(driven_out, OverTcp):
            driven_out.link.abort()
        if isinstance(source, OverTcp):
            source.link.prove()
        self.sendto(stun.success(check, source, password), source)
        peer.checked(source, held, nominated=check.nominates)

    def _claim(self, source: Address, peer: Peer, held: Credentials) -> None:
        """`peer` says that it is where another one has proven to be.

        That may be a forged source, to cut the other one off; or a port that has been given out again. It is asked,
        and gets the address when it answers from there.
        """
        self._claims.pop(source, None)
        if len(self._claims) >= MAX_CLAIMS:
            del self._claims[next(iter(self._claims))]
        self._claims[source] = peer
        peer.probe(source, held)

    def _media(self, peer: Peer, kind: Kind, datagram: bytes) -> None:
        receiver, listener = peer.receiver, peer.listener
        if receiver is None or listener is None:
            self.counts["dropped_early"] += 1
        elif kind is Kind.RTCP:
            compound = receiver.unprotect_rtcp(datagram)
            if compound is not None:
                listener.rtcp(compound, now_ms())
            else:
                self.counts["dropped_forged"] += 1
        else:
            header = parse_header(datagram)
            payload = receiver.unprotect(datagram, header.size) if header is not None else None
            if header is not None and payload is not None:
                listener.rtp(header, payload, now_ms())
            else:
                self.counts["dropped_forged"] += 1
