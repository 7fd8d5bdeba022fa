"""What is heard of one peer: of its reports so many, of its sources so many.

Owns: the quota. Invariant: a report beyond the quota costs no decryption, and leaves nothing behind.
"""

from media.clock import now_ms
from media.core.quota import Quota
from media.dtls import Receiver


class Hearing:
    """A `Receiver` with a quota."""

    def __init__(self, receiver: Receiver) -> None:
        self._receiver = receiver
        self._quota = Quota()
        self.unprotect = receiver.unprotect
        """The peer's media, undiminished: of a viewer there is none, and a host's has its own bounds."""
        self.opener: object | None = getattr(receiver, "opener", None)
        """Where media/native decrypts that."""

    @property
    def surplus(self) -> int:
        """Packets from sources beyond those that one peer may have."""
        return self._receiver.surplus

    @property
    def unheard(self) -> int:
        """Reports beyond the quota."""
        return self._quota.refused

    def unprotect_rtcp(self, packet: bytes) -> bytes | None:
        """As the receiver's; None also beyond the quota."""
        return self._receiver.unprotect_rtcp(packet) if self._quota.allows(now_ms()) else None
