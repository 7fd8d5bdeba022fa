from collections.abc import Mapping, Sequence

from media.core.demux import Address
from media.core.history import Packet
from media.core.rtp import Header
from media.core.runs import Run
from media.egress import Target
from media.peer import Peer

class Cipher:
    def __init__(self, key: bytes, salt: bytes, /) -> None: ...
    def seal(self, ssrc: int, index: int, header: bytes, payload: bytes, /) -> bytes: ...

class Opener:
    @property
    def surplus(self) -> int: ...
    def __init__(self, key: bytes, salt: bytes, most: int, /) -> None: ...
    def unprotect(self, packet: bytes, header_size: int, /) -> bytes | None: ...

class Inbox:
    def __init__(
        self,
        fd: int,
        pktinfo_level: int,
        pktinfo_type: int,
        peers: Mapping[Address, Peer],
        header: type[Header],
        /,
    ) -> None: ...
    def receive(self) -> tuple[list[tuple[Address, bytes, Peer | None, Header | None]], int]: ...

def use_crypto(*addresses: int) -> None: ...
def fan(
    fd: int, pktinfo_level: int, pktinfo_type: int, targets: Sequence[Target], runs: Sequence[Run], /
) -> tuple[list[tuple[int, int, int]], int, int, int, int]: ...
def hurry(
    fd: int, pktinfo_level: int, pktinfo_type: int, target: Target, packets: Sequence[Packet], /
) -> tuple[list[tuple[int, int, int]], int, int, int, int]: ...
def knows_no_gso(number: int, /) -> bool: ...
