"""The repository about itself: tests mirror the code, links lead somewhere, nothing of one machine is in it."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("schema", "media", "realtime", "checkout", "live")
# A folder `peers` tests a whole room against programs of others, and mirrors nothing.
TESTS = sorted(
    path for room in ROOMS for path in (ROOT / "tests" / room).rglob("test_*.py") if path.parent.name != "peers"
)
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("benchmarks/*.md")])
MACHINE = re.compile(r"(?:^|[\s\"'=(])/(?:work|root|home/\w+|tmp/\w+)/\w+", re.MULTILINE)
REGISTRIES = re.compile(
    r"(?:files\.pythonhosted|(?:^|\W)pypi)\.org|registry\.npmjs|index-url\s*=?\s*http", re.MULTILINE
)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


def tracked() -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [ROOT / name for name in listed.split("\0") if name and (ROOT / name).is_file()]


def texts() -> list[tuple[Path, str]]:
    found = []
    for path in tracked():
        try:
            found.append((path, path.read_text(encoding="utf-8")))
        except UnicodeDecodeError:
            continue  # an image
    return found


@pytest.mark.parametrize("path", TESTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_each_test_file_has_the_module_that_it_covers(path: Path):
    inside = path.relative_to(ROOT / "tests")
    module = ROOT / inside.parent / inside.name.removeprefix("test_")
    assert module.exists() or module.with_suffix("").is_dir(), f"{inside} covers no {module.relative_to(ROOT)}"


def test_the_mirror_is_looked_at_in_every_room():
    assert {path.relative_to(ROOT / "tests").parts[0] for path in TESTS} == set(ROOMS)


def test_tests_are_no_packages():
    assert list((ROOT / "tests").rglob("__init__.py")) == []  # else tests/live would shadow live


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_of_a_page_leads_to_a_file_and_a_heading(page: Path):
    for link in LINK.findall(page.read_text(encoding="utf-8")):
        if re.match(r"[a-z]+:", link):
            continue  # elsewhere in the world
        name, _, anchor = link.partition("#")
        target = (page.parent / name) if name else page
        assert target.exists(), f"{link} leads nowhere"
        if anchor and target.suffix == ".md":
            assert anchor in anchors(target), f"{link}: there is no such heading"


def anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


def test_no_file_names_a_place_of_one_machine_or_a_registry():
    mine = Path(__file__).resolve()
    found = [
        f"{path.relative_to(ROOT)}: {match[0]!r}"
        for path, text in texts()
        if path != mine and path.name != "LICENSE"
        for match in (*MACHINE.finditer(text), *REGISTRIES.finditer(text))
    ]
    assert found == []


def test_such_a_place_would_be_noticed():
    assert MACHINE.search("cd /home/user/showfloor")
    assert MACHINE.search("open('/tmp/x/y')")
    assert not MACHINE.search("tmpfs:\n  - /tmp\n")
    assert REGISTRIES.search("--index-url " + "https://mirror")
    assert not REGISTRIES.search("a wheel from PyPI")


def test_a_room_that_imports_its_neighbour_breaks_the_contract(tmp_path):
    for room in ROOMS:
        shutil.copytree(ROOT / room, tmp_path / room, ignore=shutil.ignore_patterns("__pycache__", "web", "*.sql"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    assert lint_imports(tmp_path).returncode == 0, lint_imports(tmp_path).stdout
    with (tmp_path / "media" / "core" / "__init__.py").open("a") as file:
        file.write("\nimport asyncio\nimport checkout\n")
    broken = lint_imports(tmp_path)
    assert broken.returncode == 1
    assert "media.core -> checkout" in broken.stdout
    assert "media.core -> asyncio" in broken.stdout


def lint_imports(folder: Path) -> subprocess.CompletedProcess[str]:
    program = Path(sys.executable).with_name("lint-imports")
    return subprocess.run(
        [program, "--no-cache"], cwd=folder, capture_output=True, text=True, check=False, timeout=60,
        env={"PYTHONPATH": str(folder), "PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"},
    )  # fmt: skip
