"""The native intake: C reads the socket and decrypts a host's packets, the reference does all else.

Owns: the buffers of one port. Invariant: what C does not take as new and authentic media it hands on as it came, in its
place; a peer's replay windows are in one place, whichever way its packets come.
"""

from typing import Final

from media.clock import now_ms
from media.core import srtp
from media.core.rtp import Header
from media.core.srtp import GcmReceiver
from media.dtls import Receiver
from media.intake import BURST, Intake, Port
from media.native import _fanout

_NOWHERE: Final = (-1, -1)


class NativeReceiver:
    """A `Receiver` whose media C decrypts; its reports stay with the reference."""

    def __init__(self, receiver: GcmReceiver) -> None:
        self._receiver = receiver
        self.opener = _fanout.Opener(receiver.rtp_key, receiver.rtp_salt, srtp.MAX_SOURCES)
        self.unprotect = self.opener.unprotect
        self.unprotect_rtcp = receiver.unprotect_rtcp

    @property
    def surplus(self) -> int:
        return self.opener.surplus + self._receiver.surplus


class NativeIntake(Intake):
    """Reads the socket of one port, a look in one call."""

    def __init__(self, port: Port) -> None:
        super().__init__(port)
        level, kind = port.pktinfo or _NOWHERE
        self._inbox = _fanout.Inbox(port.socket.fileno(), level, kind, port.roster.by_address, Header)

    def receiver(self, receiver: Receiver) -> Receiver:
        return NativeReceiver(receiver) if isinstance(receiver, GcmReceiver) else receiver

    def take(self) -> int:
        port = self._port
        items, failed = self._inbox.receive()
        now = now_ms()
        for source, data, peer, header in items:
            if peer is None or header is None:
                port.take(data, source)
            else:
                port.heard(peer, header, data, now)
        if failed:
            port.counts["receive_failed"] += failed
        assert len(items) + failed <= BURST
        return len(items) + failed
