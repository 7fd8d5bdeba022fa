"""The picture of a state machine, drawn from its table, so that the documentation cannot drift from the code.

Owns: the Mermaid text. Invariant: one line for each move, in the table's order.
"""

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import TypeVar

S = TypeVar("S", bound=StrEnum)
E = TypeVar("E", bound=StrEnum)


def mermaid(moves: Mapping[tuple[S, E], S], *, start: S, terminal: Iterable[S]) -> str:
    """A Mermaid state diagram (mermaid.js.org, stateDiagram-v2)."""
    lines = ["stateDiagram-v2", f"    [*] --> {start}"]
    lines += [f"    {before} --> {after}: {event}" for (before, event), after in moves.items()]
    lines += [f"    {state} --> [*]" for state in sorted(terminal)]
    return "\n".join(lines)
