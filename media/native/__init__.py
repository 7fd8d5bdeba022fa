"""The egress and the intake in C, where they are built, behind the interfaces of media/egress.py and media/intake.py.

Owns: the choice between the two. Invariant: an installation without a compiler has the pure one and lacks nothing
but speed.
"""

from media.egress import Egress
from media.intake import Intake
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


def intake_for(port: MediaPort, *, native: bool | None = None) -> Intake:
    """The intake of a port, chosen as its egress is; what is demanded and not there `egress_for` refuses."""
    if native is False or load().fanout is None:
        return Intake(port)
    from media.native.intake import NativeIntake  # noqa: PLC0415 - it imports the extension

    return NativeIntake(port)
