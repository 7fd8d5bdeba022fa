"""An order's receipt: what was bought, at which price, at which second of the video, signed by the shop (Ed25519).

Owns: the receipt's form, and its signature.
Invariant: the file is the canonical JSON of its fields, so that a file with any other byte does not verify.
"""

import base64
import hashlib

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from schema.receipt import Receipt

FORMAT = "showfloor-receipt-1"

_json = msgspec.json.Encoder()
_receipts = msgspec.json.Decoder(Receipt)


class Forged(Exception):  # noqa: N818 - what the file is
    """The file is not what the shop signed. The message says why."""


class Signer:
    """The shop's key, made from a secret text: the same secret is the same key."""

    def __init__(self, secret: str) -> None:
        self._key = Ed25519PrivateKey.from_private_bytes(hashlib.sha256(secret.encode()).digest())
        self.public = b64(self._key.public_key().public_bytes_raw())
        """Base64url, without padding, as JWK writes it."""

    @property
    def jwks(self) -> dict[str, list[dict[str, str]]]:
        """The public key as a JSON Web Key Set (RFC 8037)."""
        key = {"kty": "OKP", "crv": "Ed25519", "x": self.public, "use": "sig", "alg": "EdDSA", "kid": self.public[:16]}
        return {"keys": [key]}

    def sign(self, data: bytes) -> str:
        """The signature, base64url."""
        return b64(self._key.sign(data))

    def signed(self, receipt: Receipt) -> Receipt:
        """The receipt with our key and our signature."""
        unsigned = msgspec.structs.replace(receipt, key=self.public, signature="")
        return msgspec.structs.replace(unsigned, signature=self.sign(_json.encode(unsigned)))


def b64(data: bytes) -> str:
    """Base64url without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def unb64(text: str) -> bytes:
    """What `b64` encoded. Raises ValueError."""
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)


def is_signed(data: bytes, signature: str, key: str) -> bool:
    """True if the owner of `key` signed `data`."""
    try:
        Ed25519PublicKey.from_public_bytes(unb64(key)).verify(unb64(signature), data)
    except (InvalidSignature, ValueError):
        return False
    return b64(unb64(signature)) == signature


def read(file: bytes, key: str | None = None) -> Receipt:
    """The receipt in a file, verified; with `key`, that it is this shop's. Raises Forged."""
    data = file.rstrip(b"\r\n")  # an editor's or a download's
    try:
        receipt = _receipts.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Forged(f"not a receipt: {error}") from None
    if receipt.format != FORMAT:
        raise Forged(f"the format is {receipt.format!r}, not {FORMAT!r}")
    if _json.encode(receipt) != data:
        raise Forged("the file was written anew: keep it as it was downloaded")
    if key is not None and receipt.key != key:
        raise Forged("it is signed with another shop's key")
    unsigned = msgspec.structs.replace(receipt, signature="")
    if not is_signed(_json.encode(unsigned), receipt.signature, receipt.key):
        raise Forged("the signature is not the shop's: something was changed")
    return receipt
