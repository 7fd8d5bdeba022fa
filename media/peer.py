"""One peer: its credentials, its validated address, its DTLS, its keys.

Owns: the session's life from the answer to the end. Quacks like aiortc's RTCIceTransport (`role`, `_recv`,
`_send`) towards the handshake.
Invariant: nothing is sent to an address that no authenticated check came from, and once there is one, nothing but
checks of our own to another that has not answered one; the queue towards the handshake holds at most 64 datagrams; at
most two generations of ICE credentials hold; a bad handshake packet never ends the peer, the deadline does.
"""

import asyncio
import secrets
from array import array
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from media.clock import now_ms
from media.core import stun
from media.core.demux import Address, OverTcp, is_plain_alert
from media.core.rtp import Header
from media.core.sdp import Offer, our_setup
from media.dtls import Association, Certificate, Receiver, Sender, associate
from media.hearing import Hearing

DTLS_QUEUE: Final = 64
MAX_PROBES: Final = 4
"""Addresses that are being asked at a time whether the peer is there."""
PROBE_EVERY_MS: Final = 50
HANDSHAKE_TRIES: Final = 5
"""A forged or broken flight ruins one; the peer sends its own again within a second."""


class Wire(Protocol):
    """The UDP port, as a peer sees it."""

    certificate: Certificate

    def sendto(self, data: bytes, address: Address) -> None: ...

    def enrol(self, ufrag: str, peer: "Peer") -> None: ...

    def retire(self, ufrag: str) -> None: ...

    def forget(self, peer: "Peer") -> None: ...

    def receiver(self, receiver: Receiver) -> Receiver: ...


class PeerListener(Protocol):
    """Who lives behind a peer: a publisher or a subscriber."""

    def connected(self) -> None: ...

    def rtp(self, header: Header, payload: bytes, now_ms: int) -> None: ...

    def rtcp(self, compound: bytes, now_ms: int) -> None: ...

    def closed(self) -> None: ...


class Credentials(NamedTuple):
    """One ICE generation: our name and password, and the peer's."""

    ufrag: str
    password: str
    remote_ufrag: str
    remote_password: str


def _fresh(remote_ufrag: str, remote_password: str) -> Credentials:
    return Credentials(secrets.token_hex(4), secrets.token_hex(16), remote_ufrag, remote_password)


class Probe(NamedTuple):
    """A check of ours that is on its way."""

    transaction: bytes
    held: Credentials
    sent_ms: int


class _Noted:
    """One of those things about a peer of which media/native keeps a copy; a change of it is counted."""

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __set__(self, peer: "Peer", value: object) -> None:
        peer.__dict__[self._name] = value
        peer.changes[0] += 1


class Peer:
    """The transport of one session."""

    role = "controlled"
    if not TYPE_CHECKING:  # read as any attribute is: a descriptor without `__get__` stands back behind it
        address, sender, is_closed, uses_gso = _Noted(), _Noted(), _Noted(), _Noted()

    def __init__(self, wire: Wire, offer: Offer, *, handshake_ms: int) -> None:
        self.changes = array("q", (0,))
        """How often address, sender, `is_closed` or `uses_gso` were set; while it stands what was read holds."""
        self.credentials = _fresh(offer.ufrag, offer.password)
        self.setup = our_setup(offer.setup)
        self.address: Address | None = None
        self.sender: Sender | None = None
        self.receiver: Hearing | None = None
        self.seen_ms = now_ms()
        self.is_closed = False
        self.uses_gso = True
        self.last_check: stun.Check | None = None
        """Authentic; the next one says the same."""
        self.listener: PeerListener | None = None
        self._previous: Credentials | None = None
        self._tie_breaker = secrets.token_bytes(8)
        self._wire = wire
        self._links: set[OverTcp] = set()
        self._probes: dict[Address, Probe] = {}
        self._handshake_ms = handshake_ms
        self._fingerprint = offer.fingerprint
        self._queue: asyncio.Queue[bytes | None] = asyncio.Queue(DTLS_QUEUE)
        self._checked = asyncio.Event()
        self._dtls: Association | None = None
        wire.enrol(self.credentials.ufrag, self)

    @property
    def is_up(self) -> bool:
        """True while media can flow."""
        return self.sender is not None and not self.is_closed

    async def run(self) -> None:
        """The whole life: wait for a check, shake hands, stay until either side ends it."""
        try:
            async with asyncio.timeout(self._handshake_ms / 1000):
                await self._connect()
            if self._dtls is not None and self.is_up:
                await self._dtls.until_closed()
        except TimeoutError:
            pass
        finally:
            self.close()
            if self._dtls is not None:
                await self._dtls.farewell()
            self._hang_up()

    def _hang_up(self) -> None:
        """Only after the farewell: a transport that has lost its peer says nothing any more."""
        self.address = None
        for address in list(self._links):
            address.link.close()

    async def _connect(self) -> None:
        await self._checked.wait()
        await self._shake_hands()

    async def _shake_hands(self) -> None:
        for _ in range(HANDSHAKE_TRIES):
            if self.is_closed:
                return
            self._dtls = associate(self, self._wire.certificate, self._fingerprint, is_client=self.setup == "active")
            if await self._dtls.shake_hands():
                assert self._dtls.receiver is not None, "the handshake yields the keys"
                self.sender = self._dtls.sender
                self.receiver = Hearing(self._wire.receiver(self._dtls.receiver))
                if self.listener and not self.is_closed:
                    self.listener.connected()
                return
        self.close()

    def close(self) -> None:
        """End the session; `run` says farewell and returns."""
        if self.is_closed:
            return
        self.is_closed = True
        self._wire.forget(self)
        self._checked.set()
        if self._queue.full():
            self._queue.get_nowait()
        self._queue.put_nowait(None)
        if self.listener:
            self.listener.closed()

    def named(self, ufrag: str) -> Credentials | None:
        """The credentials under our name `ufrag`, if they still hold."""
        if self.credentials.ufrag == ufrag:
            return self.credentials
        return self._previous if self._previous is not None and self._previous.ufrag == ufrag else None

    def checked(self, address: Address, held: Credentials, *, nominated: bool) -> None:
        """A check under `held` was authentic; DTLS starts at the first one (36 ms a join, not 85).

        A later one from elsewhere may be a copy that somebody else sent: the address is followed when a check of
        our own has been answered from there (docs/decisions/0009).
        """
        self.seen_ms = now_ms()
        if held is self.credentials and self._previous is not None:
            self._wire.retire(self._previous.ufrag)
            self._previous = None
        if isinstance(address, OverTcp):
            self._links.add(address)
        if not self._checked.is_set():
            self._move(address)
        elif self.address != address and (nominated or self.address is None):
            self.probe(address, held)
        self._checked.set()

    def _move(self, address: Address) -> None:
        self.address = address
        self.uses_gso = True
        self._probes.clear()

    def probe(self, address: Address, held: Credentials) -> None:
        """Ask at `address`, in few words and not too often: it may be that of somebody who knows nothing of us."""
        now, asked = now_ms(), self._probes.pop(address, None)
        if asked is not None and now - asked.sent_ms < PROBE_EVERY_MS:
            self._probes[address] = asked
            return
        if asked is None and len(self._probes) >= MAX_PROBES:
            del self._probes[next(iter(self._probes))]
        probe = Probe(asked.transaction if asked else secrets.token_bytes(12), held, now)
        self._probes[address] = probe
        user = f"{held.remote_ufrag}:{held.ufrag}"
        request = stun.request(probe.transaction, user, self._tie_breaker, held.remote_password.encode())
        self._wire.sendto(request, address)

    def confirmed(self, address: Address, reply: stun.Reply) -> bool:
        """Move to `address` if the reply is the peer's, to what we asked there; else False."""
        probe = self._probes.get(address)
        if probe is None or reply.transaction != probe.transaction:
            return False
        if not stun.is_authentic(reply, probe.held.remote_password.encode()):
            return False
        self.seen_ms = now_ms()
        self._move(address)
        self._checked.set()
        return True

    def lost(self, address: OverTcp) -> None:
        """A connection of this peer has ended."""
        self._links.discard(address)
        self._probes.pop(address, None)
        if self.address == address:
            self.address = None

    def restart(self, remote_ufrag: str, remote_password: str) -> None:
        """New ICE credentials (RFC 9725 section 4.3.2); those in use hold until the first check under the new."""
        if self._previous is None:
            self._previous = self.credentials
        else:  # never used: only the last restart counts
            self._wire.retire(self.credentials.ufrag)
        self.credentials = _fresh(remote_ufrag, remote_password)
        self._wire.enrol(self.credentials.ufrag, self)

    def feed(self, datagram: bytes) -> bool:
        """A DTLS datagram from a validated address. Full: False, it is dropped, and DTLS sends again."""
        try:
            self._queue.put_nowait(datagram)
        except asyncio.QueueFull:
            return False
        return True

    def send_rtcp(self, compound: bytes) -> None:
        if self.sender is not None and self.address is not None and not self.is_closed:
            self._wire.sendto(self.sender.protect_rtcp(compound), self.address)

    async def _recv(self) -> bytes:
        """The next datagram; ConnectionError once the session is to end: that is what ends `run`, without a task."""
        datagram = None if self.is_closed else await self._queue.get()
        if datagram is None:
            raise ConnectionError
        return datagram

    async def _send(self, data: bytes) -> None:
        if self.address is None:
            raise ConnectionError
        if not is_plain_alert(data):
            self._wire.sendto(data, self.address)
