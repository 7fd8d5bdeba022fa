"""A test's database holds nothing of the test before, whatever that one did to its own."""

import asyncpg
import pytest

SEQUENCES = "SELECT sequencename, last_value FROM pg_sequences ORDER BY 1"
TABLES = "SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1"


@pytest.fixture
def mine(databases):
    """The run's databases; what these tests leave is nobody's."""
    databases._spare = None
    yield databases
    databases._spare = None


async def content(connection):
    """Every row of every table, and where each sequence stands."""
    tables = [row[0] for row in await connection.fetch(TABLES)]
    rows = {table: await connection.fetchval(f"SELECT json_agg(t) FROM {table} AS t") for table in tables}
    return rows, await connection.fetch(SEQUENCES)


async def oid(connection):
    return await connection.fetchval("SELECT oid FROM pg_database WHERE datname = current_database()")


async def use(one, *statements):
    """The database's number, and what it held before the statements ran."""
    async with one as url:
        connection = await asyncpg.connect(url)
        before = await oid(connection), await content(connection)
        for statement in statements:
            await connection.execute(statement)
        await connection.close()
    return before


WRITES = (
    "INSERT INTO shows VALUES ('gala', 'Gala', '', 'live', 0, 'EUR')",
    "INSERT INTO products VALUES ('pot', 'Pot')",
    "UPDATE installation SET id = 'another'",
    "SELECT nextval('stock_epochs')",
    "SELECT nextval(pg_get_serial_sequence('waitlist', 'place'))",
)


async def test_what_a_test_wrote_is_gone_and_what_migrations_wrote_is_back(mine):
    used, new = await use(mine.one(), *WRITES)
    again, emptied = await use(mine.one())
    assert again == used
    assert emptied == new
    assert new[0]["shows"] is None
    assert new[0]["applied_migrations"]


async def test_without_the_emptying_it_would_be_there(mine, monkeypatch):
    monkeypatch.setattr("databases._EMPTY", "SELECT 1")
    monkeypatch.setattr(mine, "_seeds", {})
    _, new = await use(mine.one(), *WRITES)
    _, left = await use(mine.one())
    assert left[0]["shows"]
    assert left[0]["installation"] != new[0]["installation"]
    assert left[1] != new[1]


@pytest.mark.parametrize(
    "change",
    [
        "ALTER TABLE stock DROP CONSTRAINT never_oversold",
        "ALTER TABLE orders DISABLE TRIGGER orders_move",
        "DROP FUNCTION reserve_one_by_one",
        "CREATE OR REPLACE FUNCTION clock_ms() RETURNS bigint LANGUAGE sql AS 'SELECT 1::bigint'",
        "CREATE TABLE more (id int)",
        "ALTER TABLE shows ALTER title SET DEFAULT 'x'",
        "DROP INDEX holds_off_shelf",
        "CREATE SCHEMA more",
    ],
)
async def test_after_a_change_of_the_schema_the_next_test_has_a_copy_of_its_own(mine, change):
    used, new = await use(mine.one(), change)
    another, copied = await use(mine.one())
    assert another != used
    assert copied == new


async def test_after_much_was_written_too(mine):
    used, _ = await use(
        mine.one(), "INSERT INTO products SELECT 'p' || n, repeat('x', 100) FROM generate_series(1, 20000) AS n"
    )
    assert (await use(mine.one()))[0] != used


async def test_who_still_holds_the_database_of_a_test_reaches_nothing(mine):
    async with mine.one() as url:
        held = await asyncpg.connect(url)
        await held.execute("BEGIN; INSERT INTO products VALUES ('pot', 'Pot')")
    with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError, OSError)):
        await held.execute("COMMIT")
    async with mine.one() as other:
        with pytest.raises(asyncpg.InvalidCatalogNameError):
            await asyncpg.connect(url)
        connection = await asyncpg.connect(other)
        assert await connection.fetchval("SELECT count(*) FROM products") == 0
        await connection.close()
