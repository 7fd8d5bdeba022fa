"""The flush: what the shows of a process wait to send, sent together, now and then.

Owns: which shows wait, the timer, the fan-out under way.
Invariant: what a look of the port brought leaves with the end of that look, and what came otherwise (over TCP, from
another worker) within `flush_ms`; the loop is never held for more than `HOLD_S` at a stretch; a show whose flush fails
loses that flush and costs no other show anything.
"""

import asyncio
import time
from collections.abc import Iterator
from typing import Final

import structlog

from media.clock import now_ms
from media.egress import Egress
from media.port import MediaPort
from media.show import Show

log = structlog.get_logger()

HOLD_S: Final = 0.006
"""Before it, a look may have taken as much as four milliseconds."""


class Flush:
    """On the running loop; `close` it."""

    def __init__(self, port: MediaPort, egress: Egress, flush_ms: int) -> None:
        self._port, self._egress = port, egress
        self._wait_s = flush_ms / 1000
        self._loop = asyncio.get_running_loop()
        self._waiting: dict[Show, None] = {}
        self._due: dict[Show, None] = {}
        self._timer: asyncio.Handle | None = None
        self._rounds: Iterator[None] | None = None
        self._until = 0.0
        """When this turn of ours should end."""
        self._turn: asyncio.Handle | None = None

    def wake(self, show: Show, at_once: bool) -> None:  # noqa: FBT001 - called for each packet
        """A show has something to send; the end of a picture should leave at once."""
        self._waiting[show] = None
        if self._port.is_looking:  # and calls `flush` at its end
            return
        if self._timer is not None:
            if not at_once:
                return
            self._timer.cancel()
        self._timer = self._loop.call_soon(self._ring) if at_once else self._loop.call_later(self._wait_s, self._ring)

    def _ring(self) -> None:
        self._timer = None
        self.flush()

    def flush(self) -> None:
        """Send what waits: as much as fits now, the rest when others have had their turn."""
        if not self._waiting:
            return
        self._due.update(self._waiting)
        self._waiting.clear()
        if self._rounds is None:
            self._rounds = self._go()
            self._go_on()

    def close(self) -> None:
        for handle in (self._timer, self._turn):
            if handle is not None:
                handle.cancel()

    def _go_on(self) -> None:
        assert self._rounds is not None
        self._turn = self._loop.call_soon(self._go_on) if next(self._rounds, self) is None else None
        if self._turn is None:
            self._rounds = None

    def _go(self) -> Iterator[None]:
        """Yields where others get a turn."""
        self._until = time.monotonic() + HOLD_S
        while self._due:
            show = next(iter(self._due))
            del self._due[show]
            try:
                yield from self._fan_out(show)
            except Exception:  # it would end this, and with it every show's picture
                log.exception("a flush failed", show=show.show_id)

    def _fan_out(self, show: Show) -> Iterator[None]:
        for rows, runs in show.take():
            for row in rows:
                yield from self._pause()
                self._egress.send(row, runs)
        # When a host comes back its viewers begin at once: reports to a thousand are thirty milliseconds.
        for subscriber in show.unreported():
            yield from self._pause()
            show.report_first(subscriber, now_ms())

    def _pause(self) -> Iterator[None]:
        """Others' turn, if it is time: whichever show this one was used up for."""
        if time.monotonic() > self._until:
            yield
            self._until = time.monotonic() + HOLD_S
