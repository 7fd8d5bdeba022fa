"""How many viewers this process holds for each show, and which counts must be told to the broker.

Owns: the counts. Hosts and operators are not counted.
Invariant: a count is the number of joins minus the number of leaves, and shows without viewers take no memory.
"""

from schema.ids import ShowId
from schema.people import Role


class Presence:
    """Counts per show; `changes` is conflated, so that a storm of joins is one write a tick."""

    __slots__ = ("_changed", "_counts")

    def __init__(self) -> None:
        self._counts: dict[ShowId, int] = {}
        self._changed: set[ShowId] = set()

    def join(self, show: ShowId, role: Role) -> None:
        self._add(show, role, 1)

    def leave(self, show: ShowId, role: Role) -> None:
        self._add(show, role, -1)

    def _add(self, show: ShowId, role: Role, by: int) -> None:
        if role is not Role.VIEWER:
            return
        count = self._counts.get(show, 0) + by
        assert count >= 0, "somebody left who never joined"
        self._changed.add(show)
        if count:
            self._counts[show] = count
        else:
            self._counts.pop(show, None)

    def changes(self) -> dict[ShowId, int]:
        """The counts that changed since the last call; 0 where the last viewer left."""
        changed, self._changed = self._changed, set()
        return {show: self._counts.get(show, 0) for show in changed}

    def all(self) -> dict[ShowId, int]:
        """Every count above zero: what a heartbeat renews."""
        return dict(self._counts)
