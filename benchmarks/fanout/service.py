"""Our service as an operator runs it, on the server's core, with its stores on the other.

usage: service.py PORT DATA_DIR; the stores and settings come by the environment. With PROBE=1 each line on stdin is
answered by how long the event loop was held since the last: "count p50 p99 most", in microseconds.

Owns: nothing but the probe: a timer a millisecond, whose lateness is what others had to wait.
"""

import asyncio
import os
import sys
import time
from pathlib import Path

from live.process import configure_logging, run
from live.server import serve
from live.settings import Settings

EVERY_S = 0.001


class Probe:
    """How late a timer of a millisecond is."""

    def __init__(self) -> None:
        self._late_us: list[float] = []
        self._due = 0.0

    def start(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(0, self._tell)
        self._again()

    def _again(self) -> None:
        self._due = time.monotonic() + EVERY_S
        self._loop.call_later(EVERY_S, self._check)

    def _check(self) -> None:
        self._late_us.append((time.monotonic() - self._due) * 1e6)
        self._again()

    def _tell(self) -> None:
        if not sys.stdin.readline():
            self._loop.remove_reader(0)
            return
        late, self._late_us = sorted(self._late_us), []
        shares = [late[int(len(late) * share)] for share in (0.5, 0.99)] if late else [0, 0]
        print(len(late), *(int(one) for one in (*shares, late[-1] if late else 0)), flush=True)


async def main(settings: Settings) -> int:
    async def ready(bound: Settings) -> None:
        if os.environ.get("PROBE"):
            Probe().start()
        print(bound.port, flush=True)

    await serve(settings, ready=ready)
    return 0


if __name__ == "__main__":
    given = Settings.read(port=int(sys.argv[1]), data_dir=Path(sys.argv[2]), load=True, log_level="warning")
    configure_logging(given.log_level)
    sys.exit(run(main(given), until_signal=True))
