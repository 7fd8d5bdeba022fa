"""DTLS-SRTP: OpenSSL's handshake as the server, our own as the client; our certificate, our keys. It does no I/O.

Owns: the process's one certificate and its one SSL context.
Invariant: a datagram that OpenSSL refuses ends the try, never the process; the keys are handed out only once the
certificate is the one whose fingerprint was offered. aiortc's names with an underscore that we lean on are pinned by
`tests/media/test_dtls.py` and by the exact version in pyproject.toml.
"""

import contextlib
from functools import cached_property
from typing import Protocol

import pylibsrtp
from aiortc import rtcdtlstransport as aiortc_dtls
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from OpenSSL import SSL

from media.core.sdp import Fingerprint
from media.core.srtp import MAX_SOURCES, GcmReceiver, GcmSender
from media.dtls_client import DtlsClient, HandshakeError

# The server's order decides (RFC 5764 section 4.1.2). AES-GCM first: 2.1 us a packet against 7 for CM and SHA-1.
PROFILES = [aiortc_dtls.SRTP_AEAD_AES_128_GCM, aiortc_dtls.SRTP_AES128_CM_SHA1_80]
_PROFILE_NUMBERS = {aiortc_dtls.SRTP_AEAD_AES_128_GCM: 7, aiortc_dtls.SRTP_AES128_CM_SHA1_80: 1}
"""RFC 7714 section 14.2 and RFC 5764 section 4.1.2."""

_DIGESTS = {"sha-256": "sha256", "sha-384": "sha384", "sha-512": "sha512"}
_DATAGRAM = 1500
FIRST_TIMEOUT_MS, LONGEST_TIMEOUT_MS = 250, 2000
"""RFC 6347 starts at 1 s and goes to 60; the round trips of live video are shorter, and so is our deadline."""


class Sender(Protocol):
    """Encrypts towards one peer."""

    tag_bytes: int
    salt: int

    def encrypt(self, nonce: bytes, data: bytes, associated_data: bytes, /) -> bytes:
        """What follows the header `associated_data` of an SRTP packet; the nonce is `salt` xor its position.

        A position is SSRC << 48 | cycles << 16 | sequence.
        """
        ...

    def seal(self, position: int, header: bytes, payload: bytes) -> bytes: ...

    def protect_rtcp(self, packet: bytes) -> bytes: ...


class Receiver(Protocol):
    """Decrypts what one peer sends; None for whatever is not authentic or not new, or of one source too many."""

    @property
    def surplus(self) -> int:
        """Authentic packets of sources beyond `MAX_SOURCES`."""
        ...

    def unprotect(self, packet: bytes, header_size: int) -> bytes | None: ...

    def unprotect_rtcp(self, packet: bytes) -> bytes | None: ...


class CmSender:
    """AES-CM with HMAC-SHA1-80, for peers without AES-GCM (FFmpeg's WHIP muxer), by libsrtp."""

    tag_bytes = 10
    salt = 0

    def __init__(self, key: bytes, salt: bytes) -> None:
        self._session = pylibsrtp.Session(_policy(key + salt, pylibsrtp.Policy.SSRC_ANY_OUTBOUND))

    def encrypt(self, nonce: bytes, data: bytes, associated_data: bytes, /) -> bytes:  # noqa: ARG002
        # libsrtp finds the position by itself, from the header
        sealed: bytes = self._session.protect(associated_data + data)
        return sealed[len(associated_data) :]

    def seal(self, position: int, header: bytes, payload: bytes) -> bytes:  # noqa: ARG002 - likewise
        return header + self.encrypt(b"", payload, header)

    def protect_rtcp(self, packet: bytes) -> bytes:
        sealed: bytes = self._session.protect_rtcp(packet)
        return sealed


class CmReceiver:
    """The other direction."""

    def __init__(self, key: bytes, salt: bytes) -> None:
        self._session = pylibsrtp.Session(_policy(key + salt, pylibsrtp.Policy.SSRC_ANY_INBOUND))
        self.surplus = 0
        self._sources: set[bytes] = set()

    def unprotect(self, packet: bytes, header_size: int) -> bytes | None:
        try:
            plain: bytes = self._session.unprotect(packet)
        except (pylibsrtp.Error, ValueError):
            return None
        return plain[header_size:] if self._knows(packet[8:12]) else None

    def unprotect_rtcp(self, packet: bytes) -> bytes | None:
        try:
            plain: bytes = self._session.unprotect_rtcp(packet)
        except (pylibsrtp.Error, ValueError):
            return None
        return plain

    def _knows(self, source: bytes) -> bool:
        if source in self._sources:
            return True
        if len(self._sources) >= MAX_SOURCES:
            self.surplus += 1
            return False
        self._sources.add(source)
        return True


def _policy(key: bytes, direction: int) -> pylibsrtp.Policy:
    policy = pylibsrtp.Policy(key=key, ssrc_type=direction)
    policy.window_size = 1024
    policy.allow_repeat_tx = True  # a NACK is answered with the same bits
    return policy


class Certificate(aiortc_dtls.RTCCertificate):
    """One self-signed P-256 certificate, and one SSL context for all peers (a context each costs 0.4 ms a join)."""

    _context: SSL.Context | None = None

    def _create_ssl_context(self, srtp_profiles: list[aiortc_dtls.SRTPProtectionProfile]) -> SSL.Context:
        if self._context is None:
            self._context = super()._create_ssl_context(srtp_profiles)
            self._context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
        return self._context

    @property
    def der(self) -> bytes:
        return self._cert.public_bytes(serialization.Encoding.DER)

    @property
    def key(self) -> ec.EllipticCurvePrivateKey:
        return self._key

    @cached_property
    def sha256(self) -> str:
        """The fingerprint, as SDP writes it."""
        return next(print_.value for print_ in self.getFingerprints() if print_.algorithm == "sha-256")


class Association(Protocol):
    """One DTLS association, and the SRTP keys it yields: datagrams in, datagrams out; it sends nothing by itself."""

    sender: Sender | None
    """Once the keys are there; likewise the receiver."""
    receiver: Receiver | None
    is_closed: bool
    """The other side has said farewell."""

    def begin(self) -> list[bytes]:
        """What is said first: by a client something, by a server nothing."""
        ...

    def take(self, datagram: bytes) -> list[bytes]:
        """What to say to a datagram. Raises HandshakeError if this try failed."""
        ...

    def remind(self, now_ms: int) -> list[bytes]:
        """The last flight once more if it has waited long enough for an answer; to be asked now and then meanwhile.

        Raises HandshakeError if there were too many.
        """
        ...

    def farewell(self) -> list[bytes]:
        """A close_notify, so that the other side need not wait for its own timeout."""
        ...


def associate(certificate: Certificate, peer: Fingerprint, *, is_client: bool) -> Association:
    """An association in the role that the answer named."""
    return (Caller if is_client else Callee)(certificate, peer)


class Caller:
    """We are the client: our own, because it must take certificates that OpenSSL does not."""

    def __init__(self, certificate: Certificate, peer: Fingerprint) -> None:
        self.sender: Sender | None = None
        self.receiver: Receiver | None = None
        self.is_closed = False
        self._patience_ms = FIRST_TIMEOUT_MS
        self._since_ms: int | None = None
        """When we were first seen to wait for an answer."""
        self._client = DtlsClient(
            certificate.der, certificate.key, (peer.algorithm, peer.value), list(_PROFILE_NUMBERS.values())
        )

    def begin(self) -> list[bytes]:
        return self._client.start()

    def take(self, datagram: bytes) -> list[bytes]:
        said = self._client.receive(datagram)
        self._since_ms, self.is_closed = None, self._client.is_closed
        if self._client.is_up and self.sender is None:
            self._take_keys()
        return said

    def _take_keys(self) -> None:
        profile = next(p for p, number in _PROFILE_NUMBERS.items() if number == self._client.profile)
        material = self._client.export(2 * (profile.key_length + profile.salt_length))
        self.sender, self.receiver = _keys(profile, material, is_client=True)

    def remind(self, now_ms: int) -> list[bytes]:
        if self._since_ms is None:
            self._since_ms = now_ms
        if now_ms - self._since_ms < self._patience_ms:
            return []
        self._since_ms, self._patience_ms = now_ms, min(2 * self._patience_ms, LONGEST_TIMEOUT_MS)
        return self._client.retransmit()

    def farewell(self) -> list[bytes]:
        return self._client.farewell()


class Callee:
    """We are the server: OpenSSL between two buffers, without a task of its own.

    What comes is handled as it comes, within the look of the port, so that no flight waits for a task's turn.
    """

    is_client = False

    def __init__(self, certificate: Certificate, peer: Fingerprint) -> None:
        self.sender: Sender | None = None
        self.receiver: Receiver | None = None
        self.is_closed = False
        self._fingerprint = peer
        self._ssl = SSL.Connection(certificate._create_ssl_context(PROFILES))  # noqa: SLF001 - aiortc's name for it
        if self.is_client:
            self._ssl.set_connect_state()
        else:
            self._ssl.set_accept_state()

    def begin(self) -> list[bytes]:
        if self.is_client:
            self._is_done()
            return self._said()
        return []

    def take(self, datagram: bytes) -> list[bytes]:
        try:
            self._ssl.bio_write(datagram)
            if self.sender is not None:
                self._hear()
                return self._said()
            is_done, said = self._is_done(), self._said()
        except SSL.Error as error:
            raise HandshakeError("OpenSSL refused a datagram") from error
        if is_done and not (self._is_who_was_offered() and self._take_keys()):
            raise HandshakeError("the certificate is not the one that was offered, or no cipher fits")
        return said

    def _is_done(self) -> bool:
        try:
            self._ssl.do_handshake()
        except SSL.WantReadError:
            return False
        return True

    def _said(self) -> list[bytes]:
        said: list[bytes] = []
        while not said or len(said[-1]) == _DATAGRAM:
            try:
                said.append(self._ssl.bio_read(_DATAGRAM))
            except SSL.Error:  # nothing more to say
                break
        return said

    def _hear(self) -> None:
        """A farewell; or a last flight that comes again because ours was lost (RFC 6347 section 4.2.4)."""
        try:
            self._ssl.recv(_DATAGRAM)
        except SSL.ZeroReturnError:
            self.is_closed = True
        except SSL.Error:
            pass  # no datagram of the association, or no data in it

    def _is_who_was_offered(self) -> bool:
        certificate, digest = self._ssl.get_peer_certificate(), _DIGESTS.get(self._fingerprint.algorithm.lower())
        if certificate is None or digest is None:
            return False
        return certificate.digest(digest).decode() == self._fingerprint.value.upper()

    def _take_keys(self) -> bool:
        name = self._ssl.get_selected_srtp_profile()
        profile = next((p for p in PROFILES if p.openssl_profile == name), None)
        if profile is None:
            return False
        size = 2 * (profile.key_length + profile.salt_length)
        material = self._ssl.export_keying_material(b"EXTRACTOR-dtls_srtp", size)
        self.sender, self.receiver = _keys(profile, material, is_client=self.is_client)
        return True

    def remind(self, now_ms: int) -> list[bytes]:  # noqa: ARG002 - OpenSSL has a clock of its own
        try:
            return self._said() if self._ssl.DTLSv1_handle_timeout() else []
        except SSL.Error as error:
            raise HandshakeError("nobody answers") from error

    def farewell(self) -> list[bytes]:
        with contextlib.suppress(SSL.Error):
            self._ssl.shutdown()
        return self._said()


def _keys(profile: aiortc_dtls.SRTPProtectionProfile, material: bytes, *, is_client: bool) -> tuple[Sender, Receiver]:
    """The two ends of a session from the exported material, client's keys first (RFC 5764 section 4.2)."""
    client, server = (_split(profile, material, side) for side in (0, 1))
    ours, theirs = (client, server) if is_client else (server, client)
    if profile is aiortc_dtls.SRTP_AEAD_AES_128_GCM:
        return GcmSender(*ours), GcmReceiver(*theirs)
    return CmSender(*ours), CmReceiver(*theirs)


def _split(profile: aiortc_dtls.SRTPProtectionProfile, material: bytes, side: int) -> tuple[bytes, bytes]:
    both = profile.get_key_and_salt(material, side)
    return both[: profile.key_length], both[profile.key_length :]
