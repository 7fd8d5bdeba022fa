"""The command line, run as people run it."""

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from urllib.request import urlopen

import jwt
import pytest

from live.__main__ import _programs

ROOT = Path(__file__).resolve().parents[2]
DEADLINE_S = 60


def environ(**given: str) -> dict[str, str]:
    ours = ("SHOWFLOOR_", "REDIS_URL", "DATABASE_URL")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    return kept | {"PYTHONPATH": str(ROOT)} | given


def showfloor(*arguments: str, **given: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "live", *arguments]
    return subprocess.run(
        command, capture_output=True, text=True, env=environ(**given), timeout=DEADLINE_S, check=False
    )


class Serving:
    """`showfloor serve` on a free port; its log line by line."""

    def __init__(self, data: Path) -> None:
        command = [sys.executable, "-m", "live", "serve", "--port", "0", "--data-dir", str(data)]
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environ()
        )
        self.base_url = ""
        for line in self.process.stderr:
            said = json.loads(line)
            if said["event"] == "serving":
                self.base_url = said["base_url"]
                return
        raise AssertionError("it ended without serving")

    def end(self, number: int) -> tuple[int, str]:
        self.process.send_signal(number)
        out, _ = self.process.communicate(timeout=DEADLINE_S)
        return self.process.returncode, out


@pytest.fixture
def serving(tmp_path):
    """A running service; ended in order even where its test fails."""
    running = Serving(tmp_path)
    yield running
    if running.process.poll() is None:
        running.end(signal.SIGTERM)


def test_help_names_every_command():
    helped = showfloor("--help")
    assert helped.returncode == 0
    for command in ("serve", "doctor", "token", "verify", "demo", "bench"):
        assert command in helped.stdout


def test_a_token_is_all_that_is_printed_and_the_secret_is_kept(tmp_path):
    asked = ("token", "--role", "host", "--show", "demo", "--name", "Ana", "--hours", "1", "--data-dir", str(tmp_path))
    printed = showfloor(*asked)
    assert (printed.returncode, printed.stderr) == (0, "")
    secret = (tmp_path / "token_secret").read_text()
    claims = jwt.decode(printed.stdout.strip(), secret, algorithms=["HS256"], audience="showfloor")
    assert (claims["role"], claims["show"], claims["name"]) == ("host", "demo", "Ana")
    assert claims["exp"] - claims["iat"] == 3600


@pytest.mark.parametrize(
    "arguments",
    [("token",), ("token", "--role", "king"), ("token", "--role", "host", "--hours", "0"), ("serve", "--port", "x")],
)
def test_a_wrong_option_is_refused(arguments, tmp_path):
    refused = showfloor(*arguments, SHOWFLOOR_DATA_DIR=str(tmp_path / "data"))
    assert refused.returncode != 0
    assert not (tmp_path / "data").exists()


def test_serve_serves_until_a_signal_and_verify_works_beside_it_and_after_it(serving, tmp_path):
    with urlopen(f"{serving.base_url}/readyz", timeout=DEADLINE_S) as answer:
        assert answer.status == 200
    beside = showfloor("verify", "--data-dir", str(tmp_path))
    assert (beside.returncode, beside.stderr) == (0, "")
    assert beside.stdout.startswith("PASS")
    second = showfloor("serve", "--port", "0", "--data-dir", str(tmp_path))
    assert second.returncode == 2
    assert f"in use by the program with pid {serving.process.pid}" in second.stderr
    assert serving.end(signal.SIGTERM) == (0, "")
    after = showfloor("verify", "--json", "--data-dir", str(tmp_path))
    assert after.returncode == 0
    assert json.loads(after.stdout)["ok"] is True


def test_verify_says_so_where_nothing_was_ever_set_up(tmp_path):
    asked = showfloor("verify", "--data-dir", str(tmp_path))
    assert asked.returncode == 2
    assert asked.stdout == ""
    assert "Nothing to verify" in asked.stderr


def test_a_taken_port_is_one_line_that_names_the_setting(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        refused = showfloor("serve", "--port", str(taken.getsockname()[1]), "--data-dir", str(tmp_path))
    assert refused.returncode == 2
    assert len(refused.stderr.splitlines()) == 1
    assert "SHOWFLOOR_PORT" in refused.stderr


def test_bench_refuses_a_name_that_there_is_not_and_says_which_there_are():
    refused = showfloor("bench", "no-such-figure")
    assert refused.returncode == 2
    assert refused.stdout == showfloor("bench").stdout


def test_bench_knows_programs_from_their_parts(tmp_path):
    for name in ("fanout", "fanout_client", "reserve"):
        (tmp_path / f"{name}.py").write_text('if __name__ == "__main__":\n    pass\n')
    (tmp_path / "common.py").write_text("")
    assert list(_programs(tmp_path)) == ["fanout", "reserve"]
