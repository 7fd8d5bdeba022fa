"""STUN as our agent needs it: binding requests in, success responses out (RFC 8489, RFC 8445).

The other way round for one purpose: before media follows a peer to another address, a request of ours asks there.

Reads no clock and does no I/O. Invariant: whatever is not a well-formed binding request with USERNAME,
MESSAGE-INTEGRITY and FINGERPRINT, or a response with the latter two, is None, at a cost bounded by its size; nothing
here raises on input.
"""

import binascii
import functools
import hmac
import ipaddress
import struct
from typing import Final, NamedTuple

from media.core.demux import Address

COOKIE: Final = 0x2112A442
MAX_BYTES: Final = 1500
MAX_ATTRIBUTES: Final = 24

_BINDING_REQUEST: Final = 0x0001
_BINDING_SUCCESS: Final = 0x0101
_USERNAME: Final = 0x0006
_MESSAGE_INTEGRITY: Final = 0x0008
_XOR_MAPPED_ADDRESS: Final = 0x0020
_PRIORITY: Final = 0x0024
_USE_CANDIDATE: Final = 0x0025
_FINGERPRINT: Final = 0x8028
_ICE_CONTROLLED: Final = 0x8029
_FINGERPRINT_XOR: Final = 0x5354554E
_KNOWN_REQUIRED: Final = frozenset({_USERNAME, _MESSAGE_INTEGRITY, _XOR_MAPPED_ADDRESS, _PRIORITY, _USE_CANDIDATE})
_HOST_PRIORITY: Final = 126 << 24 | 65535 << 8 | 255
_MAX_USERNAME: Final = 513
_OPTIONAL: Final = 0x8000
_REQUEST: Final = struct.Struct("!HHI")
_MAC_HEAD: Final = struct.pack("!HH", _MESSAGE_INTEGRITY, 20)
_CRC_HEAD: Final = struct.pack("!HH", _FINGERPRINT, 4)
_MAX_HOSTS: Final = 4096
"""Whose address is known from the answer before; only a proven check is answered, so no stranger is among them."""


class Check(NamedTuple):
    """A connectivity check, well formed but not yet authenticated: see `is_authentic`."""

    transaction: bytes
    local: str
    """Our user name fragment, which says whose password must have been used."""
    remote: str
    nominates: bool
    """USE-CANDIDATE: the controlling side has chosen this pair."""
    mac: bytes
    signed: bytes
    """What the MAC covers: the message up to MESSAGE-INTEGRITY, with the length as it was then (RFC 8489 14.5)."""


class Reply(NamedTuple):
    """An answer to a request of ours, not yet authenticated: see `is_authentic`."""

    transaction: bytes
    mac: bytes
    signed: bytes


def parse_check(datagram: bytes) -> Check | None:
    """The binding request in a datagram, or None if anything about it is amiss."""
    attributes = _message(datagram, _BINDING_REQUEST)
    if attributes is None or _USERNAME not in attributes:
        return None
    names = _split(attributes[_USERNAME][1])
    if names is None:
        return None
    return Check(datagram[8:20], *names, _USE_CANDIDATE in attributes, *_signature(datagram, attributes))


def again(datagram: bytes, before: Check) -> Check | None:
    """The check in a datagram that differs from `before` only in what differs each time; None: read it from scratch.

    A browser says the same each second or two but for the transaction, MAC and fingerprint: one comparison takes the
    place of the reading. What this returns is as little proven as what `parse_check` does.

        signed                                              | not covered
        type length cookie | transaction | attributes       | MESSAGE-INTEGRITY, MAC | FINGERPRINT, CRC
        0                  8             20                 -32                  -28 -8             -4
    """
    signed = before.signed
    if datagram[20:-32] != signed[20:] or len(datagram) != len(signed) + 32:
        return None
    if datagram[:8] != _REQUEST.pack(_BINDING_REQUEST, len(signed) + 12, COOKIE):
        return None
    if datagram[-32:-28] != _MAC_HEAD or datagram[-8:-4] != _CRC_HEAD:
        return None
    if datagram[-4:] != _crc(datagram[:-8]).to_bytes(4, "big"):
        return None
    transaction = datagram[8:20]
    signed = signed[:8] + transaction + signed[20:]
    return Check(transaction, before.local, before.remote, before.nominates, datagram[-28:-8], signed)


def parse_reply(datagram: bytes) -> Reply | None:
    """The success response in a datagram, or None if anything about it is amiss."""
    attributes = _message(datagram, _BINDING_SUCCESS)
    return None if attributes is None else Reply(datagram[8:20], *_signature(datagram, attributes))


def _message(datagram: bytes, wanted: int) -> dict[int, tuple[int, bytes]] | None:
    """The attributes of a signed message of the wanted type."""
    size = len(datagram)
    if not 20 <= size <= MAX_BYTES or size & 3:
        return None
    kind, length, cookie = struct.unpack_from("!HHI", datagram)
    if kind != wanted or cookie != COOKIE or length + 20 != size:
        return None
    attributes = _attributes(datagram)
    is_signed = attributes is not None and len(attributes.get(_MESSAGE_INTEGRITY, (0, b""))[1]) == 20
    return attributes if is_signed else None


def _signature(datagram: bytes, attributes: dict[int, tuple[int, bytes]]) -> tuple[bytes, bytes]:
    at, mac = attributes[_MESSAGE_INTEGRITY]
    return mac, datagram[:2] + struct.pack("!H", at + 4) + datagram[4:at]


def _attributes(datagram: bytes) -> dict[int, tuple[int, bytes]] | None:
    """Position and value by name, up to a right FINGERPRINT at the end; None without one.

    What follows MESSAGE-INTEGRITY is not covered by it, and does not count (RFC 8489 section 14.5).
    """
    found: dict[int, tuple[int, bytes]] = {}
    at, size = 20, len(datagram)
    for _ in range(MAX_ATTRIBUTES):
        if at + 4 > size:
            return None
        name, width = struct.unpack_from("!HH", datagram, at)
        value = datagram[at + 4 : at + 4 + width]
        if len(value) != width or (name < _OPTIONAL and name not in _KNOWN_REQUIRED):
            return None
        if name == _FINGERPRINT:
            is_right = at + 8 == size and value == _crc(datagram[:at]).to_bytes(4, "big")
            return found if is_right else None
        if _MESSAGE_INTEGRITY not in found:
            found[name] = (at, value)
        at += 4 + (width + 3 & ~3)
    return None


def _crc(message: bytes) -> int:
    return binascii.crc32(message) ^ _FINGERPRINT_XOR


def _split(user: bytes) -> tuple[str, str] | None:
    if len(user) > _MAX_USERNAME or not user.isascii():
        return None
    local, colon, remote = user.decode("ascii").partition(":")
    return (local, remote) if local and colon and remote else None


def is_authentic(check: Check | Reply, password: bytes) -> bool:
    """True if whoever sent it knows `password`."""
    return hmac.compare_digest(hmac.digest(password, check.signed, "sha1"), check.mac)


def success(check: Check, address: Address, password: bytes) -> bytes:
    """The response to a check that came from `address`: at most 80 bytes, so it amplifies nothing."""
    return _signed(_BINDING_SUCCESS, check.transaction, _mapped(address, check.transaction), password)


def request(transaction: bytes, user: str, tie_breaker: bytes, password: bytes) -> bytes:
    """A check of ours, as the controlled side. `user` is the peer's name fragment, a colon, and ours."""
    name = user.encode("ascii")
    body = struct.pack("!HH", _USERNAME, len(name)) + name + bytes(-len(name) % 4)
    body += struct.pack("!HHI", _PRIORITY, 4, _HOST_PRIORITY) + struct.pack("!HH", _ICE_CONTROLLED, 8) + tie_breaker
    return _signed(_BINDING_REQUEST, transaction, body, password)


def _signed(kind: int, transaction: bytes, body: bytes, password: bytes) -> bytes:
    head = struct.pack("!HHI", kind, len(body) + 24, COOKIE) + transaction
    body += struct.pack("!HH", _MESSAGE_INTEGRITY, 20) + hmac.digest(password, head + body, "sha1")
    head = struct.pack("!HHI", kind, len(body) + 8, COOKIE) + transaction
    return head + body + struct.pack("!HHI", _FINGERPRINT, 4, _crc(head + body))


def _mapped(address: Address, transaction: bytes) -> bytes:
    packed = _packed(address[0])
    if len(packed) == 4:  # the mask is the cookie alone
        return _mapped_v4(packed, address[1])
    mask = (struct.pack("!I", COOKIE) + transaction)[: len(packed)]
    masked = (int.from_bytes(packed, "big") ^ int.from_bytes(mask, "big")).to_bytes(len(packed), "big")
    return struct.pack("!HHBBH", _XOR_MAPPED_ADDRESS, 4 + len(masked), 0, 2, address[1] ^ COOKIE >> 16) + masked


@functools.lru_cache(_MAX_HOSTS)
def _mapped_v4(packed: bytes, port: int) -> bytes:
    masked = int.from_bytes(packed, "big") ^ COOKIE
    return struct.pack("!HHBBHI", _XOR_MAPPED_ADDRESS, 8, 0, 1, port ^ COOKIE >> 16, masked)


@functools.lru_cache(_MAX_HOSTS)
def _packed(host: str) -> bytes:
    """An address in 4 or 16 bytes, mapped ones in 4; reading it is half of an answer's time."""
    found = ipaddress.ip_address(host.partition("%")[0])
    if isinstance(found, ipaddress.IPv6Address) and found.ipv4_mapped:
        found = found.ipv4_mapped
    return found.packed
