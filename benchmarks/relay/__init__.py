"""The relay's harness: servers, a stamped host, a load of light viewers, and the limit.

Owns: what its programs share. Invariant: the server that is measured runs on one core, all else on another.
"""

import contextlib
import os
import time
from pathlib import Path
from typing import Any

from schema.ids import AccountId, ShowId
from schema.people import Principal, Role

PICTURE_PACKETS, KEY_PACKETS = 9, 27  # 2 Mb/s at 25 pictures a second
PICTURES, GOP = 25, 100
CLOCK = os.sysconf("SC_CLK_TCK")
PACKETS_A_SECOND = PICTURE_PACKETS * PICTURES + 50


def sizes_of(picture: int, *, is_key: bool) -> list[int]:
    """Bytes of each packet of a picture, cut as browsers cut: equally but for a byte, and no two pictures alike.

    Seen of Chromium 156, VP8 and H264 alike (libwebrtc's RtpPacketizer::SplitAboutEqually).
    """
    packets = KEY_PACKETS if is_key else PICTURE_PACKETS
    return [1030 + picture * 7919 % 150 + (number < picture % packets) for number in range(packets)]


def user_and_system(pid: int) -> tuple[float, float]:
    """User and system time of a process and all its threads, in seconds."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) / CLOCK, int(fields[12]) / CLOCK


def cpu_seconds(pid: int) -> float:
    """User and system time of a process, to the nanosecond; /proc has it in hundredths (CPUCLOCK_SCHED)."""
    return time.clock_gettime(~pid << 3 | 2)


def cores() -> tuple[int, int]:
    """The server's, and everybody else's; the same one where there is but one."""
    found = sorted(os.sched_getaffinity(0) | os.sched_getaffinity(1))
    return found[0], found[1 % len(found)]


def busy(core: int) -> float:
    """Seconds that a core has worked, for whomever."""
    row = next(row for row in Path("/proc/stat").read_text().splitlines() if row.startswith(f"cpu{core} "))
    user, nice, system, _, _, interrupts, soft, *_ = map(int, row.split()[1:])
    return (user + nice + system + interrupts + soft) / CLOCK


def pin(pid: int, *, server: bool) -> None:
    """A process and its threads to the server's core or to the other, before whoever else is there, if we may."""
    own = cores()[0 if server else 1]
    home = Path(f"/proc/{pid or os.getpid()}")
    with contextlib.suppress(OSError):  # where each session has a share of its own, the nice value counts only inside
        (home / "autogroup").write_text("-20")
    for task in (home / "task").iterdir():
        os.sched_setaffinity(int(task.name), {own})
        with contextlib.suppress(PermissionError):
            os.setpriority(os.PRIO_PROCESS, int(task.name), -20)


class Anybody:
    """Lets everybody in, under the token's name."""

    async def publisher(self, token: str | None, show: str) -> Principal:  # noqa: ARG002 - the gate's signature
        return Principal(account_id=AccountId(token or "host"), role=Role.HOST, name="")

    async def subscriber(self, token: str | None, show: str, *, joining: bool) -> Principal:  # noqa: ARG002
        return Principal(account_id=AccountId(token or "viewer"), role=Role.VIEWER, name="")

    def host_changed(self, show_id: ShowId, present: bool) -> None:  # noqa: FBT001 - the listener's signature
        pass


Figures = dict[str, Any]
