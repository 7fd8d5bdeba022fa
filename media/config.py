"""The relay's settings, with bounds that suit one machine."""

from pathlib import Path
from typing import Final

from msgspec import Struct

from media.core.ice_servers import IceServers

FLUSH_MS: Final = 16


class LinkConfig(Struct, frozen=True, kw_only=True):
    """A worker among others of the same machine."""

    worker: int
    others: tuple[int, ...]
    folder: Path
    """Where their sockets are; nobody else can enter it."""
    linger_ms: int = 5_000
    """A show that nobody watches here any more is pulled for so much longer."""

    def path(self, worker: int) -> Path:
        """Where a worker gives its shows' packets."""
        return self.folder / f"{worker}.link"


class RelayConfig(Struct, frozen=True, kw_only=True):
    """How one process relays."""

    bind_host: str = "0.0.0.0"  # noqa: S104 - media comes from everywhere; the demultiplexer is the guard
    port: int = 0
    """0: the kernel picks one; `Relay.udp_port` tells."""
    tcp_port: int | None = 0
    """For peers whose network lets no UDP through. 0: the number of the UDP port where it is free; None: no TCP."""
    ice_servers: IceServers = IceServers()
    """Handed out with every session."""
    addresses: tuple[str, ...] = ("127.0.0.1",)
    """Advertised to peers, one host candidate each; the first is preferred."""
    max_sessions: int = 2000
    max_per_account: int = 10
    """Sessions in which one account watches at once; one more ends its oldest, which a closed tab may have left."""
    max_pending: int = 256
    """Sessions that have not finished ICE and DTLS; the next one is refused with 503."""
    max_pending_per_address: int = 128
    """Of these from one address: whoever begins and never finishes leaves the others half of the places."""
    host_places: int = 16
    """Publishers may have so many sessions beyond both bounds: a crowd at the door does not keep the host out."""
    handshake_ms: int = 15_000
    consent_ms: int = 15_000
    """A peer is dropped this long after its last sign of life: a closed tab sends no farewell."""
    flush_ms: int = FLUSH_MS
    """How often the port looks, and what it found leaves: half of it is what a packet waits on average. While somebody
    is brought to live it looks every 16 ms or sooner; behind the end of a look that took long, the next one begins
    after five.

    A picture of 2 Mb/s, which a browser spreads over some 16 ms, is two sends. Each look of a process that
    slept costs some 80 us before it has done anything, and each send to a viewer some 5 us before its first byte.
    """
    silence_ms: int = 2_500
    """Without a packet for this long the host counts as gone."""
    empty_show_ms: int = 60_000
    """A show without publisher and subscribers keeps its timeline for this long."""
    max_bitrate_bps: int = 3_000_000
    """What a publisher may send in its highest layer; each lower one may take a quarter of the next besides."""
    gop_packets: int = 2000
    """A newcomer is sent the packets since the last keyframe, if they are no more; 0: it waits for the next one."""
    history_packets: int = 1024
    """Per track, a power of two; at least 512 (about two seconds at 2.5 Mb/s)."""
    playout_delay_ms: tuple[int, int] = (0, 1000)
    """Least and most that a player may hold a picture back, in steps of 10: its buffer grows with jitter and loss, but
    never beyond a second behind. A most of 500 or less with a least of 0 has Chromium give up its buffer and its lip
    sync: pictures would be shown as they come, and stand still for every packet that is sent again."""
    native: bool | None = None
    """The egress: True the native twin or no start, False the pure one, None the native one where it is built."""
    session_suffix: str = ""
    """What the ids of this process's sessions end in, so that others know whose they are."""
