"""The databases of a run of the tests: migrated, and each one test's alone.

Owns: every database of the server but its first. Invariant: a test gets what `migrate` made, under a name that no
test had before: who still holds an old name reaches nothing.

To copy the template and drop the copy costs 80 ms on an idle machine, to empty it 15. So after a test its rows go and
the database stays, unless the test changed the schema or wrote much.
"""

import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg

from live.migrations import migrate
from live.stores.postgres import DATABASE, USER

TEMPLATE = "showfloor_template"
_WORN_BYTES = 1 << 20
"""What was deleted stays in the files, and a scan reads it: a copy with more than this is dropped."""

# Whatever changes a schema writes rows of these, and each bears the number of its transaction.
_SCHEMA = " UNION ALL ".join(
    f"SELECT '{catalog} ' || count(*) || ' ' || max(xmin::text::bigint) FROM pg_{catalog}"
    for catalog in ("attribute", "attrdef", "constraint", "index", "namespace", "proc", "trigger", "type")
)
_FILLED = """
SELECT oid::regclass::text AS name, pg_relation_size(oid) AS bytes FROM pg_class
WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace AND pg_relation_size(oid) > 0
"""
# The books refuse to be rewritten, by triggers and foreign keys; a replica fires none.
# DELETE, for TRUNCATE makes new files, which costs four times as much.
_EMPTY = f"""
DO $$
DECLARE filled record;
BEGIN
    SET LOCAL session_replication_role = replica;
    FOR filled IN {_FILLED} LOOP EXECUTE 'DELETE FROM ' || filled.name; END LOOP;
    PERFORM setval(seqrelid, seqstart, false) FROM pg_sequence;
    PERFORM pg_stat_reset();
END $$
"""


class Databases:
    """Hands them out: `async with databases.one() as url`."""

    def __init__(self, server_url: str) -> None:
        self._server_url = server_url
        self._names = (f"test_{number}" for number in itertools.count(1))
        self._spare: str | None = None

    def _url(self, name: str) -> str:
        return self._server_url.replace(f"/{DATABASE}?", f"/{name}?", 1)

    async def open(self) -> None:
        """Make the template, to which nobody stays connected, and learn what a migrated database holds."""
        self._admin = await asyncpg.connect(self._server_url)
        await self._admin.execute(f"CREATE DATABASE {TEMPLATE}")
        await migrate(self._url(TEMPLATE))
        async with self._connected(TEMPLATE) as connection:
            self._schema = await connection.fetch(_SCHEMA)
            self._seeds = {
                table: await connection.fetchval(f"SELECT json_agg(seed) FROM {table} AS seed")
                for table, _ in await connection.fetch(_FILLED)
            }

    async def close(self) -> None:
        await self._admin.close()

    @asynccontextmanager
    async def one(self) -> AsyncIterator[str]:
        """The address of a database for one test. A test that fails or hangs on to it costs the next one nothing."""
        name, spare, self._spare = next(self._names), self._spare, None
        if spare:
            await self._admin.execute(f"ALTER DATABASE {spare} RENAME TO {name}")
        else:
            await self._admin.execute(f"CREATE DATABASE {name} TEMPLATE {TEMPLATE} OWNER {USER}")
        yield self._url(name)
        await self._admin.execute(
            "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = $1", name
        )
        async with self._connected(name) as connection:
            is_good = await self._is_good(connection)
            if is_good:
                await self._empty(connection)
        if is_good:
            self._spare = name
        else:
            await self._admin.execute(f"DROP DATABASE {name} WITH (FORCE)")

    @asynccontextmanager
    async def _connected(self, name: str) -> AsyncIterator[asyncpg.Connection]:
        connection = await asyncpg.connect(self._url(name))
        try:
            yield connection
        finally:
            await connection.close()

    async def _is_good(self, connection: asyncpg.Connection) -> bool:
        """True if it is worth emptying: its schema is as migrated, and its files are small."""
        if await connection.fetch(_SCHEMA) != self._schema:
            return False
        return sum(row["bytes"] for row in await connection.fetch(_FILLED)) <= _WORN_BYTES

    async def _empty(self, connection: asyncpg.Connection) -> None:
        """As `migrate` left it: no rows but its own, every sequence at its start."""
        async with connection.transaction():
            await connection.execute(_EMPTY)
            for table, seeds in self._seeds.items():
                await connection.execute(
                    f"INSERT INTO {table} SELECT * FROM json_populate_recordset(NULL::{table}, $1)", seeds
                )
