"""One peer: its credentials, its validated address, its DTLS, its keys.

Owns: the session's life from the answer to the end. It has no task and no timer: it goes on when something comes, and
when it is told the time.
Invariant: nothing is sent to an address that no authenticated check came from, and once there is one, nothing but
checks of our own to another that has not answered one; of its DTLS datagrams 64 at once are heard; at most two
generations of ICE credentials hold; a bad handshake packet never ends the peer, the deadline does.
"""

import functools
import os
import secrets
from array import array
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from media.clock import now_ms
from media.core import stun
from media.core.demux import Address, OverTcp, is_plain_alert
from media.core.quota import Quota
from media.core.rtp import Header
from media.core.sdp import Offer, our_setup
from media.dtls import Association, Certificate, Receiver, Sender, associate
from media.dtls_client import HandshakeError
from media.hearing import Hearing

DTLS_BURST: Final = 64
"""Datagrams at once, and so many a second; a whole handshake has five."""
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
    random = os.urandom(20).hex()
    return Credentials(random[:8], random[8:], remote_ufrag, remote_password)


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
        self.ended: Callable[[], None] = lambda: None
        """Called once, at the end."""
        self._previous: Credentials | None = None
        self._wire = wire
        self._links: set[OverTcp] = set()
        self._probes: dict[Address, Probe] = {}
        self._until_ms = self.seen_ms + handshake_ms
        self._fingerprint = offer.fingerprint
        self._quota = Quota(a_second=DTLS_BURST, burst=DTLS_BURST)
        self._tries = 0
        self._dtls: Association | None = None
        """From the first check on."""
        wire.enrol(self.credentials.ufrag, self)

    @property
    def is_up(self) -> bool:
        """True while media can flow."""
        return self.sender is not None and not self.is_closed

    def _begin(self) -> None:
        """Shake hands, or try once more."""
        self._tries += 1
        if self._tries > HANDSHAKE_TRIES:
            self.close()
            return
        self._dtls = associate(self._wire.certificate, self._fingerprint, is_client=self.setup == "active")
        self._say(self._dtls.begin())

    def feed(self, datagram: bytes) -> bool:
        """A DTLS datagram from a validated address. Too many: False, it is dropped, and DTLS sends again."""
        if not self._quota.allows(now_ms()):
            return False
        try:
            self._take(datagram)
        except HandshakeError:
            if self.is_up:
                self.close()
            else:
                self._begin()
        except Exception:  # of a session that can be neither up nor over nobody would hear
            self.close()
            raise
        return True

    def _take(self, datagram: bytes) -> None:
        if self._dtls is None or self.is_closed:
            return
        self._say(self._dtls.take(datagram))
        if self.sender is None and self._dtls.sender is not None:
            assert self._dtls.receiver is not None, "the handshake yields both"
            self.sender, self.receiver = self._dtls.sender, Hearing(self._wire.receiver(self._dtls.receiver))
            if self.listener is not None:
                self.listener.connected()
        elif self._dtls.is_closed:
            self.close()

    def tick(self, now_ms: int) -> None:
        """Until it is up, now and then: say again what nobody has answered, and end what takes too long."""
        if self.sender is not None or self.is_closed:
            return
        if now_ms > self._until_ms:
            self.close()
        elif self._dtls is not None:
            try:
                self._say(self._dtls.remind(now_ms))
            except HandshakeError:
                self._begin()

    def _say(self, datagrams: list[bytes]) -> None:
        if self.address is not None:
            for datagram in datagrams:
                if not is_plain_alert(datagram):
                    self._wire.sendto(datagram, self.address)

    def close(self) -> None:
        """End the session, with a farewell."""
        if self.is_closed:
            return
        self.is_closed = True
        self._wire.forget(self)
        if self.listener is not None:
            self.listener.closed()
        if self._dtls is not None:
            self._say(self._dtls.farewell())
        self._hang_up()
        self.ended()

    def _hang_up(self) -> None:
        """Only after the farewell: a transport that has lost its peer says nothing any more."""
        self.address = None
        for address in list(self._links):
            address.link.close()

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
        if self._dtls is None:
            self._reached(address)
        elif self.address != address and (nominated or self.address is None):
            self.probe(address, held)

    def _reached(self, address: Address) -> None:
        """The peer is there: go on there, and begin if this is the first that we know."""
        self._move(address)
        if self._dtls is None:
            self._begin()

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

    @functools.cached_property
    def _tie_breaker(self) -> bytes:
        """The same in each of our checks (RFC 8445 section 7.1.3)."""
        return secrets.token_bytes(8)

    def confirmed(self, address: Address, reply: stun.Reply) -> bool:
        """Move to `address` if the reply is the peer's, to what we asked there; else False."""
        probe = self._probes.get(address)
        if probe is None or reply.transaction != probe.transaction:
            return False
        if not stun.is_authentic(reply, probe.held.remote_password.encode()):
            return False
        self.seen_ms = now_ms()
        self._reached(address)
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

    def send_rtcp(self, compound: bytes) -> None:
        if self.sender is not None and self.address is not None and not self.is_closed:
            self._wire.sendto(self.sender.protect_rtcp(compound), self.address)
