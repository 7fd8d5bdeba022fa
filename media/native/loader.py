"""Finds the extension and a libcrypto for it, and proves both before they are used.

Owns: the one answer of the process. Invariant: the extension is handed out only if it was built from the
sources beside it, and after it has given the very bytes that the reference gives.
"""

import ctypes
import ctypes.util
import functools
import importlib
import importlib.util
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Final

import structlog
from msgspec import Struct

from media.core.srtp import GcmSender

log = structlog.get_logger()

FOLDER: Final = Path(__file__).parent
"""Of the C sources, `*.c` and `*.h`."""
_FUNCTIONS: Final = (
    "EVP_CIPHER_CTX_new",
    "EVP_CIPHER_CTX_free",
    "EVP_EncryptInit_ex",
    "EVP_EncryptUpdate",
    "EVP_EncryptFinal_ex",
    "EVP_CIPHER_CTX_ctrl",
    "EVP_aes_128_gcm",
    "EVP_aes_256_gcm",
    "EVP_DecryptInit_ex",
    "EVP_DecryptUpdate",
    "EVP_DecryptFinal_ex",
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
    if not _is_current(fanout):
        log.warning("the native egress is of another source than the one beside it, and is not used; build it again")
        return Found(reason="it was built from another source than the one beside it: build it again")
    for library, name in _libraries():
        addresses = _addresses(library)
        if addresses is not None:
            fanout.use_crypto(*addresses)
            if _is_right(fanout):
                return Found(fanout=fanout, reason=f"AES-GCM by {name}")
    return Found(reason="no libcrypto was found that does AES-GCM as the reference does")


def _is_current(fanout: ModuleType) -> bool:
    """Whether it was built from the C sources beside it; one that cannot tell was not."""
    try:
        return bool(fanout.sources() == {path.name: path.read_bytes() for path in FOLDER.glob("*.[ch]")})
    except (AttributeError, OSError):
        return False


def _libraries() -> Iterator[tuple[ctypes.CDLL, str]]:
    """Where EVP may be.

    pylibsrtp's wheel first: it is there on every machine, and its OpenSSL 3.5 takes 0.49 us for 1,180 bytes where the
    3.0 of a Debian 12, behind Python's own ssl module, takes 0.75. libsrtp itself takes 1.0, and guesses the index.
    """
    for place in (_origin("pylibsrtp._binding"), _origin("_ssl"), ctypes.util.find_library("crypto")):
        if place:
            try:
                library = ctypes.CDLL(place)
            except OSError:
                continue
            yield library, _version(library)


def _origin(module: str) -> str | None:
    """The file of an extension module; None where there is none, or it is linked into Python."""
    try:
        spec = importlib.util.find_spec(module)
    except ModuleNotFoundError:
        return None
    return spec.origin if spec and spec.has_location else None


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
    """Whether a packet comes out as from the reference, and one of the reference's is read."""
    sender = GcmSender(bytes(range(16)), bytes(range(12)))
    header, payload, ssrc, index = b"\x80\x60\x67\x89\0\1\2\3\xde\xad\xbe\xef", b"showfloor" * 20, 0xDEADBEEF, 0x6789
    try:
        sealed: bytes = fanout.Cipher(sender.rtp_key, sender.rtp_salt).seal(ssrc, index, header, payload)
        opened: bytes | None = fanout.Opener(sender.rtp_key, sender.rtp_salt, 1).unprotect(sealed, len(header))
    except (RuntimeError, ValueError):
        return False
    return sealed == sender.seal(ssrc << 48 | index, header, payload) and opened == payload
