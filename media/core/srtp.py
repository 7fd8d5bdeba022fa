"""SRTP and SRTCP with AES-GCM (RFC 3711 key derivation and indices, RFC 7714 for the cipher).

Owns: the keys of one peer, and the replay windows of what it sends.
Invariant: a packet is accepted once, and its window moves only after it proved authentic. A sender is given
each index of an SSRC once, or again with exactly the same bits: GCM breaks when a nonce meets two texts.
"""

from collections.abc import Callable
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

TAG_BYTES: Final = 16
SALT_BYTES: Final = 12
WINDOW: Final = 1024
MAX_SOURCES: Final = 32
"""SSRCs accepted from one peer, ever: of one that was forgotten everything could be replayed.

Sound, eight layers and their retransmissions are 17; an encoder that begins anew takes another one.
"""

_SEEN: Final = (1 << WINDOW) - 1
_RTP_KEY, _RTP_SALT, _RTCP_KEY, _RTCP_SALT = 0, 2, 3, 5
_ENCRYPTED: Final = 0x80000000


def derive(key: bytes, salt: bytes, *labels: int) -> list[bytes]:
    """Sixteen bytes a label from a master key and salt (RFC 3711 section 4.3; the salt is padded, RFC 7714 11).

    The key stream's first block is the cipher of its counter, so one call encrypts the counters of all labels.
    """
    padded = salt.ljust(14, b"\0") + b"\0\0"
    counters = b"".join(padded[:7] + bytes((padded[7] ^ label,)) + padded[8:] for label in labels)
    blocks = Cipher(algorithms.AES(key), modes.ECB()).encryptor().update(counters)  # noqa: S305 - a counter mode by hand
    return [blocks[at : at + 16] for at in range(0, len(blocks), 16)]


class Keys:
    """The session keys of one direction; the ciphers when they are first needed: many are not."""

    __slots__ = ("_rtcp", "_rtp", "rtcp_key", "rtcp_salt", "rtp_key", "rtp_salt")

    def __init__(self, key: bytes, salt: bytes) -> None:
        assert len(key) == 16
        self._rtp: AESGCM | None = None
        self._rtcp: AESGCM | None = None
        labels = (_RTP_KEY, _RTP_SALT, _RTCP_KEY, _RTCP_SALT)
        self.rtp_key, rtp_salt, self.rtcp_key, rtcp_salt = derive(key, salt, *labels)
        self.rtp_salt = int.from_bytes(rtp_salt[:SALT_BYTES], "big")
        self.rtcp_salt = int.from_bytes(rtcp_salt[:SALT_BYTES], "big")

    @property
    def rtp(self) -> AESGCM:
        """A viewer sends no RTP, and to one who is sent to in C nothing is encrypted here."""
        self._rtp = self._rtp or AESGCM(self.rtp_key)
        return self._rtp

    @property
    def rtcp(self) -> AESGCM:
        self._rtcp = self._rtcp or AESGCM(self.rtcp_key)
        return self._rtcp


class Window:
    """Which of the last 1,024 indices have been seen."""

    __slots__ = ("_bits", "highest")

    def __init__(self) -> None:
        self.highest = -1
        self._bits = 0

    def is_new(self, index: int) -> bool:
        """False for an index seen before, or too old to know."""
        if index > self.highest:
            return True
        age = self.highest - index
        return age < WINDOW and not self._bits >> age & 1

    def mark(self, index: int) -> None:
        if index > self.highest:
            step = index - self.highest
            # A jump beyond the window clears it; shifting by billions would build a giant number.
            self._bits = (self._bits << step | 1) & _SEEN if step < WINDOW else 1
            self.highest = index
        else:
            self._bits |= 1 << self.highest - index


class GcmSender:
    """Encrypts towards one peer.

    `twin` belongs to media.native: its cipher context with `rtp_key` and `rtp_salt`, which lives as long as the keys.
    """

    __slots__ = ("_keys", "_rtcp_index", "rtp_key", "rtp_salt", "salt", "twin")
    tag_bytes = TAG_BYTES

    def __init__(self, key: bytes, salt: bytes) -> None:
        self._keys = Keys(key, salt)
        self._rtcp_index = 0
        self.salt = self._keys.rtp_salt  # looked up per run
        self.rtp_key, self.rtp_salt = self._keys.rtp_key, self._keys.rtp_salt.to_bytes(SALT_BYTES, "big")
        self.twin: object | None = None

    @property
    def encrypt(self) -> Callable[[bytes, bytes, bytes], bytes]:
        """(nonce, payload, header) -> ciphertext and tag; the nonce is `salt` xor the packet's position."""
        return self._keys.rtp.encrypt

    def seal(self, position: int, header: bytes, payload: bytes) -> bytes:
        """The SRTP packet.

        `position` is SSRC << 48 | cycles << 16 | sequence: what makes the nonce (RFC 7714 section 8.1).
        """
        return header + self.encrypt((position ^ self.salt).to_bytes(12, "big"), payload, header)

    def protect_rtcp(self, packet: bytes) -> bytes:
        """A compound RTCP packet as SRTCP (RFC 7714 section 9)."""
        self._rtcp_index = index = self._rtcp_index + 1 & 0x7FFFFFFF
        trailer = (_ENCRYPTED | index).to_bytes(4, "big")
        nonce = ((int.from_bytes(packet[4:8], "big") << 48 | index) ^ self._keys.rtcp_salt).to_bytes(12, "big")
        return packet[:8] + self._keys.rtcp.encrypt(nonce, packet[8:], packet[:8] + trailer) + trailer


class GcmReceiver:
    """Decrypts what one peer sends."""

    __slots__ = ("_keys", "_rtcp", "_rtp", "surplus")

    def __init__(self, key: bytes, salt: bytes) -> None:
        self.surplus = 0
        """Authentic packets that were refused because their source was one too many."""
        self._keys = Keys(key, salt)
        self._rtp: dict[int, Window] = {}
        self._rtcp: dict[int, Window] = {}

    @property
    def rtp_key(self) -> bytes:
        """For media.native."""
        return self._keys.rtp_key

    @property
    def rtp_salt(self) -> bytes:
        return self._keys.rtp_salt.to_bytes(SALT_BYTES, "big")

    def unprotect(self, packet: bytes, header_size: int) -> bytes | None:
        """The payload of an SRTP packet; None if it is forged, replayed or from one source too many."""
        ssrc, sequence = int.from_bytes(packet[8:12], "big"), int.from_bytes(packet[2:4], "big")
        window = self._rtp.get(ssrc) or Window()
        index = _guess(sequence, window.highest)
        if index < 0 or not window.is_new(index) or len(packet) < header_size + TAG_BYTES:
            return None
        nonce = ((ssrc << 48 | index) ^ self._keys.rtp_salt).to_bytes(12, "big")
        try:
            payload = self._keys.rtp.decrypt(nonce, packet[header_size:], packet[:header_size])
        except InvalidTag:
            return None
        return payload if self._mark(self._rtp, ssrc, window, index) else None

    def unprotect_rtcp(self, packet: bytes) -> bytes | None:
        """The compound RTCP packet in an SRTCP one; None as above."""
        if len(packet) < 8 + TAG_BYTES + 4:
            return None
        trailer = packet[-4:]
        word = int.from_bytes(trailer, "big")
        ssrc, index = int.from_bytes(packet[4:8], "big"), word & 0x7FFFFFFF
        window = self._rtcp.get(ssrc) or Window()
        if not word & _ENCRYPTED or not window.is_new(index):
            return None
        nonce = ((ssrc << 48 | index) ^ self._keys.rtcp_salt).to_bytes(12, "big")
        try:
            plain = self._keys.rtcp.decrypt(nonce, packet[8:-4], packet[:8] + trailer)
        except InvalidTag:
            return None
        return packet[:8] + plain if self._mark(self._rtcp, ssrc, window, index) else None

    def _mark(self, windows: dict[int, Window], ssrc: int, window: Window, index: int) -> bool:
        if ssrc not in windows:
            if len(windows) >= MAX_SOURCES:
                self.surplus += 1
                return False
            windows[ssrc] = window
        window.mark(index)
        return True


def _guess(sequence: int, highest: int) -> int:
    """The index nearest to the highest one (RFC 3711 section 3.3.1); a new source starts in cycle 0."""
    if highest < 0:
        return sequence
    step = (sequence - highest) & 0xFFFF
    return highest + (step if step < 0x8000 else step - 0x10000)
