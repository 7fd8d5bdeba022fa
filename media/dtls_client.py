"""A DTLS 1.2 client for the peers that wait to be called (RFC 6347, RFC 5246, RFC 5764), on cryptography's primitives.

Why not OpenSSL, which serves everybody else: FFmpeg's WHIP muxer, built with GnuTLS as in PyAV's wheel, comes
with a certificate on P-224, and OpenSSL 4 refuses it ("wrong curve") with no setting to allow it. The curve is
fit for signing; so the one role that FFmpeg needs stands here, with two suites and no options.

Owns: one handshake as a client. Does no I/O and reads no clock: datagrams go in and come out.
Invariant: keys are given out only after the certificate matched the offer's fingerprint, its signature over the
key exchange held, and the server's Finished proved the same transcript. A datagram that makes no sense is
dropped; a message has at most `MAX_MESSAGE` bytes, those that wait together `MAX_AHEAD`, a handshake
`MAX_MESSAGES` messages.
"""

import hashlib
import hmac
import os
import struct
from collections.abc import Iterator
from enum import IntEnum
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

MAX_MESSAGE: Final = 16 * 1024
MAX_AHEAD: Final = 32 * 1024
"""Bytes of messages that are not complete; the one that is due comes in besides."""
MAX_MESSAGES: Final = 16
"""A handshake has seven, or eight with a cookie."""
_MTU: Final = 1200
_AHEAD: Final = 8
"""Messages kept ahead of the one that is due."""

_VERSION: Final = b"\xfe\xfd"
_HELLO_VERSIONS: Final = (b"\xfe\xff", b"\xfe\xfd")
_CCS, _ALERT, _HANDSHAKE, _DATA = 20, 21, 22, 23
_SUITES: Final = (b"\xc0\x2b", b"\xc0\x2f")
"""ECDHE with AES-128-GCM and SHA-256, by ECDSA or RSA (RFC 5289)."""
_X25519, _P256 = 0x001D, 0x0017
_EXTENDED_MASTER_SECRET, _USE_SRTP, _RENEGOTIATION = 0x0017, 0x000E, 0xFF01
_HASHES: Final = {4: hashes.SHA256(), 5: hashes.SHA384(), 6: hashes.SHA512()}
_CLOSE_NOTIFY: Final = b"\x01\x00"


class Message(IntEnum):
    """Handshake messages by number."""

    CLIENT_HELLO = 1
    SERVER_HELLO = 2
    HELLO_VERIFY_REQUEST = 3
    CERTIFICATE = 11
    SERVER_KEY_EXCHANGE = 12
    CERTIFICATE_REQUEST = 13
    SERVER_HELLO_DONE = 14
    CERTIFICATE_VERIFY = 15
    CLIENT_KEY_EXCHANGE = 16
    FINISHED = 20


class HandshakeError(Exception):
    """The handshake cannot go on."""


class _Reader:
    """Reads a message with bounds."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    def take(self, size: int) -> bytes:
        if self._at + size > len(self._data):
            raise HandshakeError("a message is too short")
        self._at += size
        return self._data[self._at - size : self._at]

    def number(self, size: int) -> int:
        return int.from_bytes(self.take(size), "big")

    def vector(self, size: int) -> bytes:
        """A vector that opens with its length in `size` bytes."""
        return self.take(self.number(size))

    @property
    def is_empty(self) -> bool:
        return self._at >= len(self._data)


def prf(secret: bytes, label: bytes, seed: bytes, size: int) -> bytes:
    """TLS 1.2's pseudorandom function with SHA-256 (RFC 5246 section 5)."""
    seed, out = label + seed, b""
    block = seed
    while len(out) < size:
        block = hmac.digest(secret, block, "sha256")
        out += hmac.digest(secret, block + seed, "sha256")
    return out[:size]


def _vector(data: bytes, size: int) -> bytes:
    return len(data).to_bytes(size, "big") + data


class _Partial:
    """A message of which not all has come: its bytes, and a mark for each byte that is here."""

    def __init__(self, kind: int, size: int) -> None:
        self.kind, self.body, self._has = kind, bytearray(size), bytearray(size)

    def put(self, offset: int, part: bytes) -> None:
        end = offset + len(part)
        self.body[offset:end] = part
        self._has[offset:end] = b"\1" * len(part)

    @property
    def is_whole(self) -> bool:
        return 0 not in self._has


class DtlsClient:
    """`start`, then `receive` what comes; whatever they return goes to the peer.

    `certificate` is DER; `key` its private key (P-256); `fingerprint` the (algorithm, hex with colons) of the peer's.
    """

    def __init__(
        self, certificate: bytes, key: ec.EllipticCurvePrivateKey, fingerprint: tuple[str, str], profiles: list[int]
    ) -> None:
        self.profile: int | None = None
        self.is_up = False
        self.is_closed = False
        self._certificate, self._key, self._fingerprint = certificate, key, fingerprint
        self._profiles = profiles
        self._client_random, self._server_random = os.urandom(32), b""
        self._cookie = b""
        self._transcript = b""
        self._send_message = self._next_message = 0
        self._sequence = [0, 0]  # of records, by epoch
        self._fragments: dict[int, _Partial] = {}
        self._flight: list[tuple[int, int, bytes]] = []  # (epoch, record type, content), to send again
        self._suite, self._extended = b"", False
        self._peer: x509.Certificate | None = None
        self._exchange: tuple[int, bytes] | None = None
        self._wants_certificate = False
        self._master = b""
        self._seal: tuple[AESGCM, bytes] | None = None
        self._open: tuple[AESGCM, bytes] | None = None

    # Out

    def start(self) -> list[bytes]:
        """The first flight."""
        self._transcript, self._flight = b"", []
        self._say(Message.CLIENT_HELLO, self._hello())
        return self.retransmit()

    def retransmit(self) -> list[bytes]:
        """The last flight once more, for a timer that ran out. Records get new numbers, so no nonce repeats."""
        return [self._record(*record) for record in self._flight]

    def farewell(self) -> list[bytes]:
        """A close_notify."""
        return [self._record(1, _ALERT, _CLOSE_NOTIFY)] if self.is_up else []

    def export(self, size: int) -> bytes:
        """Keying material for SRTP (RFC 5764 section 4.2)."""
        assert self.is_up, "keys come after the handshake"
        return prf(self._master, b"EXTRACTOR-dtls_srtp", self._client_random + self._server_random, size)

    def _hello(self) -> bytes:
        schemes = b"\x04\x03\x05\x03\x06\x03\x08\x04\x04\x01"
        extensions = {
            _RENEGOTIATION: b"\0",
            0x000A: _vector(struct.pack("!HH", _X25519, _P256), 2),
            0x000B: b"\1\0",
            0x000D: _vector(schemes, 2),
            _USE_SRTP: _vector(b"".join(struct.pack("!H", profile) for profile in self._profiles), 2) + b"\0",
            _EXTENDED_MASTER_SECRET: b"",
        }
        packed = b"".join(struct.pack("!H", number) + _vector(body, 2) for number, body in extensions.items())
        suites = _vector(b"".join(_SUITES), 2)
        return _VERSION + self._client_random + b"\0" + _vector(self._cookie, 1) + suites + b"\1\0" + _vector(packed, 2)

    def _say(self, message: Message, body: bytes, epoch: int = 0) -> None:
        """Put a message into the flight, in fragments that fit a datagram, and into the transcript."""
        head = bytes((message,)) + len(body).to_bytes(3, "big") + self._send_message.to_bytes(2, "big")
        self._send_message += 1
        self._transcript += head + bytes(3) + len(body).to_bytes(3, "big") + body
        for at in range(0, max(1, len(body)), _MTU):
            part = body[at : at + _MTU]
            self._flight.append((epoch, _HANDSHAKE, head + at.to_bytes(3, "big") + len(part).to_bytes(3, "big") + part))

    def _record(self, epoch: int, kind: int, content: bytes) -> bytes:
        number = struct.pack("!HHI", epoch, self._sequence[epoch] >> 32, self._sequence[epoch] & 0xFFFFFFFF)
        self._sequence[epoch] += 1
        if epoch:
            assert self._seal is not None, "epoch 1 begins with the keys"
            cipher, salt = self._seal
            aad = number + bytes((kind,)) + _VERSION + len(content).to_bytes(2, "big")
            content = number + cipher.encrypt(salt + number, content, aad)
        return bytes((kind,)) + _VERSION + number + _vector(content, 2)

    # In

    def receive(self, datagram: bytes) -> list[bytes]:
        """Take a datagram; what to send in answer. Raises HandshakeError if the peer is not who it should be."""
        out: list[bytes] = []
        for kind, epoch, content in self._records(datagram):
            if kind == _HANDSHAKE and not self.is_up:
                for message, body, whole in self._messages(content):
                    out += self._take(message, body, whole, epoch)
            elif kind == _ALERT and epoch == 1 and (content == _CLOSE_NOTIFY or content[:1] == b"\2"):
                self.is_closed = True
        return out

    def _records(self, datagram: bytes) -> Iterator[tuple[int, int, bytes]]:
        at = 0
        while at + 13 <= len(datagram):
            kind, version = datagram[at], datagram[at + 1 : at + 3]
            epoch, size = struct.unpack_from("!H6xH", datagram, at + 3)
            content = datagram[at + 13 : at + 13 + size]
            if len(content) != size or version not in _HELLO_VERSIONS:
                return
            if epoch == 1:
                plain = self._decrypt(datagram[at : at + 11], content)
                if plain is not None:
                    yield kind, epoch, plain
            elif epoch == 0:
                yield kind, epoch, content
            at += 13 + size

    def _decrypt(self, head: bytes, content: bytes) -> bytes | None:
        if self._open is None or len(content) < 24:
            return None
        cipher, salt = self._open
        aad = head[3:11] + head[:3] + (len(content) - 24).to_bytes(2, "big")
        try:
            return cipher.decrypt(salt + content[:8], content[8:], aad)
        except InvalidTag:
            return None

    def _messages(self, content: bytes) -> Iterator[tuple[int, bytes, bytes]]:
        """The messages that are due and complete: kind, body, and the whole as the transcript wants it."""
        at = 0
        while at + 12 <= len(content):
            size, number = (
                int.from_bytes(content[at + 1 : at + 4], "big"),
                int.from_bytes(content[at + 4 : at + 6], "big"),
            )
            offset, width = (int.from_bytes(content[at + n : at + n + 3], "big") for n in (6, 9))
            part = content[at + 12 : at + 12 + width]
            if len(part) != width or offset + width > size or size > MAX_MESSAGE:
                return
            if self._next_message <= number < self._next_message + _AHEAD:
                self._gather(content[at], number, size, offset, part)
            at += 12 + width
        while (found := self._complete()) is not None:
            yield found

    def _gather(self, kind: int, number: int, size: int, offset: int, part: bytes) -> None:
        held = self._fragments.get(number)
        if held is None:
            ahead = sum(len(other.body) for other in self._fragments.values())
            if number != self._next_message and ahead + size > MAX_AHEAD:
                return  # DTLS sends it again when its turn has come
            held = self._fragments[number] = _Partial(kind, size)
        if held.kind == kind and len(held.body) == size:
            held.put(offset, part)

    def _complete(self) -> tuple[int, bytes, bytes] | None:
        held = self._fragments.get(self._next_message)
        if held is None or not held.is_whole:
            return None
        if self._next_message >= MAX_MESSAGES:
            raise HandshakeError("a handshake of too many messages")
        del self._fragments[self._next_message]
        body = bytes(held.body)
        size = len(body).to_bytes(3, "big")
        whole = bytes((held.kind,)) + size + self._next_message.to_bytes(2, "big") + bytes(3) + size + body
        self._next_message += 1
        return held.kind, body, whole

    def _take(self, kind: int, body: bytes, whole: bytes, epoch: int) -> list[bytes]:
        if kind == Message.FINISHED:
            self._check_finished(body, epoch)
            return []
        if epoch or self._master:
            raise HandshakeError("a message out of place")
        if kind == Message.HELLO_VERIFY_REQUEST:
            reader = _Reader(body[2:])
            self._cookie = reader.vector(1)
            return self.start()
        self._transcript += whole
        reader = _Reader(body)
        if kind == Message.SERVER_HELLO:
            self._server_hello(reader)
        elif kind == Message.CERTIFICATE:
            self._check_certificate(reader)
        elif kind == Message.SERVER_KEY_EXCHANGE:
            self._check_exchange(reader)
        elif kind == Message.CERTIFICATE_REQUEST:
            self._wants_certificate = True
        elif kind == Message.SERVER_HELLO_DONE:
            return self._answer()
        else:
            raise HandshakeError(f"message {kind} is not of this handshake")
        return []

    def _server_hello(self, reader: _Reader) -> None:
        version, self._server_random = reader.take(2), reader.take(32)
        reader.vector(1)
        self._suite = reader.take(2)
        reader.take(1)
        if version != _VERSION or self._suite not in _SUITES:
            raise HandshakeError("no common version or suite")
        extensions = _Reader(b"" if reader.is_empty else reader.vector(2))
        while not extensions.is_empty:
            number, content = extensions.number(2), extensions.vector(2)
            if number == _EXTENDED_MASTER_SECRET:
                self._extended = True
            elif number == _USE_SRTP:
                self.profile = int.from_bytes(content[2:4], "big")
        if self.profile not in self._profiles:
            raise HandshakeError("no common SRTP profile")

    def _check_certificate(self, reader: _Reader) -> None:
        der = _Reader(reader.vector(3)).vector(3)
        algorithm, value = self._fingerprint
        if hashlib.new(algorithm.replace("-", ""), der).hexdigest().upper() != value.replace(":", "").upper():
            raise HandshakeError("the certificate is not the one that was offered")
        try:
            self._peer = x509.load_der_x509_certificate(der)
        except ValueError:
            raise HandshakeError("the certificate cannot be read") from None

    def _check_exchange(self, reader: _Reader) -> None:
        kind, group = reader.number(1), reader.number(2)
        point = reader.vector(1)
        signed = bytes((kind,)) + struct.pack("!H", group) + _vector(point, 1)
        scheme, signature = reader.number(2), reader.vector(2)
        if kind != 3 or group not in (_X25519, _P256):
            raise HandshakeError("no common group")
        self._check_signature(scheme, signature, self._client_random + self._server_random + signed)
        self._exchange = (group, point)

    def _check_signature(self, scheme: int, signature: bytes, signed: bytes) -> None:
        key = self._peer.public_key() if self._peer else None
        try:
            if isinstance(key, ec.EllipticCurvePublicKey) and scheme & 0xFF == 3 and scheme >> 8 in _HASHES:
                key.verify(signature, signed, ec.ECDSA(_HASHES[scheme >> 8]))
            elif isinstance(key, rsa.RSAPublicKey) and scheme == 0x0401:
                key.verify(signature, signed, padding.PKCS1v15(), hashes.SHA256())
            elif isinstance(key, rsa.RSAPublicKey) and scheme == 0x0804:
                pss = padding.PSS(padding.MGF1(hashes.SHA256()), hashes.SHA256.digest_size)
                key.verify(signature, signed, pss, hashes.SHA256())
            else:
                raise HandshakeError("the key exchange is not signed in a way we know")
        except InvalidSignature:
            raise HandshakeError("the key exchange is forged") from None

    def _answer(self) -> list[bytes]:
        """Our second flight: certificate if asked for, key, proof, and Finished under the new keys."""
        if self._exchange is None:
            raise HandshakeError("the server said no key")
        self._flight = []
        public, secret = self._agree(*self._exchange)
        if self._wants_certificate:
            self._say(Message.CERTIFICATE, _vector(_vector(self._certificate, 3), 3))
        self._say(Message.CLIENT_KEY_EXCHANGE, _vector(public, 1))
        self._derive(secret)
        if self._wants_certificate:
            signature = self._key.sign(self._transcript, ec.ECDSA(hashes.SHA256()))
            self._say(Message.CERTIFICATE_VERIFY, b"\x04\x03" + _vector(signature, 2))
        self._flight.append((0, _CCS, b"\1"))
        self._say(Message.FINISHED, self._proof(b"client finished"), epoch=1)
        return self.retransmit()

    def _agree(self, group: int, point: bytes) -> tuple[bytes, bytes]:
        """Our public point and the shared secret."""
        raw, uncompressed = serialization.Encoding.Raw, serialization.Encoding.X962
        try:
            if group == _X25519:
                ours = X25519PrivateKey.generate()
                public = ours.public_key().public_bytes(raw, serialization.PublicFormat.Raw)
                return public, ours.exchange(X25519PublicKey.from_public_bytes(point))
            mine = ec.generate_private_key(ec.SECP256R1())
            theirs = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), point)
            public = mine.public_key().public_bytes(uncompressed, serialization.PublicFormat.UncompressedPoint)
            return public, mine.exchange(ec.ECDH(), theirs)
        except ValueError:
            raise HandshakeError("the server's key is not a point of its group") from None

    def _derive(self, secret: bytes) -> None:
        randoms = self._client_random + self._server_random
        if self._extended:  # RFC 7627: the secret is bound to the whole handshake so far
            digest = hashlib.sha256(self._transcript).digest()
            self._master = prf(secret, b"extended master secret", digest, 48)
        else:
            self._master = prf(secret, b"master secret", randoms, 48)
        block = prf(self._master, b"key expansion", self._server_random + self._client_random, 40)
        self._seal = (AESGCM(block[:16]), block[32:36])
        self._open = (AESGCM(block[16:32]), block[36:40])

    def _proof(self, label: bytes) -> bytes:
        return prf(self._master, label, hashlib.sha256(self._transcript).digest(), 12)

    def _check_finished(self, body: bytes, epoch: int) -> None:
        if epoch != 1 or not hmac.compare_digest(body, self._proof(b"server finished")):
            raise HandshakeError("the server saw another handshake")
        self.is_up = True
