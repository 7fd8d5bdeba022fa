"""The wheel, built as an installation builds it: every file that the service reads at run time is inside."""

import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path, PurePosixPath

import pytest

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("schema", "media", "realtime", "checkout", "live")


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> Path:
    """The tracked files alone."""
    source = tmp_path_factory.mktemp("source")
    for name in tracked():
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_bytes((ROOT / name).read_bytes())
    return source


@pytest.fixture(scope="module")
def wheel(source, tmp_path_factory) -> set[str]:
    """The names in a wheel, made with whatever compiler this machine has."""
    return build(source, tmp_path_factory.mktemp("wheel"), dict(os.environ))


def build(source: Path, into: Path, environment: dict[str, str]) -> set[str]:
    command = [
        sys.executable,
        "-m",
        "pip",
        "--quiet",
        "wheel",
        "--no-deps",
        "--no-build-isolation",
        "-w",
        into,
        source,
    ]
    subprocess.run(command, check=True, capture_output=True, timeout=100, env=environment)
    (made,) = into.glob("showfloor-*.whl")
    return set(zipfile.ZipFile(made).namelist())


def tracked() -> list[str]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [name for name in listed.split("\0") if name and (ROOT / name).is_file()]


def test_every_tracked_file_of_the_rooms_is_in_it(wheel):
    wanted = {name for name in tracked() if PurePosixPath(name).parts[0] in ROOMS}
    assert any(name.endswith(".lua") for name in wanted)
    assert any(name.endswith(".sql") for name in wanted)
    assert wanted - wheel == set()


def test_nothing_but_the_rooms_is_in_it(wheel):
    assert {PurePosixPath(name).parts[0] for name in wheel if not name.startswith("showfloor-")} == set(ROOMS)


def test_the_licence_the_notices_and_the_command_are_in_it(wheel):
    (folder,) = {PurePosixPath(name).parts[0] for name in wheel if name.startswith("showfloor-")}
    assert {f"{folder}/licenses/LICENSE", f"{folder}/licenses/NOTICE", f"{folder}/entry_points.txt"} <= wheel


def extensions(wheel: set[str]) -> list[str]:
    return [PurePosixPath(name).parent.as_posix() for name in wheel if name.endswith(".so")]


def test_the_native_egress_is_in_it_where_a_compiler_and_headers_are(wheel):
    compiler = shutil.which((sysconfig.get_config_var("CC") or "cc").split()[0])
    has_headers = (Path(sysconfig.get_path("include")) / "Python.h").exists()
    assert extensions(wheel) == (["media/native"] if compiler and has_headers else [])


def test_without_a_compiler_the_same_files_make_a_wheel_without_it(source, tmp_path):
    shutil.copytree(source, tmp_path / "source", ignore=shutil.ignore_patterns("build", "*.egg-info"))
    (tmp_path / "empty").mkdir()
    bare = {"HOME": os.environ.get("HOME", "/"), "PATH": str(tmp_path / "empty"), "LANG": "C.UTF-8"}
    made = build(tmp_path / "source", tmp_path, bare)
    assert extensions(made) == []
    sources = {f"media/native/{path.name}" for path in (ROOT / "media/native").glob("*.[ch]")}
    assert "media/native/_fanout.c" in sources
    assert sources <= made
