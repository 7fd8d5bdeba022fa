"""The schema's migrations: plain SQL files in dbmate's format, applied in order, once, forward only.

Owns: the table `applied_migrations`. Invariant: a file that was applied never changes; each file is one
transaction; two programs starting together apply each file once (an advisory lock).
"""

import hashlib
import re
from pathlib import Path

import asyncpg
import structlog
from msgspec import Struct

import schema

log = structlog.get_logger()

DIRECTORY = Path(schema.__file__).parent / "migrations"
_ADVISORY_LOCK = 0x5F10_0217
_LOCK_TIMEOUT_S = 60.0
_STATEMENT_TIMEOUT_S = 600.0
_NAME = re.compile(r"(\d+)_\w+\.sql")
_UP = re.compile(r"^--\s*migrate:up\s*$", re.MULTILINE)
_DOWN = re.compile(r"^--\s*migrate:down\b", re.MULTILINE)

_TABLE = """
CREATE TABLE IF NOT EXISTS applied_migrations (
    version    text PRIMARY KEY,
    name       text NOT NULL,
    checksum   text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
)
"""


class MigrationError(RuntimeError):
    """The files and the database disagree. The message says which file, and what mends it."""


class Migration(Struct, frozen=True, kw_only=True):
    """One file."""

    version: str
    """The digits in front of its name."""
    name: str
    up: str
    checksum: str
    """SHA-256 of the whole file."""


def read_migrations(directory: Path = DIRECTORY) -> list[Migration]:
    """The files of `directory`, in order. MigrationError for a name or content that is not a migration's."""
    found = [_read(path) for path in sorted(directory.glob("*.sql"))]
    versions = [migration.version for migration in found]
    if len(set(versions)) < len(versions):
        raise MigrationError(f"Two migrations have the same number: {', '.join(m.name for m in found)}")
    return found


async def migrate(database_url: str, directory: Path = DIRECTORY) -> list[str]:
    """Apply what is missing; the names of the files applied. MigrationError if an applied file changed or is gone."""
    migrations = read_migrations(directory)
    connection = await asyncpg.connect(database_url, command_timeout=_STATEMENT_TIMEOUT_S)
    try:
        await _take_lock(connection)
        await connection.execute(_TABLE)
        return await _apply_missing(connection, migrations)
    finally:
        await connection.close()  # and with it the lock goes


async def _take_lock(connection: asyncpg.Connection) -> None:
    """Wait for another program that is migrating; its session holds the lock, so its crash frees it."""
    try:
        await connection.execute("SELECT pg_advisory_lock($1)", _ADVISORY_LOCK, timeout=_LOCK_TIMEOUT_S)
    except TimeoutError:
        raise MigrationError(
            f"Another program has been migrating this database for {_LOCK_TIMEOUT_S:.0f} s; look into it first."
        ) from None


async def _apply_missing(connection: asyncpg.Connection, migrations: list[Migration]) -> list[str]:
    rows = await connection.fetch("SELECT version, name, checksum FROM applied_migrations ORDER BY version")
    applied = {row["version"]: (row["name"], row["checksum"]) for row in rows}
    _check_history(applied, migrations)
    missing = [migration for migration in migrations if migration.version not in applied]
    for migration in missing:
        await _apply(connection, migration)
    return [migration.name for migration in missing]


def _check_history(applied: dict[str, tuple[str, str]], migrations: list[Migration]) -> None:
    files = {migration.version: migration for migration in migrations}
    for version, (name, checksum) in applied.items():
        if version not in files:
            raise MigrationError(
                f"{name} was applied to this database but is not among the files: "
                f"this program is older than the database. Start the newer one."
            )
        if files[version].checksum != checksum:
            raise MigrationError(
                f"{files[version].name} changed after it was applied. Restore it, and put the change in a new file."
            )
    newest = max(applied, default="", key=int) if applied else "-1"
    late = [m.name for m in migrations if m.version not in applied and int(m.version) < int(newest)]
    if late:
        # Not applied after all: a function that both files make anew would fall back to the older one, unseen.
        raise MigrationError(
            f"{late[0]} is missing in this database, which has the newer {applied[newest][0]} already. Nothing was "
            f"changed. If you are writing {late[0]}: give it the next number. If this database was made by an "
            f"unreleased version: restore a backup from before {applied[newest][0]}, or start with an empty one."
        )


async def _apply(connection: asyncpg.Connection, migration: Migration) -> None:
    try:
        async with connection.transaction():
            await connection.execute(migration.up)
            await connection.execute(
                "INSERT INTO applied_migrations (version, name, checksum) VALUES ($1, $2, $3)",
                migration.version,
                migration.name,
                migration.checksum,
            )
    except asyncpg.PostgresError as error:
        raise MigrationError(f"{migration.name} failed and was rolled back: {error}") from error
    log.info("migration_applied", name=migration.name)


def _read(path: Path) -> Migration:
    name = _NAME.fullmatch(path.name)
    if not name:
        raise MigrationError(f"{path.name} is not called like 0001_name.sql")
    text = path.read_text(encoding="utf-8")
    up = _UP.search(text)
    if not up:
        raise MigrationError(f"{path.name} has no line `-- migrate:up`")
    down = _DOWN.search(text)
    return Migration(
        version=name[1],
        name=path.name,
        up=text[up.end() : down.start() if down else None],
        checksum=hashlib.sha256(text.encode()).hexdigest(),
    )
