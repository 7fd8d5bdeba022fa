#!/usr/bin/env python3
"""Fetches the browser libraries that the pages use, by the lock beside it; `make vendor` runs this.

Owns: live/web/static/vendor/. Every file there is an unmodified file of a released npm package, and is committed,
so that neither a build nor an installation needs npm; this runs only when the lock changes.
Invariant: a package whose archive does not have the locked hash is refused, and nothing is written.

    vendor.py            fetch, check, write
    vendor.py --check    compare what is on disk with the lock; no network
"""

import base64
import hashlib
import io
import json
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
LOCK = HERE / "vendor.lock.json"
TARGET = HERE.parent / "live" / "web" / "static" / "vendor"
FETCH_DEADLINE_S = 120


def sri(data: bytes) -> str:
    """The Subresource Integrity string of `data`, as npm's own lock files write it."""
    return "sha512-" + base64.b64encode(hashlib.sha512(data).digest()).decode()


def fetch(name: str, version: str) -> bytes:
    """The package's archive through the npm client, from whichever registry that client is set up for."""
    with tempfile.TemporaryDirectory() as directory:
        command = ["npm", "pack", f"{name}@{version}", "--silent", "--pack-destination", directory]
        subprocess.run(command, check=True, timeout=FETCH_DEADLINE_S, stdout=subprocess.DEVNULL)  # noqa: S603 - fixed words and the lock's
        (archive,) = Path(directory).glob("*.tgz")
        return archive.read_bytes()


def unpack(package: dict[str, Any]) -> dict[str, bytes]:
    """The locked files of one package under the names we serve them by. Exits on any hash that differs."""
    archive = fetch(package["name"], package["version"])
    if sri(archive) != package["integrity"]:
        sys.exit(f"{package['name']} {package['version']}: the archive's hash is {sri(archive)}, the lock says another")
    files = {}
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        for file in package["files"]:
            member = tar.extractfile(f"package/{file['from']}")
            assert member is not None, file["from"]
            files[file["to"]] = member.read()
    return files


def write(lock: dict[str, Any]) -> None:
    """Fetch everything first, then write, so that a refused package leaves the directory as it was."""
    files = {name: data for package in lock["packages"] for name, data in unpack(package).items()}
    TARGET.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        (TARGET / name).write_bytes(data)
    for package in lock["packages"]:
        for file in package["files"]:
            file["integrity"] = sri(files[file["to"]])
    LOCK.write_text(json.dumps(lock, indent=2) + "\n")


def differences(lock: dict[str, Any], target: Path = TARGET) -> list[str]:
    """What on disk is not what the lock says: missing, changed or not listed; empty when all is well."""
    expected = {file["to"]: file["integrity"] for package in lock["packages"] for file in package["files"]}
    present = {path.name: sri(path.read_bytes()) for path in target.iterdir()} if target.is_dir() else {}
    wrong = [f"{name}: missing" for name in expected.keys() - present.keys()]
    wrong += [f"{name}: not in the lock" for name in present.keys() - expected.keys()]
    wrong += [f"{name}: changed" for name in expected.keys() & present.keys() if expected[name] != present[name]]
    return sorted(wrong)


def main(arguments: list[str]) -> int:
    """Exit status 0 when the directory holds exactly what the lock says."""
    if arguments not in ([], ["--check"]):
        sys.stderr.write(f"{__doc__}\n")
        return 2
    lock = json.loads(LOCK.read_text())
    if not arguments:
        write(lock)
    wrong = differences(lock)
    sys.stderr.writelines(f"{line}\n" for line in wrong)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
