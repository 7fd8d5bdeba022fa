"""What a PATCH carries: a trickle-ice-sdpfrag (RFC 8840, RFC 9725 section 4.3).

Reads no clock and does no I/O. Invariant: `parse_fragment` returns or raises BadRequest.
"""

from msgspec import Struct

from media.core.sdp.lines import TOKEN, Block, text
from schema.errors import BadRequest


class Fragment(Struct, frozen=True, kw_only=True):
    """Whose candidates these are."""

    ufrag: str | None
    password: str | None


def parse_fragment(body: bytes) -> Fragment:
    """The credentials in a PATCH; its candidates are not needed, a lite agent only answers. Raises BadRequest."""
    whole = text(body).replace("\r", "")
    for at, line in enumerate(whole.split("\n"), 1):
        if line and (len(line) < 3 or line[1] != "="):
            raise BadRequest(f"SDP fragment: line {at} is not of the form x=value")
    own = Block(whole).own
    ufrag, password = own.get("ice-ufrag"), own.get("ice-pwd")
    if any(value is not None and not TOKEN.match(value) for value in (ufrag, password)):
        raise BadRequest("SDP fragment: ice-ufrag or ice-pwd is not usable")
    return Fragment(ufrag=ufrag, password=password)
