"""What a campaign changes inside the processes of the service, which are otherwise as an operator runs them.

Python imports this file first, since its folder is on PYTHONPATH. It sends payments to the network's own process,
shifts the clock, dies at the step that a file names, and takes one defence away for a negative control.
"""

import contextlib
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

NETWORK = os.environ.get("FAULTS_NETWORK")


def shift_clock(file: Path) -> None:
    """time.time() and time.time_ns() plus the seconds in `file`, looked at ten times a second."""
    real_time, real_ns, monotonic = time.time, time.time_ns, time.monotonic
    seen = [0.0, 0]  # looked at, offset in seconds

    def offset() -> int:
        now = monotonic()
        if now - seen[0] > 0.1:
            seen[0] = now
            with contextlib.suppress(OSError, ValueError):
                seen[1] = int(file.read_text() or 0)
        return seen[1]

    time.time = lambda: real_time() + offset()
    time.time_ns = lambda: real_ns() + offset() * 1_000_000_000


def follow_syncs() -> Callable[[], None]:
    """What the journal has synced is known from here on; answers with how the rest of it is lost."""
    from checkout import journal

    synced: dict[int, int] = {}

    class System:
        """`os`, as the journal sees it."""

        def __getattr__(self, name: str):
            return getattr(os, name)

        def fsync(self, file: int) -> None:
            os.fsync(file)
            synced[file] = os.fstat(file).st_size

        def close(self, file: int) -> None:
            os.close(file)
            synced.pop(file, None)

    def lose() -> None:
        for file, size in synced.items():
            with contextlib.suppress(OSError):  # a folder, which is opened for reading
                os.ftruncate(file, size)

    journal.os = System()
    return lose


def die_at_steps(file: Path) -> None:
    """kill -9 of this process at the step whose name stands in `file`, once."""
    from faults.steps import STEPS

    lose_unsynced = follow_syncs()

    def reached(step: str) -> None:
        if not file.exists():
            return
        try:
            if file.read_text() != step:
                return
            file.rename(file.with_suffix(".done"))
        except OSError:
            return  # another worker was first
        if STEPS[step].power:
            lose_unsynced()
        os.kill(os.getpid(), signal.SIGKILL)

    for name, step in STEPS.items():
        step.watch(name, reached)


def pay_elsewhere(url: str) -> None:
    from checkout import fake_client

    first = fake_client.FakeProvider.__init__

    def init(self, base_url, *, secret, transport=None, **more):
        first(self, url, secret=secret, **more)

    fake_client.FakeProvider.__init__ = init


if NETWORK:
    shift_clock(Path(os.environ["FAULTS_CLOCK"]))
    pay_elsewhere(NETWORK)
    die_at_steps(Path(os.environ["FAULTS_STEP"]))
    if os.environ.get("FAULTS_REMOVED"):
        from faults.removed import remove

        remove(os.environ["FAULTS_REMOVED"])
