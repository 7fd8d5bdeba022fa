"""DTLS-SRTP: aiortc's handshake, our certificate, our keys.

Owns: the process's one certificate and its one SSL context.
Invariant: nothing of aiortc's sees an RTP packet. Its names with an underscore that we lean on are pinned by
`tests/media/test_dtls.py` and by the exact version in pyproject.toml.
"""

from typing import Protocol

import pylibsrtp
from aiortc import rtcdtlstransport as aiortc_dtls
from OpenSSL import SSL

from media.core.srtp import GcmReceiver, GcmSender

# The server's order decides (RFC 5764 section 4.1.2). AES-GCM first: 2.1 us a packet against 7 for CM and SHA-1.
PROFILES = [aiortc_dtls.SRTP_AEAD_AES_128_GCM, aiortc_dtls.SRTP_AES128_CM_SHA1_80]


class Sender(Protocol):
    """Encrypts towards one peer."""

    tag_bytes: int

    def seal_into(self, ssrc: int, index: int, header: bytes, payload: bytes, out: memoryview) -> None: ...

    def protect_rtcp(self, packet: bytes) -> bytes: ...


class Receiver(Protocol):
    """Decrypts what one peer sends; None for whatever is not authentic or not new."""

    def unprotect(self, packet: bytes, header_size: int) -> bytes | None: ...

    def unprotect_rtcp(self, packet: bytes) -> bytes | None: ...


class CmSender:
    """AES-CM with HMAC-SHA1-80, for peers without AES-GCM (FFmpeg's WHIP muxer), by libsrtp."""

    tag_bytes = 10

    def __init__(self, key: bytes, salt: bytes) -> None:
        self._session = pylibsrtp.Session(_policy(key + salt, pylibsrtp.Policy.SSRC_ANY_OUTBOUND))

    def seal_into(self, ssrc: int, index: int, header: bytes, payload: bytes, out: memoryview) -> None:  # noqa: ARG002
        out[:] = self._session.protect(header + payload)

    def protect_rtcp(self, packet: bytes) -> bytes:
        sealed: bytes = self._session.protect_rtcp(packet)
        return sealed


class CmReceiver:
    """The other direction."""

    def __init__(self, key: bytes, salt: bytes) -> None:
        self._session = pylibsrtp.Session(_policy(key + salt, pylibsrtp.Policy.SSRC_ANY_INBOUND))

    def unprotect(self, packet: bytes, header_size: int) -> bytes | None:
        try:
            plain: bytes = self._session.unprotect(packet)
        except (pylibsrtp.Error, ValueError):
            return None
        return plain[header_size:]

    def unprotect_rtcp(self, packet: bytes) -> bytes | None:
        try:
            plain: bytes = self._session.unprotect_rtcp(packet)
        except (pylibsrtp.Error, ValueError):
            return None
        return plain


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
    def sha256(self) -> str:
        """The fingerprint, as SDP writes it."""
        return next(print_.value for print_ in self.getFingerprints() if print_.algorithm == "sha-256")


class Handshake(aiortc_dtls.RTCDtlsTransport):
    """One DTLS association over our transport, yielding SRTP keys.

    `start` returns in silence whatever happens: look at `is_up`.
    """

    def __init__(self, transport: object, certificate: Certificate, *, is_client: bool) -> None:
        super().__init__(transport, [certificate])  # type: ignore[arg-type]  # duck-typed: see Peer
        self._srtp_profiles = PROFILES
        # "auto" would follow the ICE role and contradict the a=setup of our answer.
        self._set_role("client" if is_client else "server")
        self.sender: Sender | None = None
        self.receiver: Receiver | None = None

    @property
    def is_up(self) -> bool:
        return self.state == "connected"

    def _setup_srtp(self) -> None:
        assert self._ssl is not None, "keys come after the handshake"
        name = self._ssl.get_selected_srtp_profile()
        profile = next((p for p in PROFILES if p.openssl_profile == name), None)
        if profile is None:
            self._set_state(aiortc_dtls.State.FAILED)
            return
        size = 2 * (profile.key_length + profile.salt_length)
        material = self._ssl.export_keying_material(b"EXTRACTOR-dtls_srtp", size)
        theirs, ours = (1, 0) if self._role == "client" else (0, 1)
        is_gcm = profile is aiortc_dtls.SRTP_AEAD_AES_128_GCM
        self.sender = (GcmSender if is_gcm else CmSender)(*_split(profile, material, ours))
        self.receiver = (GcmReceiver if is_gcm else CmReceiver)(*_split(profile, material, theirs))


def _split(profile: aiortc_dtls.SRTPProtectionProfile, material: bytes, side: int) -> tuple[bytes, bytes]:
    both = profile.get_key_and_salt(material, side)
    return both[: profile.key_length], both[profile.key_length :]
