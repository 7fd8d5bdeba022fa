"""The wheel, built as an installation builds it: every file that the service reads at run time is inside."""

import subprocess
import sys
import zipfile
from pathlib import Path, PurePosixPath

import pytest

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("schema", "media", "realtime", "checkout", "live")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> set[str]:
    """The names in a wheel made from the tracked files alone."""
    source, built = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for name in tracked():
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_bytes((ROOT / name).read_bytes())
    command = [
        sys.executable,
        "-m",
        "pip",
        "--quiet",
        "wheel",
        "--no-deps",
        "--no-build-isolation",
        "-w",
        built,
        source,
    ]
    subprocess.run(command, check=True, capture_output=True, timeout=100)
    (made,) = built.glob("showfloor-*.whl")
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
