"""The harness of the sockets runs: every program of it once, on the whole service. Its figures mean nothing here."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
TABLES = {
    "us of the server's CPU a join": ("ours", "C epoll loop", "Starlette"),
    "CPU us a message": ("ours", "C epoll loop", "Starlette"),
    "held for ms": ("20", "20", "20"),
    "in the kernel, KiB each": ("read", "do not"),
    "pins: ms p50": ("nothing", "20 messages a second"),
    "KiB a viewer": ("Starlette",),
}

WORDS = {"they join", "nothing is said", "they are told"}


def test_every_program_says_its_table():
    command = [sys.executable, str(ROOT / "benchmarks/fanout"), "smoke"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr
    for title, names in TABLES.items():
        (table,) = re.findall(rf"^\|[^\n]*{re.escape(title)}.*?\n\n", done.stdout + "\n", re.MULTILINE | re.DOTALL)
        rows = [line.strip("| ").split(" | ") for line in table.strip().splitlines()[2:]]
        assert len(rows) == len(names), table
        for row, name in zip(rows, names, strict=True):
            assert row[0].startswith(name), table
            assert all(re.search(r"\d", cell) or cell in WORDS for cell in row[1:]), table
