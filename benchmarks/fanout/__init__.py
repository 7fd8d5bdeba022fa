"""The hub's harness: servers of WebSockets, ours among them, viewers that only read, and the least a hub can do.

Owns: what its programs share. Invariant: the server that is measured runs on one core, all else on another.
"""

import os
import statistics
import time
from collections.abc import Sequence
from pathlib import Path

from schema.ids import AccountId, MessageId, new_id
from schema.people import Role
from schema.wire import Chat

SHOW = "bench"
TICK_S = 0.1
MESSAGE_BYTES = 200
PAGE = os.sysconf("SC_PAGE_SIZE")
_AROUND_TEXT = 172
"""Bytes of a chat event on the wire besides its text and the name in it, give or take the digits of its offset."""


def cpu_ns(pid: int) -> int:
    """User and system time of a process, all its threads, those that ended too."""
    return time.clock_gettime_ns((~pid << 3) | 2)  # what clock_getcpuclockid(3) answers on Linux


def resident(pid: int) -> int:
    """Resident bytes of a process."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE


def stamp() -> str:
    """What load.c looks for: when this was said."""
    return f"@@{time.monotonic_ns() // 1000:016}"


def chat() -> Chat:
    """An event of about MESSAGE_BYTES on the wire, stamped now."""
    text = stamp()
    return Chat(
        id=MessageId(new_id("msg")),
        account_id=AccountId("acc_" + "a" * 22),
        name="viewer 1",
        role=Role.VIEWER,
        text=text + "x" * max(0, MESSAGE_BYTES - _AROUND_TEXT - len(text)),
        at_ms=time.time_ns() // 1_000_000,
    )


def plain() -> str:
    """The same for a server of texts."""
    text = stamp()
    return text + "x" * (MESSAGE_BYTES - len(text))


def spread(values: Sequence[float], digits: int = 2) -> str:
    """`median (least - most)`."""
    if not values:
        return "-"
    middle = statistics.median(values)
    if len(values) == 1:
        return f"{middle:.{digits}f}"
    return f"{middle:.{digits}f} ({min(values):.{digits}f} - {max(values):.{digits}f})"


def conditions(before: tuple[float, float, float], began: float) -> str:
    """What a reader must know of the machine."""
    return (
        f"{os.cpu_count()} CPUs, server on one core and load on another; load average before {before[0]:.1f}, "
        f"after {os.getloadavg()[0]:.1f}; {time.monotonic() - began:.0f} s"
    )
