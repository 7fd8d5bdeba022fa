"""The life of a program of ours: its loop, its signals, its log, its end.

Owns: the signal handlers and the logging set-up of the process.
Invariant: the first SIGINT, SIGTERM or SIGHUP cancels the program's main task, so that every context closes;
later ones are ignored, since each wait on the way out has a bound.
"""

import asyncio
import logging
import signal
import sys
from collections.abc import Coroutine
from typing import Any

import structlog
import uvloop

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def run(main: Coroutine[Any, Any, int], *, until_signal: bool = False) -> int:
    """Run `main` to its end, and return its exit status.

    Signal n ends it with 128 + n; or with 0 where a signal is the way in which it is meant to end.
    """
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        number, status = runner.run(_until_signal(main))
    return 128 + number if number and not until_signal else status


async def _until_signal(main: Coroutine[Any, Any, int]) -> tuple[int, int]:
    """The signal that ended it (0: none) and the status."""
    loop = asyncio.get_running_loop()
    task = loop.create_task(main)
    received: list[int] = []

    def end(number: int) -> None:
        if not received:
            received.append(number)
            task.cancel()

    before = {number: signal.getsignal(number) for number in SIGNALS if not _left_alone(number)}
    for number in before:
        loop.add_signal_handler(number, end, number)
    try:
        return 0, await task
    except asyncio.CancelledError:
        if not received:
            raise
        return received[0], 0
    finally:
        for number, handler in before.items():
            loop.remove_signal_handler(number)  # leaves the default, which need not be what was there
            signal.signal(number, handler)


def _left_alone(number: int) -> bool:
    """Under nohup SIGHUP comes ignored and stays so. An ignored SIGINT does not: shells do that to all with `&`."""
    return number == signal.SIGHUP and signal.getsignal(number) == signal.SIG_IGN


def configure_logging(level: str) -> None:
    """Everything to standard error, so that what a command prints stands alone on standard output.

    Lines for people on a terminal, JSON lines elsewhere. Other libraries' logs from WARNING on.
    """
    on_terminal = sys.stderr.isatty()
    number = logging.getLevelNamesMapping()[level.upper()]
    # Not rich's tracebacks: they show the frames' variables, and a token may be among them.
    for_people = structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
    renderer: Any = for_people if on_terminal else structlog.processors.JSONRenderer()
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    tracebacks: list[Any] = [] if on_terminal else [structlog.processors.format_exc_info]
    structlog.configure(
        processors=[*shared, *tracebacks, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *tracebacks, renderer],
        )
    )
    logging.basicConfig(handlers=[handler], level=max(number, logging.WARNING), force=True)
