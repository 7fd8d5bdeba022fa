"""Every Lua script against its own header, the code that runs it, and a real server."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FILES = sorted(ROOT.glob("*/lua/**/*.lua"))
NAMES = [str(path.relative_to(ROOT)) for path in FILES]
ARGV_MAX = 8


def test_there_are_scripts():
    assert {path.parent.parent.name for path in FILES} >= {"checkout", "live", "realtime"}


@pytest.mark.parametrize("path", FILES, ids=NAMES)
async def test_a_server_compiles_it(redis, path: Path):
    assert len(await redis.script_load(text_of(path))) == 40


@pytest.mark.parametrize("path", FILES, ids=NAMES)
@pytest.mark.parametrize("kind", ["KEYS", "ARGV"])
def test_its_header_names_the_keys_and_arguments_that_it_uses(path: Path, kind: str):
    head, body = split(path)
    named = explained(head, kind)
    assert used(body, kind) <= named
    assert named == set(range(1, len(named) + 1))  # a script may leave one alone that its wrapper always passes


@pytest.mark.parametrize("path", FILES, ids=NAMES)
def test_it_takes_few_arguments_and_says_what_it_guarantees_returns_and_who_calls_it(path: Path):
    head, body = split(path)
    assert max(used(body, "ARGV"), default=0) <= ARGV_MAX, "pass one msgpack value instead"
    assert re.search(r"Guarantees:", head)
    assert re.search(r"Returns:? ", head)
    method = re.search(r"(?:Caller:|Called by)\s.*?\b[A-Z]\w+\.(\w+)", head, re.DOTALL)
    assert method, "the header does not say who calls it"
    source = room_source(path)
    assert re.search(rf"def {method[1]}\b", source), f"there is no method {method[1]}"
    assert re.search(rf"\b{path.stem}\b", source), f"nothing runs {path.name}"


def test_both_ways_to_write_a_header_are_understood():
    head = "-- KEYS[1] one  KEYS[2] two\n-- ARGV: 1 a; 2 b\n-- Returns: 1"
    assert explained(head, "KEYS") == {1, 2}
    assert explained(head, "ARGV") == {1, 2}
    assert used("return redis.call('GET', KEYS[1], ARGV[1], ARGV[3])", "ARGV") == {1, 3}


def text_of(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def split(path: Path) -> tuple[str, str]:
    lines = text_of(path).splitlines()
    ends = next(number for number, line in enumerate(lines) if not line.startswith("--"))
    return "\n".join(lines[:ends]), re.sub(r"--.*", "", "\n".join(lines[ends:]))


def explained(head: str, kind: str) -> set[int]:
    """The numbers that the header explains, written `KEYS[1] name  KEYS[2] name` or `KEYS: 1 name  2 name`."""
    indexed = {int(number) for number in re.findall(rf"{kind}\[(\d+)\]", head)}
    until = r"(?=^-- (?:KEYS|ARGV|Returns|Caller|Called)|\Z)"
    listed = re.search(rf"^-- {kind}:?\s+(?=\d)(.*?){until}", head, re.MULTILINE | re.DOTALL)
    numbers = {int(n) for n in re.findall(r"(?:^|[;,]\s*|\s{2,}|--\s+)(\d+) ", listed[1])} if listed else set()
    return indexed | numbers


def used(body: str, kind: str) -> set[int]:
    return {int(number) for number in re.findall(rf"{kind}\[(\d+)\]", body)}


def room_source(path: Path) -> str:
    room = ROOT / path.relative_to(ROOT).parts[0]
    return "\n".join(module.read_text(encoding="utf-8") for module in room.rglob("*.py"))
