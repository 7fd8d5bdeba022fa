"""What a datagram at the media port may be, and whose it is.

Owns: the two tables that lead from a datagram to its peer: by our ICE user name, and by validated address.
Invariant: an address is in the table only after a STUN check with that peer's password came from it, and
leaves it only with the peer it points to. Nothing here grows for a stranger.
"""

from enum import IntEnum
from typing import Final, Generic, NamedTuple, Protocol, TypeVar

P = TypeVar("P")


class Link(Protocol):
    """A connection that carries framed packets."""

    def send(
        self, data: bytes | memoryview, *, segment_bytes: int = 0, packets: int = 1, has_audio: bool = True
    ) -> None:
        """Send one packet, or a run of `segment_bytes` each; never blocks, never raises."""
        ...

    def prove(self) -> None: ...

    def close(self) -> None: ...

    def abort(self) -> None: ...


class OverTcp(NamedTuple):
    """The far end of a TCP connection: what is equal to it came over that very connection."""

    host: str
    port: int
    own: bytes
    link: Link


Address = tuple[str, int] | tuple[str, int, bytes] | OverTcp
"""The far end; on a port that is bound to every address also our own end, as the kernel writes it (pktinfo)."""

MAX_ADDRESSES: Final = 8
"""Validated addresses per peer: a browser tries one per network interface and way."""

_STUN_HEADER: Final = 20
_DTLS_HEADER: Final = 13
_RTP_HEADER: Final = 12
_RTCP_HEADER: Final = 8
_ALERT: Final = 21
_RECORDS: Final = (20, 21, 22, 23)
_DTLS_VERSIONS: Final = (b"\xfe\xff", b"\xfe\xfd")
_DTLS_CIPHERTEXT: Final = range(32, 64)


class Kind(IntEnum):
    """The protocols that share the port (RFC 7983), RTCP told from RTP by RFC 5761."""

    JUNK = 0
    STUN = 1
    DTLS = 2
    RTP = 3
    RTCP = 4


# Looked up for each datagram; a member of an enumeration is found in two steps.
_JUNK, _STUN, _DTLS, _RTP, _RTCP = Kind


def classify(datagram: bytes) -> Kind:
    """The protocol of a datagram by its first bytes; JUNK if it is none of ours or too short for its own header."""
    size = len(datagram)
    if size == 0:
        return _JUNK
    first = datagram[0]
    if 128 <= first <= 191:
        if size >= _RTCP_HEADER and 192 <= datagram[1] <= 223:
            return _RTCP
        return _RTP if size >= _RTP_HEADER else _JUNK
    if first <= 3:
        return _STUN if size >= _STUN_HEADER else _JUNK
    return _DTLS if 20 <= first <= 63 and size >= _DTLS_HEADER else _JUNK


def is_sound_dtls(datagram: bytes) -> bool:
    """True if every record is well framed and none is an alert in the clear.

    A plaintext alert (epoch 0) proves nothing about who sent it, and would end a handshake in progress
    (RFC 9147 section 4.5.2 lets us drop it); a peer that truly gave up is noticed by the deadline.
    """
    at = 0
    while at < len(datagram):
        if datagram[at] in _DTLS_CIPHERTEXT:  # a DTLS 1.3 record hides its shape; it is authenticated as a whole
            return at > 0 or len(datagram) > _DTLS_HEADER
        if len(datagram) < at + _DTLS_HEADER or datagram[at] not in _RECORDS:
            return False
        epoch = int.from_bytes(datagram[at + 3 : at + 5], "big")
        if datagram[at + 1 : at + 3] not in _DTLS_VERSIONS or (datagram[at] == _ALERT and epoch == 0):
            return False
        at += _DTLS_HEADER + int.from_bytes(datagram[at + 11 : at + 13], "big")
    return at == len(datagram)


def is_plain_alert(datagram: bytes) -> bool:
    """True for an alert in the clear: OpenSSL answers a forged record with one, and it would end the true peer."""
    return len(datagram) >= _DTLS_HEADER and datagram[0] == _ALERT and datagram[3:5] == b"\0\0"


class Roster(Generic[P]):
    """Who is behind a user name or an address."""

    def __init__(self) -> None:
        self._by_ufrag: dict[str, P] = {}
        self.by_address: dict[Address, P] = {}
        """To be read alone; media/native keeps it."""
        self._addresses: dict[int, dict[Address, None]] = {}
        """In the order of their last checks."""
        self._ufrags: dict[int, set[str]] = {}

    def __len__(self) -> int:
        return len(self._ufrags)

    @property
    def addresses(self) -> int:
        """How many addresses are validated, over all peers."""
        return len(self.by_address)

    def enrol(self, ufrag: str, peer: P) -> None:
        """Let checks that name `ufrag` find `peer`; an ICE restart enrols a second name."""
        self._by_ufrag[ufrag] = peer
        self._ufrags.setdefault(id(peer), set()).add(ufrag)

    def retire(self, ufrag: str) -> None:
        """Forget a name; its peer stays under its other."""
        peer = self._by_ufrag.pop(ufrag, None)
        self._ufrags.get(id(peer), set()).discard(ufrag)

    def named(self, ufrag: str) -> P | None:
        return self._by_ufrag.get(ufrag)

    def at(self, address: Address) -> P | None:
        return self.by_address.get(address)

    def validate(self, address: Address, peer: P, *, keep: Address | None = None) -> Address | None:
        """Note that a valid check of `peer` came from `address`.

        One too many drives out the one that has checked least recently, but never `keep`, and that is returned: so
        checks replayed from elsewhere cannot keep a peer from an address to which it moves.
        """
        held = self._addresses.setdefault(id(peer), {})
        held.pop(address, None)
        driven_out = next((old for old in held if old != keep), None) if len(held) >= MAX_ADDRESSES else None
        if driven_out is not None:
            del held[driven_out]
            if self.by_address.get(driven_out) is peer:
                del self.by_address[driven_out]
        held[address] = None
        self.by_address[address] = peer
        return driven_out

    def leave(self, address: Address) -> P | None:
        """Forget one address; whose it was."""
        peer = self.by_address.pop(address, None)
        if peer is not None:
            self._addresses.get(id(peer), {}).pop(address, None)
        return peer

    def forget(self, peer: P) -> None:
        """Remove a peer. An address that has since been validated for another stays with that other."""
        for ufrag in self._ufrags.pop(id(peer), ()):
            self._by_ufrag.pop(ufrag, None)
        for address in self._addresses.pop(id(peer), ()):
            if self.by_address.get(address) is peer:
                del self.by_address[address]
