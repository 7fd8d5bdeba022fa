"""ETags of a show.

A show is read with its stock and written without it. So its tag has two halves, `"v12.9f3c..."`: the version, which
rises with each write, and a digest of the whole answer. If-None-Match compares the tag; If-Match compares the version
alone, or every purchase in between would refuse the host's write.
"""

import hashlib
import re

import msgspec
from starlette.datastructures import Headers

from schema.errors import PreconditionFailed
from schema.show import Show

_encoder = msgspec.json.Encoder()
_TAG = re.compile(r'(?:W/)?"v(\d{1,18})\.[0-9a-f]{16}"')


def etag_of(show: Show) -> str:
    """The tag of this very answer."""
    digest = hashlib.blake2b(_encoder.encode(show), digest_size=8).hexdigest()
    return f'"v{show.version}.{digest}"'


def unchanged(headers: Headers, etag: str) -> bool:
    """True if If-None-Match names `etag` (weak comparison, RFC 9110 section 13.1.2)."""
    asked = headers.get("if-none-match", "")
    return asked.strip() == "*" or etag in [tag.strip().removeprefix("W/") for tag in asked.split(",")]


def versions_asked(headers: Headers) -> frozenset[int] | None:
    """The versions that If-Match allows to be written over; None: any. Raises PreconditionFailed on a foreign tag."""
    asked = headers.get("if-match")
    if asked is None or asked.strip() == "*":
        return None
    versions = frozenset(int(version) for version in _TAG.findall(asked))
    if not versions:
        raise PreconditionFailed("If-Match names no tag of this show")
    return versions
