"""The migration runner, on a real PostgreSQL."""

import asyncio
from pathlib import Path

import asyncpg
import pytest

from live.migrations import MigrationError, migrate, read_migrations


@pytest.fixture
async def empty_url(stores):
    """A database without a table."""
    admin = await asyncpg.connect(stores.database_url)
    await admin.execute("DROP DATABASE IF EXISTS empty WITH (FORCE)")
    await admin.execute("CREATE DATABASE empty TEMPLATE template0")
    yield stores.database_url.replace("/showfloor?", "/empty?", 1)
    await admin.execute("DROP DATABASE empty WITH (FORCE)")
    await admin.close()


@pytest.fixture
def files(tmp_path: Path) -> Path:
    write(tmp_path, "0001_one.sql", "CREATE TABLE one (id int);\nINSERT INTO one VALUES (1);")
    write(tmp_path, "0002_two.sql", "CREATE TABLE two (id int);")
    return tmp_path


def write(directory: Path, name: str, up: str) -> None:
    (directory / name).write_text(f"-- migrate:up\n{up}\n-- migrate:down\nDROP TABLE one;\n")


async def fetch(url: str, query: str) -> list[tuple[object, ...]]:
    connection = await asyncpg.connect(url)
    try:
        return [tuple(row) for row in await connection.fetch(query)]
    finally:
        await connection.close()


async def tables(url: str) -> list[object]:
    return [
        row[0] for row in await fetch(url, "SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1")
    ]


async def test_files_are_applied_in_order_and_once(empty_url, files):
    assert await migrate(empty_url, files) == ["0001_one.sql", "0002_two.sql"]
    assert await migrate(empty_url, files) == []
    assert await fetch(empty_url, "SELECT id FROM one") == [(1,)]


async def test_what_stands_under_migrate_down_is_never_run(empty_url, files):
    await migrate(empty_url, files)
    assert await tables(empty_url) == ["applied_migrations", "one", "two"]


async def test_a_new_file_is_applied_to_an_older_database(empty_url, files):
    await migrate(empty_url, files)
    write(files, "0003_three.sql", "CREATE TABLE three (id int);")
    assert await migrate(empty_url, files) == ["0003_three.sql"]


async def test_an_applied_file_that_changed_is_refused_and_nothing_is_applied(empty_url, files):
    await migrate(empty_url, files)
    write(files, "0001_one.sql", "CREATE TABLE one (id bigint);")
    write(files, "0003_three.sql", "CREATE TABLE three (id int);")
    with pytest.raises(MigrationError, match=r"0001_one\.sql changed after it was applied"):
        await migrate(empty_url, files)
    assert "three" not in await tables(empty_url)


async def test_an_applied_file_that_is_gone_is_refused(empty_url, files):
    await migrate(empty_url, files)
    (files / "0002_two.sql").unlink()
    with pytest.raises(MigrationError, match=r"0002_two\.sql was applied .* older than the database"):
        await migrate(empty_url, files)


async def test_a_file_numbered_before_what_was_applied_is_refused(empty_url, files):
    (files / "0001_one.sql").unlink()
    await migrate(empty_url, files)
    write(files, "0001_one.sql", "CREATE TABLE one (id int);")
    with pytest.raises(MigrationError, match=r"0001_one\.sql is missing .* newer 0002_two\.sql .* restore a backup"):
        await migrate(empty_url, files)
    assert "one" not in await tables(empty_url)


async def test_a_file_that_fails_leaves_nothing_of_itself_and_keeps_those_before_it(empty_url, files):
    write(files, "0003_bad.sql", "CREATE TABLE three (id int);\nSELECT nonsense;")
    with pytest.raises(MigrationError, match=r"0003_bad\.sql failed and was rolled back"):
        await migrate(empty_url, files)
    assert await tables(empty_url) == ["applied_migrations", "one", "two"]
    write(files, "0003_bad.sql", "CREATE TABLE three (id int);")
    assert await migrate(empty_url, files) == ["0003_bad.sql"]


async def test_programs_that_start_together_apply_each_file_once(empty_url, files):
    applied = await asyncio.gather(*(migrate(empty_url, files) for _ in range(6)))
    assert sorted(name for names in applied for name in names) == ["0001_one.sql", "0002_two.sql"]


@pytest.mark.parametrize(
    ("name", "text", "complaint"),
    [
        ("one.sql", "-- migrate:up\n", "is not called like"),
        ("0001_one.sql", "CREATE TABLE one (id int);", "has no line"),
    ],
)
def test_a_file_that_is_no_migration_is_refused(tmp_path, name, text, complaint):
    (tmp_path / name).write_text(text)
    with pytest.raises(MigrationError, match=complaint):
        read_migrations(tmp_path)


def test_two_files_with_one_number_are_refused(files):
    write(files, "0002_again.sql", "SELECT 1;")
    with pytest.raises(MigrationError, match="same number"):
        read_migrations(files)


async def test_the_product_s_own_migrations_make_its_schema(empty_url):
    names = await migrate(empty_url)
    assert names == [migration.name for migration in read_migrations()]
    assert {"shows", "products", "variants", "show_items", "pins"} <= set(await tables(empty_url))
