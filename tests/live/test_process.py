"""How a program of ours runs, ends and logs."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from live.process import SIGNALS, run

ROOT = Path(__file__).resolve().parents[2]

PROGRAM = """
import asyncio, os, signal, sys
from live.process import run

async def main():
    try:
        print("up", flush=True)
        await asyncio.Event().wait()
    finally:
        os.kill(os.getpid(), signal.SIGTERM)  # an impatient second one, in the middle of the way down
        await asyncio.sleep(0.05)
        print("down", flush=True)

sys.exit(run(main(), until_signal=sys.argv[1] == "expected"))
"""

LOGGING = """
import logging, structlog
from live.process import configure_logging
configure_logging("warning")
structlog.get_logger().info("hidden")
structlog.get_logger().warning("seen", show="demo")
logging.getLogger("another").error("of a library")
logging.getLogger("another").info("hidden")
"""


def start(source: str, *arguments: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", source, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )


FAILING_ON_A_TERMINAL = """
import sys, structlog
from live.process import configure_logging
sys.stderr.isatty = lambda: True
configure_logging("warning")

def fail(token):
    raise LookupError("on purpose")

try:
    fail("hunter" + str(2))
except LookupError:
    structlog.get_logger().exception("failed")
"""


def test_a_traceback_on_a_terminal_shows_no_variables():
    program = start(FAILING_ON_A_TERMINAL)
    _, log = program.communicate(timeout=30)
    assert program.returncode == 0, log
    assert "LookupError: on purpose" in log
    assert "in fail" in log
    assert "hunter2" not in log


def test_the_status_of_a_program_is_what_it_returns():
    async def main() -> int:
        return 3

    assert run(main()) == 3


def test_the_handlers_that_were_there_before_are_there_after():
    async def main() -> int:
        return 0

    handlers = [signal.getsignal(number) for number in SIGNALS]
    assert signal.SIG_DFL not in handlers, "the session has its own: see conftest"
    run(main())
    assert [signal.getsignal(number) for number in SIGNALS] == handlers


def test_an_error_of_a_program_is_raised():
    async def main() -> int:
        raise LookupError

    with pytest.raises(LookupError):
        run(main())


def test_a_cancellation_that_no_signal_asked_for_is_raised():
    async def main() -> int:
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        run(main())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("meaning", ["expected", "unexpected"])
def test_a_signal_ends_a_program_in_order_and_a_second_one_does_not_cut_that_short(number, meaning):
    with start(PROGRAM, meaning) as program:
        assert program.stdout.readline() == "up\n"
        program.send_signal(number)
        assert program.communicate(timeout=30) == ("down\n", "")
    assert program.returncode == (0 if meaning == "expected" else 128 + number)


def test_under_nohup_a_hangup_changes_nothing():
    with start("import signal; signal.signal(signal.SIGHUP, signal.SIG_IGN)" + PROGRAM, "unexpected") as program:
        assert program.stdout.readline() == "up\n"
        program.send_signal(signal.SIGHUP)
        program.send_signal(signal.SIGINT)
        assert program.communicate(timeout=30) == ("down\n", "")
    assert program.returncode == 128 + signal.SIGINT


def test_the_log_goes_to_standard_error_as_json_lines_above_its_level():
    with start(LOGGING) as program:
        out, err = program.communicate(timeout=30)
    assert out == ""
    lines = [json.loads(line) for line in err.splitlines()]
    assert [(line["event"], line["level"]) for line in lines] == [("seen", "warning"), ("of a library", "error")]
    assert lines[0]["show"] == "demo"
