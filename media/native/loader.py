"""Finds the extension and a libcrypto for it, and proves both before they are used.

Owns: the one answer of the process. Invariant: the extension is handed out only after it has given the very bytes
that the reference gives.
"""

import ctypes
import ctypes.util
import functools
import importlib
import importlib.util
from collections.abc import Iterator
from types import ModuleType
from typing import Final

from msgspec import Struct

from media.core.srtp import GcmSender

_FUNCTIONS: Final = (
    "EVP_CIPHER_CTX_new",
    "EVP_CIPHER_CTX_free",
    "EVP_EncryptInit_ex",
    "EVP_EncryptUpdate",
    "EVP_EncryptFinal_ex",
    "EVP_CIPHER_CTX_ctrl",
    "EVP_aes_128_gcm",
    "EVP_aes_256_gcm",
)
"""In the order of `_fanout.use_crypto`; the same in OpenSSL 1.1, 3 and 4."""


class Found(Struct, frozen=True, kw_only=True):
    """What there is."""

    fanout: ModuleType | None = None
    reason: str
    """Why not, or with which libcrypto; the end of a sentence."""


@functools.cache
def load() -> Found:
    """The extension, ready; or why there is none."""
    try:
        fanout = importlib.import_module("media.native._fanout")
    except ImportError:
        return Found(reason="it is not built (that needs a C compiler and Python's headers)")
    for library, name in _libraries():
        addresses = _addresses(library)
        if addresses is not None:
            fanout.use_crypto(*addresses)
            if _is_right(fanout):
                return Found(fanout=fanout, reason=f"AES-GCM by {name}")
    return Found(reason="no libcrypto was found that does AES-GCM as the reference does")


def _libraries() -> Iterator[tuple[ctypes.CDLL, str]]:
    """Where EVP may be: behind Python's own ssl module first, since it is loaded anyway."""
    ssl = importlib.util.find_spec("_ssl")
    # A static build has no file of its own, and says "built-in".
    for place in (ssl.origin if ssl and ssl.has_location else None, ctypes.util.find_library("crypto")):
        if place:
            try:
                library = ctypes.CDLL(place)
            except OSError:
                continue
            yield library, _version(library)


def _version(library: ctypes.CDLL) -> str:
    try:
        version = library.OpenSSL_version
    except AttributeError:
        return "a libcrypto of unknown version"
    version.restype = ctypes.c_char_p
    return str(version(0).decode())


def _addresses(library: ctypes.CDLL) -> list[int] | None:
    try:
        return [ctypes.cast(getattr(library, name), ctypes.c_void_p).value or 0 for name in _FUNCTIONS]
    except AttributeError:
        return None


def _is_right(fanout: ModuleType) -> bool:
    """Whether a packet comes out as from the reference."""
    sender, out = GcmSender(bytes(range(16)), bytes(range(12))), memoryview(bytearray(256))
    header, payload, ssrc, index = b"\x80\x60" + bytes(range(10)), b"showfloor" * 20, 0xDEADBEEF, 0x12345_6789A
    end = sender.seal_into(ssrc << 48 | index, header, payload, out, 0)
    try:
        sealed: bytes = fanout.Cipher(sender.rtp_key, sender.rtp_salt).seal(ssrc, index, header, payload)
    except (RuntimeError, ValueError):
        return False
    return sealed == bytes(out[:end])
