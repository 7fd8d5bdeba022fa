"""DTLS-SRTP: OpenSSL's handshake as the server, our own as the client; our certificate, our keys.

Owns: the process's one certificate and its one SSL context.
Invariant: a datagram that OpenSSL refuses ends the try, never the process; the keys are handed out only once the
certificate is the one whose fingerprint was offered. aiortc's names with an underscore that we lean on are pinned by
`tests/media/test_dtls.py` and by the exact version in pyproject.toml.
"""

import asyncio
import contextlib
import hashlib
from functools import cached_property
from typing import Protocol

import pylibsrtp
from aiortc import rtcdtlstransport as aiortc_dtls
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from OpenSSL import SSL, crypto

from media.core.sdp import Fingerprint
from media.core.srtp import MAX_SOURCES, GcmReceiver, GcmSender
from media.dtls_client import DtlsClient, HandshakeError

# The server's order decides (RFC 5764 section 4.1.2). AES-GCM first: 2.1 us a packet against 7 for CM and SHA-1.
PROFILES = [aiortc_dtls.SRTP_AEAD_AES_128_GCM, aiortc_dtls.SRTP_AES128_CM_SHA1_80]
_PROFILE_NUMBERS = {aiortc_dtls.SRTP_AEAD_AES_128_GCM: 7, aiortc_dtls.SRTP_AES128_CM_SHA1_80: 1}
"""RFC 7714 section 14.2 and RFC 5764 section 4.1.2."""

_DIGESTS = {"sha-256": hashlib.sha256, "sha-384": hashlib.sha384, "sha-512": hashlib.sha512}
_DATAGRAM = 1500
FIRST_TIMEOUT_S, LONGEST_TIMEOUT_S = 0.25, 2.0
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


class Transport(Protocol):
    """What carries the handshake; ConnectionError from either means the peer has gone."""

    role: str

    async def _recv(self) -> bytes: ...

    async def _send(self, data: bytes) -> None: ...


class Association(Protocol):
    """One DTLS association, and the SRTP keys it yields."""

    sender: Sender | None
    receiver: Receiver | None

    async def shake_hands(self) -> bool:
        """True once the keys are there; False if this try failed. The deadline is the caller's."""
        ...

    async def until_closed(self) -> None:
        """Return when the other side has said farewell."""
        ...

    async def farewell(self) -> None:
        """Say close_notify, so that the other side need not wait for its own timeout."""
        ...


def associate(transport: Transport, certificate: Certificate, peer: Fingerprint, *, is_client: bool) -> Association:
    """An association in the role that the answer named."""
    return (Caller if is_client else Callee)(transport, certificate, peer)


class Caller:
    """We are the client: our own, because it must take certificates that OpenSSL does not."""

    def __init__(self, transport: Transport, certificate: Certificate, peer: Fingerprint) -> None:
        self.sender: Sender | None = None
        self.receiver: Receiver | None = None
        self._transport = transport
        self._client = DtlsClient(
            certificate.der, certificate.key, (peer.algorithm, peer.value), list(_PROFILE_NUMBERS.values())
        )

    async def shake_hands(self) -> bool:
        try:
            await self._exchange()
        except (HandshakeError, ConnectionError):
            return False
        profile = next(p for p, number in _PROFILE_NUMBERS.items() if number == self._client.profile)
        material = self._client.export(2 * (profile.key_length + profile.salt_length))
        self.sender, self.receiver = _keys(profile, material, is_client=True)
        return True

    async def _exchange(self) -> None:
        await self._send(self._client.start())
        patience = FIRST_TIMEOUT_S
        while not self._client.is_up:
            try:
                async with asyncio.timeout(patience):
                    datagram = await self._transport._recv()  # noqa: SLF001 - aiortc's name for it
            except TimeoutError:
                patience = min(2 * patience, LONGEST_TIMEOUT_S)
                await self._send(self._client.retransmit())
            else:
                await self._send(self._client.receive(datagram))

    async def _send(self, datagrams: list[bytes]) -> None:
        for datagram in datagrams:
            await self._transport._send(datagram)  # noqa: SLF001 - likewise

    async def until_closed(self) -> None:
        with contextlib.suppress(ConnectionError, HandshakeError):
            while not self._client.is_closed:
                self._client.receive(await self._transport._recv())  # noqa: SLF001 - likewise

    async def farewell(self) -> None:
        with contextlib.suppress(ConnectionError):
            await self._send(self._client.farewell())


class Callee:
    """We are the server: OpenSSL over two buffers, without a task of its own.

    aiortc's transport does the same with an event emitter, a state machine and a task; without them a join costs a
    quarter of a millisecond less.
    """

    is_client = False

    def __init__(self, transport: Transport, certificate: Certificate, peer: Fingerprint) -> None:
        self.sender: Sender | None = None
        self.receiver: Receiver | None = None
        self._transport = transport
        self._fingerprint = peer
        self._ssl = SSL.Connection(certificate._create_ssl_context(PROFILES))  # noqa: SLF001 - aiortc's name for it
        if self.is_client:
            self._ssl.set_connect_state()
        else:
            self._ssl.set_accept_state()

    async def shake_hands(self) -> bool:
        try:
            if self.is_client:
                self._is_done()
                await self._flush()
            while not await self._goes_on():
                pass
        except (SSL.Error, ConnectionError):
            return False
        return self._is_who_was_offered() and self._take_keys()

    async def _goes_on(self) -> bool:
        """A flight of theirs, or a repetition of ours; True at the end."""
        await self._feed(self._ssl.DTLSv1_get_timeout())
        is_done = self._is_done()
        await self._flush()
        return is_done

    def _is_done(self) -> bool:
        try:
            self._ssl.do_handshake()
        except SSL.WantReadError:
            return False
        return True

    async def _feed(self, patience_s: float | None) -> None:
        if patience_s is None:  # we have said nothing that could be repeated
            self._ssl.bio_write(await self._transport._recv())  # noqa: SLF001 - aiortc's name for it
            return
        try:
            async with asyncio.timeout(patience_s):
                datagram = await self._transport._recv()  # noqa: SLF001 - likewise
        except TimeoutError:
            self._ssl.DTLSv1_handle_timeout()  # sends its last flight again
        else:
            self._ssl.bio_write(datagram)

    async def _flush(self) -> None:
        while True:
            try:
                datagram = self._ssl.bio_read(_DATAGRAM)
            except SSL.Error:  # nothing more to say
                return
            await self._transport._send(datagram)  # noqa: SLF001 - likewise

    def _is_who_was_offered(self) -> bool:
        certificate = self._ssl.get_peer_certificate()
        digest = _DIGESTS.get(self._fingerprint.algorithm.lower())
        if certificate is None or digest is None:
            return False
        der = crypto.dump_certificate(crypto.FILETYPE_ASN1, certificate)  # parsing it would tell nothing that counts
        return digest(der).hexdigest() == self._fingerprint.value.replace(":", "").lower()

    def _take_keys(self) -> bool:
        name = self._ssl.get_selected_srtp_profile()
        profile = next((p for p in PROFILES if p.openssl_profile == name), None)
        if profile is None:
            return False
        size = 2 * (profile.key_length + profile.salt_length)
        material = self._ssl.export_keying_material(b"EXTRACTOR-dtls_srtp", size)
        self.sender, self.receiver = _keys(profile, material, is_client=self.is_client)
        return True

    async def until_closed(self) -> None:
        """Also answers a last flight that comes again because ours was lost (RFC 6347 section 4.2.4)."""
        while True:
            try:
                await self._feed(None)
                self._ssl.recv(_DATAGRAM)
            except (ConnectionError, SSL.ZeroReturnError):
                return
            except SSL.Error:
                pass  # no datagram of the association, or no data in it
            await self._answer()

    async def _answer(self) -> None:
        with contextlib.suppress(ConnectionError):
            await self._flush()

    async def farewell(self) -> None:
        with contextlib.suppress(SSL.Error, ConnectionError):
            self._ssl.shutdown()
        await self._answer()


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
