"""Every SQL file against the real, migrated schema, and against the code that runs it."""

import re
from pathlib import Path

import asyncpg
import pytest

ROOT = Path(__file__).resolve().parents[2]
FILES = sorted(ROOT.glob("*/sql/**/*.sql"))
NAMES = [str(path.relative_to(ROOT)) for path in FILES]


def test_there_are_sql_files():
    assert {path.parent.parent.name for path in FILES} >= {"checkout", "live"}


@pytest.mark.parametrize("path", FILES, ids=NAMES)
async def test_it_is_one_statement_that_postgres_prepares(pg: asyncpg.Pool, path: Path):
    used = {int(number) for number in re.findall(r"\$(\d+)", without_comments(path))}
    async with pg.acquire() as connection:
        statement = await connection.prepare(text_of(path))
        assert len(statement.get_parameters()) == max(used, default=0)


@pytest.mark.parametrize("path", FILES, ids=NAMES)
def test_its_header_names_its_parameters_and_a_caller_that_exists(path: Path):
    text = header(path)
    used = set(re.findall(r"\$\d+", without_comments(path)))
    assert used <= set(re.findall(r"\$\d+", text)), "a parameter that the header does not explain"
    assert re.search(r"Caller: \S", text), "the header does not say who calls it"
    assert_caller_exists(path, text)
    assert_used(path)


async def test_a_column_that_does_not_exist_is_noticed(pg: asyncpg.Pool):
    async with pg.acquire() as connection:
        with pytest.raises(asyncpg.UndefinedColumnError):
            await connection.prepare("SELECT nonsense FROM shows WHERE show_id = $1")


def header(path: Path) -> str:
    lines = path.read_text(encoding="utf-8").splitlines()
    ends = next((number for number, line in enumerate(lines) if not line.startswith("--")), len(lines))
    assert ends, f"{path} opens without a header"
    return "\n".join(lines[:ends])


def text_of(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def without_comments(path: Path) -> str:
    return re.sub(r"--.*", "", text_of(path))


def room_source(path: Path) -> str:
    room = ROOT / path.relative_to(ROOT).parts[0]
    return "\n".join(module.read_text(encoding="utf-8") for module in room.rglob("*.py"))


def assert_caller_exists(path: Path, text: str) -> None:
    said = re.search(r"(?:Caller:|Called by)(.*)", text, re.DOTALL)[1]
    source = room_source(path)
    for module in re.findall(r"\w+/\w+\.py", said):
        assert (ROOT / module).exists(), f"{module} does not exist"
    for kind, method in re.findall(r"\b([A-Z]\w+)\.([a-z_]\w*)", said):
        assert re.search(rf"^class {kind}\b", source, re.MULTILINE), f"there is no class {kind}"
        assert re.search(rf"def {method}\b", source), f"there is no {kind}.{method}"


def assert_used(path: Path) -> None:
    assert re.search(rf"\b{path.stem}\b", room_source(path)), f"nothing runs {path.name}"
