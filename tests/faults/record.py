"""The record of a campaign: one line of JSON for each finished seed, so that it can go on after an interruption."""

import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

import msgspec


def commit_here() -> str:
    """The commit of this tree, with a + if something in it differs from that; "" where there is no git."""
    ask = ["git", "describe", "--always", "--dirty=+", "--exclude=*"]
    try:
        told = subprocess.run(ask, cwd=Path(__file__).parent, capture_output=True, text=True, check=False, timeout=20)
    except OSError:
        return ""
    return told.stdout.strip()


class Record:
    """Lines of `file`, if there is one; without, they are kept in memory only."""

    def __init__(self, file: Path | None, kind: type[Any]) -> None:
        """`kind`: what a line is; it has `seed`, `removed`, `commit`, `done` and `ok`."""
        self._file, self._commit = file, commit_here()
        self.outcomes: list[Any] = []
        if file and file.exists():
            self.outcomes = [msgspec.json.decode(line, type=kind) for line in file.read_bytes().splitlines()]
        self._seen = {(outcome.seed, outcome.removed) for outcome in self.outcomes}

    def has(self, seed: int, removed: str = "") -> bool:
        return (seed, removed) in self._seen

    def add(self, outcome: Any) -> None:
        outcome.commit = self._commit
        self.outcomes.append(outcome)
        self._seen.add((outcome.seed, outcome.removed))
        if self._file:
            with self._file.open("ab") as file:
                file.write(msgspec.json.encode(outcome) + b"\n")

    def table(self) -> str:
        """For each fault: in how many seeds it happened, and what was found."""
        done = Counter(fault for outcome in self.outcomes for fault in outcome.done)
        bad = Counter(fault for outcome in self.outcomes if not outcome.ok for fault in outcome.done)
        on = Counter(outcome.commit for outcome in self.outcomes)
        lines = [f"{fault:45} {count:4}  {bad[fault] or 'nothing found'}" for fault, count in sorted(done.items())]
        lines += [f"{count} on commit {commit or 'unknown'}" for commit, count in on.items()]
        return "\n".join(lines)
