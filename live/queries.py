"""The SQL of this room, one statement a file, loaded once.

Owns: the texts under `live/sql/`. Invariant: a name without a file is a programmer's mistake and fails at import
of its caller or in the test that PREPAREs them all.
"""

from functools import cache
from importlib import resources


@cache
def sql(name: str) -> str:
    """The statement in `live/sql/<name>.sql`."""
    return (resources.files("live") / "sql" / f"{name}.sql").read_text()
