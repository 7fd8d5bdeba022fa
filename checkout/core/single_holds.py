"""Whether the gate and the truth count the same holds. Equal sums do not say so.

Where the gate missed a hold of two units and a restock of two, or a hold and the end of another, what is available
agrees, and each side counts holds that the other does not.

Owns: nothing.
Invariant: what is pending in the gate is not judged: its commit, or its refusal, may be on its way.
"""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet


def apart(gate: Mapping[str, int], pending: AbstractSet[str], truth: Mapping[str, int]) -> set[str]:
    """Ids of the holds (id -> units) that only one side counts, or each with other units."""
    differ = {hold_id for hold_id, _ in gate.items() ^ truth.items()}
    return differ - pending
