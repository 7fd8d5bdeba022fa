"""The egress in C, where it is built, behind the interface of media/egress.py.

Owns: the choice between the two. Invariant: an installation without a compiler has the pure one and lacks nothing
but speed.
"""

from media.egress import Egress
from media.native.loader import load
from media.port import MediaPort


def egress_for(port: MediaPort, *, native: bool | None = None) -> Egress:
    """The egress of a port: the native one if it is there, unless `native` says which.

    Raises RuntimeError if the native one is demanded and not there.
    """
    found = load()
    if native is False or (native is None and found.fanout is None):
        return Egress(port)
    if found.fanout is None:
        raise RuntimeError(f"The native egress is demanded, and {found.reason}")
    from media.native.egress import NativeEgress  # noqa: PLC0415 - it imports the extension

    return NativeEgress(port)
