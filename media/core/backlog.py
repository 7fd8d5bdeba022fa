"""What waits while the socket's buffer is full.

Owns: the order and the bound. Invariant: never more than `limit` sends; when it is full the oldest that is
only video goes first, for sound must never wait for a picture.
"""

from collections import deque
from typing import NamedTuple

from media.core.demux import Address


class Send(NamedTuple):
    """One message for the kernel, already encrypted."""

    data: bytes
    segment_bytes: int
    """0: one datagram."""
    address: Address
    packets: int
    has_audio: bool


class Backlog:
    """A bounded queue of sends."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._sends: deque[Send] = deque()
        self.dropped_packets = 0

    def __len__(self) -> int:
        return len(self._sends)

    def push(self, send: Send) -> None:
        """Queue a send, making room if need be."""
        if len(self._sends) >= self._limit:
            self._drop_one()
        self._sends.append(send)

    def _drop_one(self) -> None:
        at = next((index for index, send in enumerate(self._sends) if not send.has_audio), 0)
        self.dropped_packets += self._sends[at].packets
        del self._sends[at]

    def head(self) -> Send | None:
        return self._sends[0] if self._sends else None

    def pop(self) -> None:
        self._sends.popleft()
